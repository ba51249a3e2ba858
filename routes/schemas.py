"""The JSON the API takes and gives, as JSON schemas; ``/openapi.json`` and ``/docs`` show them."""

from typing import Any

from BDD.models import JOB_STATES, RELABEL, SEGMENT
from rano.history import ClinicalStatus
from results.objects import WRITTEN

_UID = {"type": "string", "maxLength": 64, "examples": ["1.2.840.113619.2.5.1762583153"]}
_TEXT = {"type": "string"}
_TIME = {"type": ["string", "null"], "format": "date-time"}
_MM = {"type": "number", "description": "mm"}
_POINT = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3, "description": "LPS, mm"}
_CHORD = {"type": "array", "items": _POINT, "minItems": 2, "maxItems": 2, "description": "Both ends, LPS, mm"}
_FRAME = {"type": ["integer", "null"], "description": "1-based frame; null for single-frame instances"}
_OUTPUTS = {"type": "array", "items": {"enum": list(WRITTEN)}, "minItems": 1, "uniqueItems": True}


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    """Describe an object; all of its members are there unless ``required`` lists those that are."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }


def _list(schema: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}}


_ID = {"type": "integer"}
_DATE = {"type": ["string", "null"], "format": "date"}
_NUMBER_OR_NULL = {"type": ["number", "null"]}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_ROLES = ["target", "non_target", "new", "not_a_lesion", "merged", "unplaced"]
_MERGED_INTO = {"type": ["integer", "null"], "description": "The same lesion as that one"}
_TARGET = {"type": ["boolean", "null"], "description": "Chosen by hand; null leaves it to the rule"}
_VERSION = {"type": "integer", "description": "To be named when it is changed"}
_DOSE = {"type": ["number", "null"], "minimum": 0, "description": "mg of dexamethasone a day"}
_STATUS = {"enum": [*ClinicalStatus, None], "description": "Against the baseline"}
_WHO = {"type": "string", "description": "Who changes it; default: anonymous"}
_JOB_ADDRESSES = {"type": "array", "items": _TEXT, "description": "Addresses of the jobs that write it again"}


def _or_null(schema: str) -> dict[str, Any]:
    return {"anyOf": [{"$ref": f"#/components/schemas/{schema}"}, {"type": "null"}]}


_SIZES = {"type": "array", "items": _or_null("Size"), "description": "In the order of the visits; null: not there"}
_ASSESSMENT = {
    "corticosteroid_mg": _DOSE,
    "clinical_status": _STATUS,
    "note": _TEXT,
    "baseline": {"type": "boolean", "description": "Chosen as the visit to compare with"},
}
_TRACKED = {
    "id": _ID,
    "version": _VERSION,
    "tracking_uid": _UID,
    "name": _TEXT,
    "target": _TARGET,
    "not_a_lesion": {"type": "boolean"},
    "merged_into": _MERGED_INTO,
    "split_from": {"type": ["integer", "null"], "description": "The lesion that it was taken for until people said no"},
}

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
            "purpose": {"enum": [SEGMENT, RELABEL], "description": "relabel: written again under changed names"},
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
            "kind": {"enum": list(WRITTEN)},
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
            "mean_probability": {
                "type": ["number", "null"],
                "description": "Of its voxels, 0.5 being the surface; not the chance that it is a metastasis",
            },
            "entropy_bits": {"type": ["number", "null"], "description": "Mean of its voxels: 0 sure, 1 a coin's toss"},
        }
    ),
    "ModelUsed": _object({"name": _TEXT, "version": _TEXT, "sha256": _TEXT, "statement": _TEXT}),
    "Models": _object({"models": {"type": "array", "items": {"type": "object"}}, "default": _TEXT, "notice": _TEXT}),
    "Patients": _object({"patients": _list("Patient")}),
    "Patient": _object(
        {
            "id": {**_ID, "description": "Names the patient in addresses"},
            "PatientID": _TEXT_OR_NULL,
            "PatientName": _TEXT,
            "visits": {"type": "integer"},
            "first_visit": _DATE,
            "last_visit": _DATE,
        }
    ),
    "Timeline": _object(
        {
            "id": _ID,
            "PatientID": _TEXT_OR_NULL,
            "baseline": {**_TEXT_OR_NULL, "description": "StudyInstanceUID of the visit that others are compared with"},
            "baseline_reason": _TEXT,
            "visits": _list("TimelineVisit"),
            "lesions": _list("TimelineLesion"),
            "best_radiographic": {"$ref": "#/components/schemas/BestResponse"},
            "best_overall": {"$ref": "#/components/schemas/BestResponse"},
            "notice": _TEXT,
        }
    ),
    "TimelineVisit": _object(
        {
            "StudyInstanceUID": _UID,
            "SeriesInstanceUID": _UID,
            "job": {**_TEXT, "description": "The job that found the lesions"},
            "date": _DATE,
            "model": _TEXT,
            "role": {"enum": ["baseline", "follow-up", "before baseline", "unplaced"]},
            "assessment": _object({**_ASSESSMENT, "version": _VERSION}),
            "sum_of_diameters": _or_null("Growth"),
            "sum_of_volumes": _or_null("Growth"),
            "targets": {"type": "object", "additionalProperties": _TEXT, "description": "Response by each rule"},
            "non_targets": _TEXT_OR_NULL,
            "new_lesions": {"type": "array", "items": _UID},
            "equivocal_lesions": {"type": "array", "items": _UID},
            "radiographic": _or_null("Verdict"),
            "overall": _or_null("Verdict"),
            "notes": {"type": "array", "items": _TEXT},
        }
    ),
    "Growth": _object(
        {
            "unit": {"enum": ["mm", "mm3"]},
            "total": _NUMBER_OR_NULL,
            "baseline": {"type": "number"},
            "nadir": {"type": "number"},
            "nadir_visit": _UID,
            "from_baseline_percent": _NUMBER_OR_NULL,
            "from_nadir_percent": _NUMBER_OR_NULL,
            "from_nadir": _NUMBER_OR_NULL,
            "largest_growth": _NUMBER_OR_NULL,
            "largest_growth_of": _TEXT_OR_NULL,
        }
    ),
    "Verdict": _object(
        {
            "response": _TEXT,
            "reason": {**_TEXT, "description": "The rule that decided, and the numbers it met"},
            "confirmed": {"type": ["boolean", "null"]},
            "confirmation": _TEXT,
        }
    ),
    "BestResponse": _object({"response": _TEXT, "visit": _TEXT_OR_NULL, "reason": _TEXT}),
    "TimelineLesion": _object(
        {**_TRACKED, "role": {"enum": _ROLES}, "sizes": {"type": "array", "items": _or_null("Size")}}
    ),
    "Size": _object(
        {
            "longest_diameter_mm": _MM,
            "perpendicular_diameter_mm": _MM,
            "volume_mm3": {"type": "number"},
            "parts": {"type": "integer"},
            "measurable": {"type": "boolean"},
            "relation": {**_TEXT, "description": "How it was followed to this visit"},
            "ambiguous": {"type": "boolean", "description": "Somebody should look at that"},
        }
    ),
    "StudyLesions": _object({"patient": _ID, "lesions": _list("StudyLesion")}),
    "TrackedLesion": _object(_TRACKED),
    "LesionChange": _object(
        {
            "name": {**_TEXT, "maxLength": 64},
            "target": _TARGET,
            "not_a_lesion": {"type": "boolean"},
            "merged_into": _MERGED_INTO,
            "split_at": {**_UID, "description": "StudyInstanceUID of the visit from which on it is another lesion"},
            "version": _VERSION,
            "user": _WHO,
        },
        required=[],
    ),
    "ChangedLesion": _object({"lesion": {"$ref": "#/components/schemas/TrackedLesion"}, "jobs": _JOB_ADDRESSES}),
    "VisitAssessment": _object({"StudyInstanceUID": _UID, **_ASSESSMENT, "version": _VERSION, "jobs": _JOB_ADDRESSES}),
    "AssessmentChange": _object({**_ASSESSMENT, "version": _VERSION, "user": _WHO}, required=[]),
    "Changes": _object({"changes": _list("Change")}),
    "Change": _object(
        {
            "id": _ID,
            "subject": {"enum": ["lesion", "visit"]},
            "subject_id": _ID,
            "before": {"type": "object"},
            "after": {"type": "object"},
            "by": _TEXT,
            "at": _TIME,
            "undoes": {"type": ["integer", "null"], "description": "The change that this one takes back"},
        }
    ),
    "UndoneChange": _object({"change": {"$ref": "#/components/schemas/Change"}, "jobs": _JOB_ADDRESSES}),
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

SCHEMAS["StudyLesion"] = _object(
    {
        **SCHEMAS["Lesion"]["properties"],
        "id": _ID,
        "version": _VERSION,
        "target": _TARGET,
        "not_a_lesion": {"type": "boolean"},
        "part_of": {"type": ["integer", "null"], "description": "The lesion it is a part of"},
    }
)
