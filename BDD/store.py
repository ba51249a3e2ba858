"""Everything the other rooms ask of the database, by one name: ``from BDD import store``.

Each function takes the ``Database`` first and is one transaction of its own. What the worker alone asks for is in
``following_store`` and ``rethread_store``, which bring registration along, and ``course_store``.
"""

from BDD.autoroute_store import advance_log, begin_log, end_log, log_position, was_segmented
from BDD.change_store import (
    LESION_FIELDS,
    VISIT_FIELDS,
    assess_visit,
    edit_lesion,
    list_changes,
    undo_change,
)
from BDD.database import Database, open_database
from BDD.followup_store import PatientSummary, list_patients, patient_of, study_lesions
from BDD.forget_store import forget_study
from BDD.job_run_store import advance, claim_job, record_cancelled, record_failure, requeue, requeue_orphans
from BDD.job_store import create_job, get_job, get_jobs, list_jobs, queue_positions, request_cancel, retry, waiting_jobs
from BDD.key_image_store import key_image, key_images
from BDD.metia_store import Roi, find_metia_roi, metia_patients, metia_rois, metia_series, metia_studies
from BDD.outcome_store import (
    describe_again,
    earlier_lesions,
    note_written,
    plan_results,
    record_outcome,
)
from BDD.records import (
    ChangeNotFoundError,
    EditConflictError,
    EditRefusedError,
    JobLostError,
    JobNotFoundError,
    JobStateError,
    KeyImageNotFoundError,
    LesionNotFoundError,
    ModelRecord,
    NameTakenError,
    PatientNotFoundError,
    Problem,
    ResultRecord,
    SeriesBusyError,
    SeriesRecord,
    StoreError,
    StudyBusyError,
    VisitNotFoundError,
)
from BDD.relabel_store import Found, found_in, queue_relabelling
from BDD.retiring_store import begin_retiring, end_retiring, record_retired, results_to_retire
from BDD.timeline_store import load_timeline
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
    "LESION_FIELDS",
    "VISIT_FIELDS",
    "ChangeNotFoundError",
    "Database",
    "EditConflictError",
    "EditRefusedError",
    "Found",
    "JobLostError",
    "JobNotFoundError",
    "JobStateError",
    "KeyImageNotFoundError",
    "LesionNotFoundError",
    "ModelRecord",
    "NameTakenError",
    "PatientNotFoundError",
    "PatientSummary",
    "Problem",
    "ResultRecord",
    "Roi",
    "SeriesBusyError",
    "SeriesRecord",
    "StoreError",
    "StudyBusyError",
    "VisitNotFoundError",
    "advance",
    "advance_log",
    "assess_visit",
    "begin_log",
    "begin_retiring",
    "bury_dead_workers",
    "claim_job",
    "create_job",
    "describe_again",
    "earlier_lesions",
    "edit_lesion",
    "end_log",
    "end_retiring",
    "find_metia_roi",
    "forget_study",
    "found_in",
    "get_job",
    "get_jobs",
    "key_image",
    "key_images",
    "last_worker",
    "list_changes",
    "list_jobs",
    "list_patients",
    "live_workers",
    "load_timeline",
    "log_position",
    "metia_patients",
    "metia_rois",
    "metia_series",
    "metia_studies",
    "note_written",
    "open_database",
    "patient_of",
    "plan_results",
    "queue_positions",
    "queue_relabelling",
    "record_cancelled",
    "record_failure",
    "record_outcome",
    "record_retired",
    "request_cancel",
    "requeue",
    "requeue_orphans",
    "results_to_retire",
    "retry",
    "study_lesions",
    "undo_change",
    "waiting_jobs",
    "was_segmented",
    "worker_ready",
    "worker_seen",
    "worker_started",
    "worker_stopped",
]
