"""What the published MetIA front-end sends: segment, upload, rename, delete. Same addresses, keys and statuses as ever.

Errors are ``{"error": "..."}``, and the whole of it is answered at the end only: an answer of success means that the
archive holds what was asked for. Everything is done by the same parts that serve the rest of the API.
"""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from BDD import store
from BDD.models import DONE, FAILED, FINAL_STATES, OPEN_STATES, RELABEL, Job
from Orthanc.archive import StudyNotFoundError
from results.objects import WRITTEN
from routes import changes, reading, segment, uploads
from routes.context import Context, context
from routes.openapi import describe
from routes.problems import ProblemError, logged_problem
from routes.schemas.metia import ERROR

blueprint = Blueprint("metia", __name__)

TAG = "Published MetIA front-end"
WRITE_SECONDS, SETTLE_SECONDS = 60.0, 5.0
_USER = "MetIA front-end"
_MISSING = "Missing required parameters"
_HALF_DELETED = "The archive has the study no more, but what is known of it is still here: send the same again."


def error_response(error: Exception) -> Response:
    """Say what went wrong as the published front-end reads it."""
    if isinstance(error, ProblemError):
        problem = error.problem
    elif isinstance(error, HTTPException):
        return _answer(error.code or 500, error=error.description or error.name)
    else:
        problem = logged_problem(error)
    return _answer(problem.status, error=problem.detail)


blueprint.register_error_handler(Exception, error_response)


@blueprint.post("/segmentation/<uid:study>")
@describe(
    "Segment a study, and answer at the end",
    {200: ("Its results are in the archive", "Success"), 404: ("No such study", None)},
    tag=TAG,
    error=ERROR,
)
def segmentation(study: str) -> Response:
    """Segment a study."""
    here = context()
    try:
        job = segment.queue(here, reading.uid(study, "StudyInstanceUID"), None, list(WRITTEN), None)
    except (StudyNotFoundError, ProblemError) as error:
        if isinstance(error, ProblemError) and error.problem.status != 400:
            raise
        return _answer(404, error="StudyInstanceUID not found")
    job = segment.wait_for(here, job, here.settings.api_wait_max)
    if job.state == DONE:
        _settle(here)
        return _answer(200, success="DICOM files retrieved and processed successfully.")
    if job.state in FINAL_STATES:
        return _ended_badly(job)
    return _answer(504, error=f"Not ready yet: job {job.job_id} goes on, see /jobs/{job.job_id}.")


@blueprint.post("/uploadDicom")
@describe(
    "Send DICOM files to the archive",
    {
        200: ("The archive has them all", "Success"),
        400: ("No file, or one that is no DICOM", None),
        413: ("More than UPLOAD_MAX_MB, or a deflated file that unpacks to more than that or 256 MiB", None),
        507: ("No room to take it in", None),
    },
    text="multipart/form-data, field files[], as often as there are files. One file amiss, and none is stored.",
    body="Upload",
    body_type="multipart/form-data",
    tag=TAG,
    error=ERROR,
)
def upload() -> Response:
    """Store DICOM files."""
    here = context()
    with uploads.received("files[]", here.settings.upload_max_bytes) as sent:
        if not sent:
            return _answer(400, error="No file: expected the field files[].")
        try:
            here.archive.store_files(uploads.instances(sent, here.settings.upload_max_bytes))
        except uploads.NoInstanceError as error:
            return _answer(400, error=str(error))
    return _answer(200, success="DICOM files uploaded and processed successfully")


@blueprint.post("/rename-roi")
@describe(
    "Rename the lesion that an RTSTRUCT shows as this ROI",
    {
        200: ("RTSTRUCT and SEG carry the new name", "Success"),
        400: ("Something is missing", None),
        404: ("There is no such ROI", None),
    },
    body="RenameRoi",
    tag=TAG,
    error=ERROR,
)
def rename_roi() -> Response:
    """Rename a lesion."""
    return _edit_roi("new_name", lambda name: {"name": changes.lesion_name(name)}, "ROI renamed successfully")


