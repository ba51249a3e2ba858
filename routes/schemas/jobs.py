"""Jobs: what can be asked for, how far it is, what was found."""

from typing import Any

from BDD.models import JOB_STATES, RELABEL, SEGMENT
from results.objects import WRITTEN
from routes.schemas.words import (
    MM,
    TEXT,
    TEXT_OR_NULL,
    TIME,
    TRUTH,
    UID,
    list_of,
    one_of,
    or_null,
    reference,
    request_of,
    structure,
)

_POINT = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3, "description": "LPS, mm"}
_CHORD = {"type": "array", "items": _POINT, "minItems": 2, "maxItems": 2, "description": "Both ends, LPS, mm"}
_FRAME = {"type": ["integer", "null"], "description": "1-based frame; null for single-frame instances"}
_OUTPUTS = {**list_of("ResultKind"), "minItems": 1, "uniqueItems": True}

SCHEMAS: dict[str, Any] = {
    "SegmentRequest": request_of(
        {
            "StudyInstanceUID": UID,
            "SeriesInstanceUID": {
                **UID,
                "type": ["string", "null"],
                "description": "Default, or null: the post-contrast T1 volume is chosen",
            },
            "model": {**TEXT_OR_NULL, "description": "A name of GET /models. Default, or null: that of MODEL_PATH"},
            "outputs": {**_OUTPUTS, "type": ["array", "null"], "description": "What to write. Default, or null: all"},
        },
        required=["StudyInstanceUID"],
    ),
    "Job": structure(
        {
            "id": TEXT,
            "purpose": {**one_of((SEGMENT, RELABEL)), "description": "relabel: written again under changed names"},
            "state": reference("JobState"),
            "stage": {**TEXT, "description": "The last running state that was reached"},
            "percent": {"type": "integer", "minimum": 0, "maximum": 100},
            "queue_position": {"type": ["integer", "null"], "description": "1 is next; null when it does not wait"},
            "StudyInstanceUID": UID,
            "SeriesInstanceUID": UID,
            "selection": reference("Selection"),
            "outputs": _OUTPUTS,
            "requested_model": {"type": ["string", "null"]},
            "model": or_null("ModelUsed"),
            "attempts": {"type": "integer"},
            "next_attempt": {**TIME, "description": "When a job that waits to be tried again is taken up"},
            "cancel_requested": TRUTH,
            "version": {"type": ["integer", "null"], "description": "Number of this result among those of its series"},
            "results": {
                **list_of("Result"),
                "description": "What the archive has so far: all of it once the job is done",
            },
            "lesions": list_of("Lesion"),
            "timings": {
                "type": "object",
                "additionalProperties": {"type": "number"},
                "description": "Seconds by stage",
            },
            "problem": or_null("Problem"),
            "created": TIME,
            "started": TIME,
            "finished": TIME,
            "notice": TEXT,
        }
    ),
    "JobState": one_of(JOB_STATES),
    "Jobs": structure({"jobs": list_of("Job")}),
    "Selection": structure(
        {
            "chosen": reference("Candidate"),
            "candidates": list_of("Candidate"),
            "named_by_caller": TRUTH,
        }
    ),
    "Candidate": structure(
        {
            "SeriesInstanceUID": UID,
            "SeriesDescription": TEXT,
            "Modality": TEXT,
            "NumberOfSeriesRelatedInstances": {"type": "integer"},
            "score": {"type": "number"},
            "reasons": {"type": "array", "items": TEXT},
            "excluded": {"type": ["string", "null"], "description": "Why it is never chosen"},
        }
    ),
    "ResultKind": one_of(WRITTEN),
    "Result": structure(
        {
            "kind": reference("ResultKind"),
            "SeriesInstanceUID": UID,
            "SOPInstanceUID": UID,
            "superseded": {**TIME, "description": "Since when a newer version replaces it, or its job has failed"},
            "retired": {**TIME, "description": "When it was taken out of the archive"},
        }
    ),
    "Lesion": structure(
        {
            "name": TEXT,
            "label": {"type": "integer", "description": "Segment number and ROINumber"},
            "tracking_uid": UID,
            "volume_mm3": {"type": "number"},
            "longest_diameter_mm": MM,
            "longest_diameter_lps_mm": _CHORD,
            "perpendicular_diameter_mm": MM,
            "perpendicular_diameter_lps_mm": _CHORD,
            "diameter_3d_mm": MM,
            "centroid_lps_mm": _POINT,
            "first_slice_sop_instance_uid": UID,
            "first_slice_frame_number": _FRAME,
            "last_slice_sop_instance_uid": UID,
            "last_slice_frame_number": _FRAME,
            "measured_slice_sop_instance_uid": UID,
            "measured_slice_frame_number": _FRAME,
            "measured_plane": TEXT,
            "measurable": {"type": "boolean", "description": "In the sense of RANO-BM"},
            "measurable_reason": TEXT,
            "mean_probability": {
                "type": ["number", "null"],
                "description": "Of its voxels, 0.5 being the surface; not the chance that it is a metastasis",
            },
            "entropy_bits": {"type": ["number", "null"], "description": "Mean of its voxels: 0 sure, 1 a coin's toss"},
        }
    ),
    "ModelUsed": structure({"name": TEXT, "version": TEXT, "sha256": TEXT, "statement": TEXT}),
}
