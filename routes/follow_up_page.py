"""/follow-up: the pages on which a patient's course is seen, and what no image shows of it is entered.

Rendered here and complete without a script; the scripts in ``web/static`` draw the charts and send the entries.
"""

import unicodedata

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from BDD import store
from BDD.problems import problem_of
from rano.history import ClinicalStatus, summed
from rano.remarks import MEASURABLE, thresholds
from results.context import NOTICE
from results.numbers import cm3, signed_percent
from routes import bounds, reading
from routes.assets import asset_url, compressed
from routes.context import context
from routes.follow_up_charts import NAMED, bars, colour_of, curves, scatter, sum_chart
from routes.follow_up_view import View, arrange
from routes.openapi import describe
from routes.schemas.words import IN_ADDRESS, UID

blueprint = Blueprint("follow_up_page", __name__, url_prefix="/follow-up")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
_SHOWN, _CHANGES = 200, 10_000
_QUERY = {
    "q": {**IN_ADDRESS, "description": "Words of the name or the PatientID"},
    "StudyInstanceUID": {**UID, "description": "Go to the patient of this study, and to this visit"},
}
_VISIT = {"visit": {**UID, "description": "The visit to show closely; the last one by date unless said"}}


@blueprint.get("")
@describe(
    "Search for a patient",
    {
        200: ("The page", None),
        302: ("To the patient of the study that was named", None),
        404: ("A page: the study was never segmented", None),
    },
    query=_QUERY,
    pages=(404,),
    tag="Follow-up",
)
def search() -> BaseResponse:
    """Show the patients that the words name."""
    here = context()
    reading.only_queries(_QUERY)
    study = request.args.get("StudyInstanceUID")
    if study is not None:
        patient = store.patient_of(here.database, reading.uid(study, "StudyInstanceUID"))
        return redirect(url_for("follow_up_page.one", patient=patient, visit=study))
    words = request.args.get("q", "").strip()[:200]
    everyone = store.list_patients(here.database, limit=1_000_000)
    found = [one for one in everyone if _has(words, f"{one.patient_name} {one.patient_id or ''}")]
    return _page("follow_up_search.html", words=words, known=len(everyone), found=len(found), patients=found[:_SHOWN])


@blueprint.get("/<int:patient>")
@describe(
    "See the course of a patient",
    {200: ("The page", None), 404: ("A page: there is no such patient, or visit", None)},
    pages=(404,),
    query=_VISIT,
    tag="Follow-up",
)
def one(patient: int) -> Response:
    """Show a patient."""
    here = context()
    reading.only_queries(_VISIT)
    people = store.list_patients(here.database, key=patient)
    if not people:
        raise store.PatientNotFoundError(f"there is no patient {patient}")
    timeline = store.load_timeline(here.database, patient, here.rules)
    jobs = store.get_jobs(here.database, [visit.job_id for visit in timeline.visits])
    made = store.list_changes(here.database, patient, limit=_CHANGES)
    view = arrange(timeline, jobs, made, request.args.get("visit"))
    return _page(
        "follow_up.html",
        patient=people[0],
        view=view,
        figures=_figures(view),
        colour_of=colour_of,
        named=NAMED,
        statuses=[*ClinicalStatus],
        thresholds=thresholds(timeline.assessment.rules),
        summed=summed(timeline.assessment.rules.target_rule),
        measurable=MEASURABLE,
        user=reading.named_user(),
        user_length=bounds.USER_LENGTH,
        note_length=bounds.NOTE_LENGTH,
        maximum_mg=bounds.MAXIMUM_MG,
        unusual_mg=bounds.UNUSUAL_MG,
        signed_percent=signed_percent,
        cm3=cm3,
        notice=NOTICE,
    )


@blueprint.errorhandler(store.StoreError)
def missing(error: store.StoreError) -> Response:
    """Say in words that there is no such patient."""
    problem = problem_of(error)
    response = _page("follow_up_missing.html", problem=problem)
    response.status_code = problem.status
    return response


def _figures(view: View) -> dict[str, object]:
    """Give the charts there is something to draw in, by the id of their place in the page."""
    timeline, lesions = view.timeline, view.lesions
    figures = {
        "sum": sum_chart(timeline),
        "diameters": curves(timeline, lesions, "longest_mm"),
        "volumes": curves(timeline, lesions, "volume_mm3"),
        "bars": bars(lesions, view.chosen) if timeline.visits else None,
        "scatter": scatter(lesions, view.chosen) if timeline.visits else None,
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _has(words: str, text: str) -> bool:
    folded = _fold(text)
    return all(word in folded for word in _fold(words).split())


def _fold(text: str) -> str:
    """Give a text without case, accents, and the carets of DICOM's names."""
    plain = unicodedata.normalize("NFKD", text.replace("^", " ")).casefold()
    return "".join(character for character in plain if not unicodedata.combining(character))


def _page(template: str, **values: object) -> Response:
    response = compressed(Response(render_template(template, **{"asset": asset_url} | values)))
    response.headers["Content-Security-Policy"] = _POLICY
    return response