@blueprint.post("/delete-roi")
@describe(
    "Take the lesion that an RTSTRUCT shows as this ROI for none",
    {
        200: ("RTSTRUCT and SEG show it no more", "Success"),
        400: ("Something is missing", None),
        404: ("There is no such ROI", None),
    },
    text="As PATCH /lesions/{id} with not_a_lesion; it can be taken back.",
    body="DeleteRoi",
    tag=TAG,
    error=ERROR,
)
def delete_roi() -> Response:
    """Take a lesion for none."""
    return _edit_roi(None, lambda _: {"not_a_lesion": True}, "ROI deleted successfully")


@blueprint.delete("/delete-study/<uid:study>")
@describe(
    "Delete a study from the archive, with all that is known of it",
    {
        200: ("It is gone", "Success"),
        404: ("No such study", None),
        409: ("A job of the study is open; or the archive has the study under several patient IDs", None),
    },
    tag=TAG,
    error=ERROR,
)
def delete_study(study: str) -> Response:
    """Delete a study."""
    here = context()
    reading.only_queries(())
    reading.uid(study, "StudyInstanceUID")
    if (job := _user_of(here, study)) is not None:
        return _answer(409, error=f"The study is in use: wait for job {job.job_id}, or cancel it.")
    in_archive = True
    try:  # the archive first: whatever it refuses, nothing is forgotten of a study that stays
        here.archive.delete_study(study)
    except StudyNotFoundError:
        in_archive = False  # a second try after half of the work, or deleted in Orthanc itself
    try:
        known = store.forget_study(here.database, study)
    except Exception as error:
        why = error_response(error)
        return _answer(why.status_code, error=f"{_HALF_DELETED} {why.get_json()['error']}")
    if not known and not in_archive:
        return _answer(404, error=f"There is no study {study}.")
    return _answer(200, success="Instance DICOM supprimée avec succès")


def _edit_roi(more: str | None, values: Callable[[Any], dict[str, Any]], success: str) -> Response:
    here = context()
    body = request.get_json(silent=True)
    body = body if isinstance(body, dict) else {}
    study, series = (str(body.get(key) or "") for key in ("study_instance_uid", "serie_instance_uid"))
    number, given = body.get("roi_number"), body.get(more) if more else "nothing more"
    if not (study and series and given) or not str(number).isdecimal():
        return _answer(400, error=_MISSING)
    reading.uid(study, "study_instance_uid")
    reading.uid(series, "serie_instance_uid")
    lesion = store.find_metia_roi(here.database, study, series, int(str(number)[:9]))
    if lesion is None:
        return _answer(404, error=f"ROI number {number} not found in RTStruct")
    store.edit_lesion(here.database, lesion.id, values(given), version=lesion.version, made_by=_USER)
    return _written(here, study) or _answer(200, success=success)


def _written(here: Context, study: str) -> Response | None:
    """Wait until the archive has what was decided; give the error when it has not."""
    with here.patience(WRITE_SECONDS) as again:
        while _being_written(here, study):
            if not again():
                return _answer(504, error="Noted, and written into the archive as soon as a worker gets to it.")
    newest = store.list_jobs(here.database, study_instance_uid=study, limit=1)[0]
    if newest.purpose == RELABEL and newest.state == FAILED:
        return _ended_badly(newest)
    _settle(here)
    return None


def _being_written(here: Context, study: str) -> bool:
    for job_id in store.queue_relabelling(here.database, here.rules):
        here.queue.enqueue(job_id)
    return bool(store.list_jobs(here.database, states=OPEN_STATES, study_instance_uid=study, limit=1))


def _user_of(here: Context, study: str) -> Job | None:
    """Give the job that works on a study; one that only writes results again is waited for."""
    with here.patience(WRITE_SECONDS) as again:
        while jobs := store.list_jobs(here.database, states=OPEN_STATES, study_instance_uid=study, limit=1):
            if jobs[0].purpose != RELABEL or not again():
                return jobs[0]
    return None


def _settle(here: Context) -> None:
    """Wait a moment until what was replaced is out of the archive, so that a viewer that looks now sees one version."""
    with here.patience(SETTLE_SECONDS) as again:
        while store.results_to_retire(here.database, confirmed=True) and again():
            pass


def _ended_badly(job: Job) -> Response:
    problem = job.problem or {"status": 409, "detail": f"Job {job.job_id} was cancelled."}
    return _answer(int(problem["status"]), error=str(problem["detail"]))


def _answer(status: int, **body: Any) -> Response:
    response = jsonify(body)
    response.status_code = status
    return response
