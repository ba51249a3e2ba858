"""/jobs: what became of the requests, and how to stop one or run one again."""

from flask import Blueprint, Response, jsonify, request, url_for

from BDD import store
from BDD.models import JOB_STATES
from routes import reading
from routes.context import context
from routes.job_json import job_to_json, jobs_to_json
from routes.openapi import describe
from routes.problems import ProblemError, invalid
from routes.schemas.words import UID, one_of, reference
from routes.segment import LOCATION, WAIT, answer

blueprint = Blueprint("jobs", __name__, url_prefix="/jobs")

_LIMIT = reading.limit(unless_said=100, most=500)
_WHICH = ("all", "current")
_QUERY = {
    "state": {**reference("JobState"), "description": "Only jobs in this state"},
    "StudyInstanceUID": {**UID, "description": "Only jobs of this study"},
    "which": {
        **one_of(_WHICH),
        "default": "all",
        "description": "current: only those that have not ended, the one of each study that ended last, and of each "
        "series the segmentation and the result that ended last",
    },
    **_LIMIT.query,
}


@blueprint.get("")
@describe("List the jobs, newest first", {200: ("The jobs", "Jobs"), 400: ("Unknown state", None)}, query=_QUERY)
def every() -> Response:
    """List jobs."""
    here = context()
    reading.only_queries(_QUERY)
    state, study = request.args.get("state"), request.args.get("StudyInstanceUID")
    if state is not None and state not in JOB_STATES:
        raise invalid(f"state = {state[:80]!r} is none of {', '.join(JOB_STATES)}.")
    if study is not None:
        reading.uid(study, "StudyInstanceUID")
    which = request.args.get("which", "all")
    if which not in _WHICH:
        raise invalid(f"which = {which[:80]!r} is none of {', '.join(_WHICH)}.")
    jobs = store.list_jobs(
        here.database,
        states=[state] if state else [],
        study_instance_uid=study,
        current=which == "current",
        limit=int(_LIMIT.asked()),
    )
    return jsonify(jobs=jobs_to_json(here.database, jobs))


@blueprint.get("/<job_id>")
@describe(
    "See a job",
    {
        200: ("The job; with wait, once it has ended", "Job"),
        202: ("With wait: it has not ended", "Job"),
        404: ("No such job", None),
    },
    query=WAIT.query,
)
def one(job_id: str) -> Response:
    """Show a job."""
    here = context()
    reading.only_queries(WAIT.query)
    wait = WAIT.asked()
    job = store.get_job(here.database, job_id)
    return answer(here, job, wait) if wait else jsonify(job_to_json(here.database, job))


@blueprint.delete("/<job_id>")
@describe(
    "Cancel a job",
    {
        200: ("It did not run yet and is cancelled", "Job"),
        202: ("It runs, and stops at its next step", "Job"),
        404: ("No such job", None),
        409: ("It has ended, or is writing its results", None),
    },
    gives=LOCATION,
)
def cancel(job_id: str) -> Response:
    """Cancel a job."""
    here = context()
    store.request_cancel(here.database, job_id)
    return answer(here, store.get_job(here.database, job_id), 0)


@blueprint.post("/<job_id>/retry")
@describe(
    "Run a failed or cancelled job again",
    {
        200: ("With wait: the job, ended within the time that was waited", "Job"),
        202: ("The job, queued again under the same id", "Job"),
        404: ("No such job", None),
        409: ("Not possible now", None),
    },
    query=WAIT.query,
    gives=LOCATION,
)
def retry(job_id: str) -> Response:
    """Queue a job again."""
    here = context()
    reading.only_queries(WAIT.query)
    wait = WAIT.asked()
    try:
        store.retry(here.database, job_id)
    except store.SeriesBusyError as busy:
        other = url_for("jobs.one", job_id=busy.job_id)
        title, detail = "The series is being segmented", f"Job {busy.job_id} is segmenting the same series."
        raise ProblemError(409, "series-busy", title, detail, "Wait for that job.", job=other) from busy
    here.queue.enqueue(job_id)
    return answer(here, store.get_job(here.database, job_id), wait)
