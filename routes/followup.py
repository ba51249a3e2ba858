"""/patients: who there is, and each patient's timeline as JSON, as a table and as a report.

A patient goes by the number that the database gave: a PatientID may hold slashes, and anything else.
"""

import datetime

from flask import Blueprint, Response, jsonify, request

from BDD import store
from routes import reading
from routes.context import context
from routes.followup_json import changes_to_json, identity_to_json, patient_to_json, timeline_to_json
from routes.openapi import describe
from routes.schemas.words import TEXT

blueprint = Blueprint("followup", __name__)

_PATIENTS = reading.limit(unless_said=1000, most=100_000)
_CHANGES = reading.limit(unless_said=200, most=100_000)
_MISSING = {404: ("No such patient", None)}
_TAG = "Follow-up"


@blueprint.get("/patients")
@describe("List the patients", {200: ("Those seen last first", "Patients")}, query=_PATIENTS.query, tag=_TAG)
def patients() -> Response:
    """List patients."""
    reading.only_queries(_PATIENTS.query)
    listed = store.list_patients(context().database, limit=int(_PATIENTS.asked()))
    return jsonify(patients=[patient_to_json(one) for one in listed])


@blueprint.get("/patients/<int:patient>/timeline")
@describe(
    "See the course of a patient",
    {200: ("Visits, lesions, sums, responses and their reasons", "Timeline"), **_MISSING},
    text="Judged anew from everything that is known, by RANO-BM. sizes of a lesion are in the order of the visits.",
    tag=_TAG,
)
def timeline(patient: int) -> Response:
    """Show a timeline."""
    reading.only_queries(())
    here = context()
    return jsonify(timeline_to_json(store.load_timeline(here.database, patient, here.rules)))


@blueprint.get("/patients/<int:patient>/timeline.csv")
@describe(
    "The timeline as a table",
    {200: ("One row per lesion and visit; UTF-8 with a byte-order mark, as spreadsheets want it", None), **_MISSING},
    media_type="text/csv",
    tag=_TAG,
)
def table(patient: int) -> Response:
    """Give the timeline as CSV."""
    from results.timeline_csv import timeline_csv

    reading.only_queries(())
    here = context()
    made = timeline_csv(store.load_timeline(here.database, patient, here.rules))
    headers = {"Content-Disposition": f'attachment; filename="patient-{patient}-timeline.csv"'}
    return Response(made, 200, headers, content_type="text/csv; charset=utf-8")


@blueprint.get("/patients/<int:patient>/report.pdf")
@describe(
    "The timeline as a report",
    {200: ("Table, growth curves, pictures of the lesions, and the responses with their reasons", None), **_MISSING},
    text="One page of A4; more where the newest visit says more than that holds.",
    media_type="application/pdf",
    tag=_TAG,
)
def report(patient: int) -> Response:
    """Give the report."""
    from results.timeline_pdf import timeline_pdf  # drawing is not needed to start

    reading.only_queries(())
    here = context()
    course = store.load_timeline(here.database, patient, here.rules)
    findings = [size.finding for lesion in course.lesions for size in lesion.sizes if size]
    page = timeline_pdf(course, store.key_images(here.database, findings), datetime.date.today())
    headers = {"Content-Disposition": f'inline; filename="patient-{patient}-report.pdf"'}
    return Response(page, 200, headers, content_type="application/pdf")


@blueprint.get("/patients/<int:patient>/changes")
@describe(
    "See what people have changed",
    {200: ("The newest first", "Changes"), **_MISSING},
    query=_CHANGES.query,
    tag=_TAG,
)
def changes(patient: int) -> Response:
    """List changes."""
    reading.only_queries(_CHANGES.query)
    listed = store.list_changes(context().database, patient, limit=int(_CHANGES.asked()))
    return jsonify(changes=changes_to_json(listed))


@blueprint.get("/studies/<uid:study>/lesions")
@describe(
    "See the lesions of a study",
    {
        200: ("Those of its newest segmentation, by the names they have now", "StudyLesions"),
        404: ("It was never segmented", None),
    },
    tag=_TAG,
)
def lesions(study: str) -> Response:
    """List the lesions of a study."""
    reading.only_queries(())
    database, uid = context().database, reading.uid(study, "StudyInstanceUID")
    found = store.study_lesions(database, uid)
    return jsonify(patient=store.patient_of(database, uid), lesions=[identity_to_json(one) for one in found])


@blueprint.get("/studies/<uid:study>/lesions/<uid:lesion>/image.png")
@describe(
    "See a lesion",
    {
        200: ("The plane of its longest diameter, with outline and diameters", None),
        304: ("It is still the one that If-None-Match names", None),
        404: ("The study was never segmented, or shows no such lesion", None),
    },
    text="lesion is the tracking UID that the lesion has in this study.",
    headers={"If-None-Match": {**TEXT, "description": "The ETag of the picture that is there already"}},
    gives={"ETag": "Names the picture, for If-None-Match"},
    media_type="image/png",
    tag=_TAG,
)
def picture(study: str, lesion: str) -> Response:
    """Show the picture of a lesion."""
    from results.key_images import coloured  # drawing is not needed to start

    reading.only_queries(())
    uids = reading.uid(study, "StudyInstanceUID"), reading.uid(lesion, "TrackingUID")
    response = Response(coloured(*store.key_image(context().database, *uids)), content_type="image/png")
    response.headers["Cache-Control"] = "private, no-cache"  # kept, but asked for again: it may have been replaced
    response.add_etag()
    response.make_conditional(request)
    return response
