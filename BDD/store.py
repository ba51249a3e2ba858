"""Everything the other rooms ask of the database, by one name: ``from BDD import store``.

Each function takes the ``Database`` first and is one transaction of its own.
"""

from BDD.database import Database, open_database
from BDD.job_run_store import advance, claim_job, record_cancelled, record_failure, requeue, requeue_orphans
from BDD.job_store import create_job, get_job, list_jobs, queue_position, queued_jobs, request_cancel, retry
from BDD.outcome_store import earlier_lesions, plan_results, record_outcome, record_retired, results_to_retire
from BDD.records import (
    JobLostError,
    JobNotFoundError,
    JobStateError,
    ModelRecord,
    Problem,
    ResultRecord,
    SeriesBusyError,
    SeriesRecord,
    StoreError,
    StudyBusyError,
)
from BDD.worker_store import (
    ALIVE_SECONDS,
    bury_dead_workers,
    last_worker,
    live_workers,
    worker_ready,
    worker_seen,
    worker_started,
    worker_stopped,
)

__all__ = [
    "ALIVE_SECONDS",
    "Database",
    "JobLostError",
    "JobNotFoundError",
    "JobStateError",
    "ModelRecord",
    "Problem",
    "ResultRecord",
    "SeriesBusyError",
    "SeriesRecord",
    "StoreError",
    "StudyBusyError",
    "advance",
    "bury_dead_workers",
    "claim_job",
    "create_job",
    "earlier_lesions",
    "get_job",
    "last_worker",
    "list_jobs",
    "live_workers",
    "open_database",
    "plan_results",
    "queue_position",
    "queued_jobs",
    "record_cancelled",
    "record_failure",
    "record_outcome",
    "record_retired",
    "request_cancel",
    "requeue",
    "requeue_orphans",
    "results_to_retire",
    "retry",
    "worker_ready",
    "worker_seen",
    "worker_started",
    "worker_stopped",
]
