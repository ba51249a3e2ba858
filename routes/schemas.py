"""The JSON the API takes and gives, as JSON schemas; ``/openapi.json`` and ``/docs`` show them."""

from typing import Any

from BDD.models import JOB_STATES
from segmentation import OUTPUTS

_UID = {"type": "string", "maxLength": 64, "examples": ["1.2.840.113619.2.5.1762583153"]}
_TEXT = {"type": "string"}
_TIME = {"type": ["string", "null"], "format": "date-time"}
_MM = {"type": "number", "description": "mm"}
_POINT = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3, "description": "LPS, mm"}
_CHORD = {"type": "array", "items": _POINT, "minItems": 2, "maxItems": 2, "description": "Both ends, LPS, mm"}
_FRAME = {"type": ["integer", "null"], "description": "1-based frame; null for single-frame instances"}
_OUTPUTS = {"type": "array", "items": {"enum": list(OUTPUTS)}, "minItems": 1, "uniqueItems": True}


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    """Describe an object; all of its members are there unless ``required`` lists those that are."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }


def _list(schema: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}}


SCHEMAS: dict[str, Any] = {
    "SegmentRequest": _object(
        {
            "StudyInstanceUID": _UID,
            "SeriesInstanceUID": {**_UID, "description": "Default: the post-contrast T1 volume is chosen"},
            "model": {**_TEXT, "description": "A name of GET /models. Default: the model of MODEL_PATH"},
            "outputs": {**_OUTPUTS, "description": "What to write. Default: all"},
        },
        required=["StudyInstanceUID"],
    ),
    "Job": _object(
        {
            "id": _TEXT,
            "state": {"enum": list(JOB_STATES)},
            "stage": {**_TEXT, "description": "The last running state that was reached"},
            "percent": {"type": "integer", "minimum": 0, "maximum": 100},
            "queue_position": {"type": ["integer", "null"], "description": "1 is next; null when it does not wait"},
            "StudyInstanceUID": _UID,
            "SeriesInstanceUID": _UID,
            "selection": {"$ref": "#/components/schemas/Selection"},
            "outputs": _OUTPUTS,
            "requested_model": {"type": ["string", "null"]},
            "model": {"anyOf": [{"$ref": "#/components/schemas/ModelUsed"}, {"type": "null"}]},
            "attempts": {"type": "integer"},
            "next_attempt": {**_TIME, "description": "When a job that waits to be tried again is taken up"},
            "cancel_requested": {"type": "boolean"},
            "version": {"type": ["integer", "null"], "description": "Number of this result among those of its series"},
            "results": _list("Result"),
            "lesions": _list("Lesion"),
            "timings": {
                "type": "object",
                "additionalProperties": {"type": "number"},
                "description": "Seconds by stage",
            },
            "problem": {"anyOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "null"}]},
            "created": _TIME,
            "started": _TIME,
            "finished": _TIME,
            "notice": _TEXT,
        }
    ),
    "Jobs": _object({"jobs": _list("Job")}),
    "Selection": _object(
        {
            "chosen": {"$ref": "#/components/schemas/Candidate"},
            "candidates": _list("Candidate"),
            "named_by_caller": {"type": "boolean"},
        }
    ),
    "Candidate": _object(
        {
            "SeriesInstanceUID": _UID,
            "SeriesDescription": _TEXT,
            "Modality": _TEXT,
            "NumberOfSeriesRelatedInstances": {"type": "integer"},
            "score": {"type": "number"},
            "reasons": {"type": "array", "items": _TEXT},
            "excluded": {"type": ["string", "null"], "description": "Why it is never chosen"},
        }
    ),
    "Result": _object(
        {
            "kind": {"enum": list(OUTPUTS)},
            "SeriesInstanceUID": _UID,
            "SOPInstanceUID": _UID,
            "superseded": {**_TIME, "description": "Since when a newer version replaces it"},
            "retired": {**_TIME, "description": "When it was taken out of the archive"},
        }
    ),
    "Lesion": _object(
        {
            "name": _TEXT,
            "label": {"type": "integer", "description": "Segment number and ROINumber"},
            "tracking_uid": _UID,
            "volume_mm3": {"type": "number"},
            "longest_diameter_mm": _MM,
            "longest_diameter_lps_mm": _CHORD,
            "perpendicular_diameter_mm": _MM,
            "perpendicular_diameter_lps_mm": _CHORD,
            "diameter_3d_mm": _MM,
            "centroid_lps_mm": _POINT,
            "first_slice_sop_instance_uid": _UID,
            "first_slice_frame_number": _FRAME,
            "last_slice_sop_instance_uid": _UID,
            "last_slice_frame_number": _FRAME,
            "measured_slice_sop_instance_uid": _UID,
            "measured_slice_frame_number": _FRAME,
            "measured_plane": _TEXT,
            "measurable": {"type": "boolean", "description": "In the sense of RANO-BM"},
            "measurable_reason": _TEXT,
        }
    ),
    "ModelUsed": _object({"name": _TEXT, "version": _TEXT, "sha256": _TEXT, "statement": _TEXT}),
    "Models": _object({"models": {"type": "array", "items": {"type": "object"}}, "default": _TEXT, "notice": _TEXT}),
    "Health": _object({"status": _TEXT}),
    "Ready": _object(
        {
            "ready": {"type": "boolean"},
            **{part: {"$ref": "#/components/schemas/Check"} for part in ("orthanc", "database", "worker", "model")},
        }
    ),
    "Check": _object({"ok": {"type": "boolean"}, "reason": _TEXT}),
    "OpenAPI": {"type": "object"},
    "Problem": {
        **_object(
            {
                "type": {**_TEXT, "description": "A stable name of the problem"},
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT,
                "what_to_do": _TEXT,
            }
        ),
        "description": "RFC 9457; further members say more, such as the candidates of a selection",
    },
}
