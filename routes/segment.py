"""POST /segment: checks the request against the archive, chooses the series, and queues a job."""

from typing import Any

from flask import Blueprint, Response, jsonify, url_for

from BDD import store
from BDD.models import FINAL_STATES, SEGMENT, Job
from imaging.errors import NotMRError
from imaging.selection import Selection, choose, rank
from Orthanc.archive import SeriesNotFoundError
from results.objects import WRITTEN
from routes import reading
from routes.context import Context, context
from routes.job_json import job_to_json
from routes.openapi import describe
from routes.problems import ProblemError, invalid

blueprint = Blueprint("segment", __name__)

RELABEL_SECONDS = 30.0
WAIT = reading.Number(
    "wait",
    "Hold the answer until the job ends, for so many seconds at most",
    unless_said=0,
    least=0,
    most=lambda: context().settings.api_wait_max,
)


LOCATION = {"Location": "Address of the job"}


@blueprint.post("/segment")
@describe(
    "Segment a series of a study",
    {
        200: ("The job, ended within the time that was waited", "Job"),
        202: ("The job; Location is its address. While a job of the same series is open, that job", "Job"),
        400: ("Malformed UID, unknown model or output", None),
        404: ("The archive has no such study or series", None),
        409: (
            "No series qualifies, or several do: name one of the candidates; or an open job does otherwise; "
            "or the archive has the study under several patient IDs",
            None,
        ),
        422: ("The series is not MR", None),
        502: ("The archive does not answer", None),
        504: ("The archive did not answer in time", None),
    },
    text="The series is chosen here and now; what it is worth as a volume shows when the job reads it.",
    body="SegmentRequest",
    query=WAIT.query,
    gives=LOCATION,
    tag="Segment",
)
def segment() -> Response:
    """Queue a job for one series."""
    here = context()
    reading.only_queries(WAIT.query)
    wait = WAIT.asked()
    body = reading.json_object(("StudyInstanceUID", "SeriesInstanceUID", "model", "outputs"))
    study = reading.uid(body.get("StudyInstanceUID"), "StudyInstanceUID")
    series = body.get("SeriesInstanceUID")
    if series is not None:
        reading.uid(series, "SeriesInstanceUID")
    outputs, model = _outputs(body.get("outputs")), _model(here, body.get("model"))

    return answer(here, queue(here, study, series, outputs, model), wait)


def queue(here: Context, study: str, series: str | None, outputs: list[str], model: str | None) -> Job:
    """Choose the series, or take the named one, and queue a job for it; give the open one that does just that."""
    selection = _select(here, study, series)
    chosen = selection["chosen"]["SeriesInstanceUID"]
    with here.patience(RELABEL_SECONDS) as again:
        while True:
            try:
                job = store.create_job(
                    here.database,
                    study_instance_uid=study,
                    series_instance_uid=chosen,
                    selection=selection,
                    outputs=outputs,
                    model=model,
                )
            except store.SeriesBusyError as busy:
                open_job = store.get_job(here.database, busy.job_id)
                # where names are being written into an earlier version, that takes seconds; those that wait give way
                if open_job.purpose == SEGMENT or not again():
                    return _same(here, open_job, study, outputs, model)
            else:
                here.queue.enqueue(job.job_id)
                return job


def answer(here: Context, job: Job, wait: float) -> Response:
    """Answer with the job: 202 while it is open, 200 once it has ended, waited for as long as may be."""
    job = wait_for(here, job, wait)
    response = jsonify(job_to_json(here.database, job))
    response.status_code = 200 if job.state in FINAL_STATES else 202
    response.headers["Location"] = url_for("jobs.one", job_id=job.job_id)
    return response


def wait_for(here: Context, job: Job, seconds: float) -> Job:
    """Give the job once it has ended, or as it is after so many seconds, or now if too many requests wait already."""
    with here.patience(seconds) as again:
        while job.state not in FINAL_STATES and again():
            job = store.get_job(here.database, job.job_id)
    return job


def _outputs(value: Any) -> list[str]:
    if value is None:
        return list(WRITTEN)
    wanted = [kind for kind in WRITTEN if isinstance(value, list) and kind in value]
    if not wanted or len(wanted) != len(value):  # something else is in it, or the same twice
        raise invalid(f"outputs = {str(value)[:80]} is not usable; expected a list of {', '.join(WRITTEN)}, each once.")
    return wanted


def _model(here: Context, name: Any) -> str | None:
    if name is None:
        return None
    found = here.models
    known = list(found.models)
    if known and name not in known:
        detail = f"There is no model {str(name)[:80]!r}; there is {', '.join(known)}."
        raise invalid(detail, models=known, refused=found.refused)
    return found.find(str(name)).name


def _select(here: Context, study: str, series: str | None) -> dict[str, Any]:
    """Choose the series, or take the named one; every candidate is kept with its reasons."""
    summaries = here.archive.list_series(study)
    if series is None:
        return {**choose(summaries).to_json(), "named_by_caller": False}
    candidates = rank(summaries)
    named = next((one for one in candidates if one.series_instance_uid == series), None)
    if named is None:
        raise SeriesNotFoundError(f"Study {study} has no series {series}.")
    if named.modality != "MR":
        raise NotMRError(f"Series {series} is {named.modality or 'of no modality'}, not MR.")
    return {**Selection(named, candidates).to_json(), "named_by_caller": True}


def _same(here: Context, job: Job, study: str, outputs: list[str], model: str | None) -> Job:
    """Give the open job of the series, if it does what is asked for."""
    default = here.models.default
    runs, wanted = job.requested_model or default, model or default
    if job.purpose == SEGMENT and (job.study_instance_uid, job.outputs, runs) == (study, outputs, wanted):
        return job
    if job.purpose != SEGMENT:
        title, does = "The series is being written", "is writing its results again, under changed names"
    elif job.study_instance_uid != study:
        title, does = "The series is being segmented in another study", "is working on it where it was before"
    else:
        title = "The series is being segmented otherwise"
        does = f"is segmenting it, to write {', '.join(job.outputs)} with {runs or 'the default model'}"
    raise ProblemError(
        409,
        "series-busy",
        title,
        f"Job {job.job_id} {does}.",
        "Wait for that job, or cancel it, and send the request again.",
        job=url_for("jobs.one", job_id=job.job_id),
    )
