"""A job as JSON: all that the database knows of it, and nothing of the patient."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from BDD import store
from BDD.models import FAILED, QUEUED, Job, LesionRow, Result
from results.context import NOTICE


def job_to_json(database: store.Database, job: Job) -> dict[str, Any]:
    """Give the members of schema ``Job``."""
    return jobs_to_json(database, [job])[0]


def jobs_to_json(database: store.Database, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Give the members of schema ``Job`` for each of these jobs; the queue is numbered once for all of them."""
    places = store.queue_positions(database, jobs)
    return [_to_json(job, places.get(job.job_id)) for job in jobs]


def _to_json(job: Job, place: int | None) -> dict[str, Any]:
    retried = job.state == QUEUED and job.is_held_back(datetime.now(UTC))
    return {
        "id": job.job_id,
        "purpose": job.purpose,
        "state": job.state,
        "stage": job.stage,
        "percent": int(100 * job.fraction),
        "queue_position": place,
        "StudyInstanceUID": job.study_instance_uid,
        "SeriesInstanceUID": job.series_instance_uid,
        "selection": job.selection,
        "outputs": job.outputs,
        "requested_model": job.requested_model,
        "model": _model(job),
        "attempts": job.attempts,
        "next_attempt": iso_time(job.not_before) if retried else None,
        "cancel_requested": job.cancel_requested,
        "version": job.version,
        "results": [_result(result) for result in job.results if result.written_at],
        "lesions": [lesion_to_json(lesion) for lesion in job.lesions],
        "timings": job.timings or {},
        "problem": job.problem if job.state in (FAILED, QUEUED) else None,
        "created": iso_time(job.created_at),
        "started": iso_time(job.started_at),
        "finished": iso_time(job.finished_at),
        "notice": NOTICE,
    }


def lesion_to_json(lesion: LesionRow) -> dict[str, Any]:
    """Give the members of schema ``Lesion``; the names, and their order, are those of ``lesions.json``."""
    return {
        "name": lesion.name,
        "label": lesion.label,
        "tracking_uid": lesion.tracking_uid,
        "volume_mm3": round(lesion.volume_mm3, 3),
        "longest_diameter_mm": round(lesion.longest_diameter_mm, 3),
        "longest_diameter_lps_mm": [lesion.longest_start_lps_mm, lesion.longest_end_lps_mm],
        "perpendicular_diameter_mm": round(lesion.perpendicular_diameter_mm, 3),
        "perpendicular_diameter_lps_mm": [lesion.perpendicular_start_lps_mm, lesion.perpendicular_end_lps_mm],
        "diameter_3d_mm": round(lesion.diameter_3d_mm, 3),
        "centroid_lps_mm": [round(value, 3) for value in lesion.centroid_lps_mm],
        "first_slice_sop_instance_uid": lesion.first_sop_instance_uid,
        "first_slice_frame_number": lesion.first_frame_number,
        "last_slice_sop_instance_uid": lesion.last_sop_instance_uid,
        "last_slice_frame_number": lesion.last_frame_number,
        "measured_slice_sop_instance_uid": lesion.measured_sop_instance_uid,
        "measured_slice_frame_number": lesion.measured_frame_number,
        "measured_plane": lesion.plane,
        "measurable": lesion.measurable,
        "measurable_reason": lesion.reason,
        "mean_probability": _rounded(lesion.mean_probability),
        "entropy_bits": _rounded(lesion.entropy_bits),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _result(result: Result) -> dict[str, Any]:
    return {
        "kind": result.kind,
        "SeriesInstanceUID": result.series_instance_uid,
        "SOPInstanceUID": result.sop_instance_uid,
        "superseded": iso_time(result.superseded_at),
        "retired": iso_time(result.retired_at),
    }


def _model(job: Job) -> dict[str, Any] | None:
    if job.model is None:
        return None
    return {key: getattr(job.model, key) for key in ("name", "version", "sha256", "statement")}


def iso_time(value: datetime | None) -> str | None:
    """Give a time as ISO 8601, to the millisecond."""
    return value.isoformat(timespec="milliseconds") if value else None
