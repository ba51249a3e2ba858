"""What an exception of any room means to the person who sent the job, in RFC 9457's words; kept with a failed job.

The table goes by the names of the exceptions, so that the database imports none of the rooms that raise them.
"""

import errno
import sqlite3

from BDD.records import Problem

_SMALLER = "Send it without compression, and without elements that no image needs."
_LATER = "See GET /ready for what is amiss, then send POST /jobs/{id}/retry."
_ANOTHER = "Name another series as SeriesInstanceUID."

# exception: status, name, title, what to do; the nearest class of an exception's ancestry counts
_PROBLEMS = {
    "StudyNotFoundError": (404, "study-not-found", "Study not found", "Send the study to the archive first."),
    "AmbiguousStudyError": (
        409,
        "ambiguous-study",
        "The study is under several patient IDs",
        "Delete the wrong one by hand, in Orthanc itself; then send it again.",
    ),
    "SeriesNotFoundError": (404, "series-not-found", "Series not found", "Name a series of this study."),
    "SeriesChangedError": (
        409,
        "series-changed",
        "The series changed while it was segmented",
        "Send POST /jobs/{id}/retry once all of it is there.",
    ),
    "JobNotFoundError": (404, "job-not-found", "Job not found", "GET /jobs lists the jobs."),
    "PatientNotFoundError": (404, "patient-not-found", "Patient not found", "GET /patients lists the patients."),
    "VisitNotFoundError": (404, "visit-not-found", "Visit not found", "Segment the study first: POST /segment."),
    "KeyImageNotFoundError": (404, "key-image-not-found", "Picture not found", "Segment the study again to draw it."),
    "LesionNotFoundError": (404, "lesion-not-found", "Lesion not found", "GET /patients/{id}/timeline lists them."),
    "ChangeNotFoundError": (404, "change-not-found", "Change not found", "GET /patients/{id}/changes lists them."),
    "EditConflictError": (409, "edit-conflict", "Somebody else has changed this", "Load it again, then decide anew."),
    "NameTakenError": (422, "name-taken", "The name is taken", "Choose another name."),
    "EditRefusedError": (422, "edit-refused", "The change is not possible", "See the timeline for what there is."),
    "JobStateError": (409, "job-state", "The job's state does not allow it", "See GET /jobs/{id} for its state."),
    "ArchiveTimeoutError": (504, "archive-timeout", "The archive did not answer in time", _LATER),
    "ArchiveUnavailableError": (502, "archive-unavailable", "The archive does not answer", _LATER),
    "StoreRejectedError": (502, "store-rejected", "The archive refused the results", "See the archive's log."),
    "InstanceTooLargeError": (413, "instance-too-large", "An instance is too large", _SMALLER),
    "ArchiveError": (502, "archive-error", "The archive could not do it", _LATER),
    "SelectionError": (409, "series-selection", "No single series to segment", _ANOTHER),
    "NotMRError": (422, "not-mr", "The series is not MR", "Name an MR series."),
    "UnreadablePixelsError": (422, "unreadable-pixels", "The images cannot be read", _ANOTHER),
    "ChangedImagesError": (
        409,
        "images-changed",
        "The images have changed since they were segmented",
        "Segment the series again: POST /segment.",
    ),
    "GeometryError": (422, "geometry", "The series is no regular volume", _ANOTHER),
    "ImagingError": (422, "unusable-series", "The series cannot be used", _ANOTHER),
    "NothingToSegmentError": (422, "empty-series", "The series shows nothing", _ANOTHER),
    "ModelError": (503, "model", "The model cannot be used", "GET /models says why; mended, it serves the next job."),
    "MemoryError": (503, "out-of-memory", "Out of memory", "End other programs on the worker's machine, then retry."),
    "SQLAlchemyError": (503, "database", "The database could not do it", _LATER),
}
_SILENT = ("SQLAlchemyError", "MemoryError")
"""Their own messages tell nothing, or quote the values of a row, a patient's among them."""

WORKER_LOST = Problem(
    "urn:metia:problem:worker-lost",
    "The worker ended while it was on this job, each time it was tried",
    500,
    "The worker process ended without a word: killed, or out of memory",
    "See the worker's log and the memory of its machine, then send POST /jobs/{id}/retry.",
)
_DISK_FULL = Problem(
    "urn:metia:problem:disk-full",
    "The disk is full",
    507,
    "There is no room left to note it; what was known before is as it was.",
    "Make room where VAR_DIR is, or the database where that is elsewhere, then send it again; "
    "a job goes on by POST /jobs/{id}/retry.",
)
_INTERNAL = Problem(
    "urn:metia:problem:internal", "Internal error", 500, "Nobody foresaw this; the log tells what happened.", _LATER
)


def problem_of(error: BaseException) -> Problem:
    """Give the problem that an exception means; one that nobody foresaw shows nothing of its inside.

    An exception with ``candidates`` (``imaging.selection.SelectionError``) passes them on.
    """
    if is_disk_full(error):
        return _DISK_FULL
    for kind in type(error).__mro__:
        if kind.__name__ in _PROBLEMS:
            status, name, title, what_to_do = _PROBLEMS[kind.__name__]
            detail = "The log tells more." if kind.__name__ in _SILENT else str(error) or title
            candidates = getattr(error, "candidates", None)
            extensions = {} if candidates is None else {"candidates": [one.to_json() for one in candidates]}
            return Problem(f"urn:metia:problem:{name}", title, status, detail, what_to_do, extensions)
    return _INTERNAL


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an exception means that: one of the system, of SQLite or of PostgreSQL, or SQLAlchemy's of these."""
    told = getattr(error, "orig", None) or error
    return (
        (isinstance(told, OSError) and told.errno in (errno.ENOSPC, errno.EDQUOT))
        or getattr(told, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        or "53100" in (getattr(told, "sqlstate", None), getattr(told, "pgcode", None))  # psycopg, psycopg2
    )
