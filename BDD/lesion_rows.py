"""A lesion as a row, and a row as a lesion again."""

from collections.abc import Sequence
from typing import Any

from BDD.followup_models import TrackedLesion
from BDD.models import Job, LesionRow
from BDD.records import SliceName
from rano.lesion import Chord, Confidence, Lesion, Measurement, Point


def lesion_row(job: Job, lesion: Lesion, slices: Sequence[SliceName]) -> LesionRow:
    """Give a lesion as a row of the job that found it; ``slices[k]`` names slice k of the label map."""
    found = lesion.measurement
    first, last, measured = (slices[k] for k in (found.first_slice, found.last_slice, found.measured_slice))
    return LesionRow(
        job_key=job.id,
        label=found.label,
        number=lesion.number,
        name=lesion.name,
        tracking_uid=lesion.tracking_uid,
        volume_mm3=float(found.volume_mm3),
        longest_diameter_mm=float(found.longest.length_mm),
        longest_start_lps_mm=_floats(found.longest.start_lps_mm),
        longest_end_lps_mm=_floats(found.longest.end_lps_mm),
        perpendicular_diameter_mm=float(found.perpendicular.length_mm),
        perpendicular_start_lps_mm=_floats(found.perpendicular.start_lps_mm),
        perpendicular_end_lps_mm=_floats(found.perpendicular.end_lps_mm),
        diameter_3d_mm=float(found.diameter_3d_mm),
        centroid_lps_mm=_floats(found.centroid_lps_mm),
        plane=found.plane,
        measurable=bool(found.measurable),
        reason=found.reason,
        first_slice=int(found.first_slice),
        first_sop_instance_uid=str(first.sop_instance_uid),
        first_frame_number=first.frame_number,
        last_slice=int(found.last_slice),
        last_sop_instance_uid=str(last.sop_instance_uid),
        last_frame_number=last.frame_number,
        measured_slice=int(found.measured_slice),
        measured_sop_instance_uid=str(measured.sop_instance_uid),
        measured_frame_number=measured.frame_number,
        mean_probability=found.confidence and found.confidence.mean_probability,
        entropy_bits=found.confidence and found.confidence.entropy_bits,
    )


def lesion_of(row: LesionRow, identity: TrackedLesion, label: int | None = None) -> Lesion:
    """Give a lesion row as a lesion of this identity and label; by default its own label."""
    return Lesion(
        name=identity.name,
        tracking_uid=identity.tracking_uid,
        number=identity.number,
        measurement=Measurement(
            label=label or row.label,
            volume_mm3=row.volume_mm3,
            longest=_chord(row.longest_diameter_mm, row.longest_start_lps_mm, row.longest_end_lps_mm),
            perpendicular=_chord(
                row.perpendicular_diameter_mm, row.perpendicular_start_lps_mm, row.perpendicular_end_lps_mm
            ),
            diameter_3d_mm=row.diameter_3d_mm,
            centroid_lps_mm=_point(row.centroid_lps_mm),
            first_slice=row.first_slice,
            last_slice=row.last_slice,
            measured_slice=row.measured_slice,
            plane=row.plane,
            measurable=row.measurable,
            reason=row.reason,
            confidence=_confidence(row.mean_probability, row.entropy_bits),
        ),
    )


def _confidence(mean_probability: float | None, entropy_bits: float | None) -> Confidence | None:
    if mean_probability is None or entropy_bits is None:
        return None
    return Confidence(mean_probability, entropy_bits)


def _chord(length_mm: float, start: Any, end: Any) -> Chord:
    return Chord(length_mm, _point(start), _point(end))


def _point(values: Sequence[float]) -> Point:
    x, y, z = values
    return x, y, z


def _floats(values: Sequence[float]) -> list[float]:
    return [float(value) for value in values]
