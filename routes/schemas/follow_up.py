"""Follow-up: patients, their visits and lesions over time, and what people changed by hand."""

from typing import Any

from rano.history import TARGET_RULES, ClinicalStatus, Judgement, summed
from routes import bounds
from routes.schemas.jobs import SCHEMAS as JOBS
from routes.schemas.words import (
    DATE,
    ID,
    MM,
    NAME,
    NUMBER_OR_NULL,
    TEXT,
    TEXT_OR_NULL,
    TIME,
    TRUTH,
    UID,
    USER,
    Schema,
    list_of,
    one_of,
    or_null,
    reference,
    request_of,
    structure,
)

_ROLES = ["target", "non_target", "new", "not_a_lesion", "merged", "unplaced"]
_MERGED_INTO = {**ID, "type": ["integer", "null"], "description": "The same lesion as that one"}
_TARGET = {"type": ["boolean", "null"], "description": "Chosen by hand; null leaves it to the rule"}
_VERSION = {
    "type": "integer",
    "minimum": 0,
    "maximum": bounds.LARGEST_VERSION,
    "description": "To be named when it is changed",
}
_DOSE = {
    "type": ["number", "null"],
    "minimum": 0,
    "maximum": bounds.MAXIMUM_MG,
    "description": "mg of dexamethasone a day",
}
_STATUS = {**or_null("ClinicalStatus"), "description": "Against the baseline"}
_WHO = {**USER, "description": "Who changes it, in printable characters; default: anonymous"}
_JOB_ADDRESSES = {"type": "array", "items": TEXT, "description": "Addresses of the jobs that write it again"}
_JUDGEMENTS = {
    "type": "object",
    "additionalProperties": reference("Judgement"),
    "description": "What a reader says of lesions at this visit, by tracking_uid; it goes before the rule",
}
_ASSESSMENT: dict[str, Schema] = {
    "corticosteroid_mg": _DOSE,
    "clinical_status": _STATUS,
    "immunotherapy": {
        "type": ["boolean", "null"],
        "description": "New lesions alone are then no progression; null: as at the last earlier visit that says it",
    },
    "judgements": _JUDGEMENTS,
    "note": {**TEXT, "maxLength": bounds.NOTE_LENGTH, "description": "Printable characters, tabs and line ends"},
    "baseline": {"type": "boolean", "description": "Chosen as the visit to compare with"},
    "verified": {
        **TEXT_OR_NULL,
        "pattern": "^[0-9a-f]{64}$",
        "description": "`followed` as a person has found it right; holds while it is the same",
    },
}
_TRACKED: dict[str, Schema] = {
    "id": ID,
    "version": _VERSION,
    "tracking_uid": UID,
    "name": TEXT,
    "target": _TARGET,
    "not_a_lesion": TRUTH,
    "merged_into": _MERGED_INTO,
    "split_from": {"type": ["integer", "null"], "description": "The lesion that it was taken for until people said no"},
}
_GROWTH = {
    "unit": reference("Unit"),
    "total": NUMBER_OR_NULL,
    "baseline": {"type": "number"},
    "nadir": {"type": "number"},
    "nadir_visit": UID,
    "from_baseline_percent": NUMBER_OR_NULL,
    "from_nadir_percent": NUMBER_OR_NULL,
    "from_nadir": NUMBER_OR_NULL,
    "largest_growth": NUMBER_OR_NULL,
    "largest_growth_of": TEXT_OR_NULL,
}
_CHANGE: dict[str, Schema] = {
    "id": ID,
    "subject": reference("ChangeSubject"),
    "subject_id": ID,
    "before": {"type": "object"},
    "after": {"type": "object"},
    "by": TEXT,
    "at": TIME,
    "undoes": {"type": ["integer", "null"], "description": "The change that this one takes back"},
}

SCHEMAS: dict[str, Any] = {
    "Patients": structure({"patients": list_of("Patient")}),
    "Patient": structure(
        {
            "id": {**ID, "description": "Names the patient in addresses"},
            "PatientID": TEXT_OR_NULL,
            "PatientName": TEXT,
            "visits": {"type": "integer"},
            "first_visit": DATE,
            "last_visit": DATE,
        }
    ),
    "Timeline": structure(
        {
            "id": ID,
            "PatientID": TEXT_OR_NULL,
            "baseline": {**TEXT_OR_NULL, "description": "StudyInstanceUID of the visit that others are compared with"},
            "baseline_reason": TEXT,
            "target_rule": {**one_of(TARGET_RULES), "description": "Which of `targets` of a visit decides here"},
            "visits": list_of("TimelineVisit"),
            "lesions": list_of("TimelineLesion"),
            "best_radiographic": reference("BestResponse"),
            "best_overall": reference("BestResponse"),
            "notice": TEXT,
        }
    ),
    "TimelineVisit": structure(
        {
            "id": {**ID, "description": "`subject_id` of the changes of this visit"},
            "StudyInstanceUID": UID,
            "SeriesInstanceUID": UID,
            "job": {**TEXT, "description": "The job that found the lesions"},
            "date": DATE,
            "model": TEXT,
            "role": one_of(("baseline", "follow-up", "before baseline", "unplaced")),
            "assessment": reference("Assessment"),
            "under_immunotherapy": {"type": "boolean", "description": "As was said of this visit or of one before"},
            "followed": {
                **TEXT,
                "description": "Names how its lesions were followed; another when any of it is",
            },
            "deciding_sum": {**or_null("DecidingSum"), "description": "The sum that `target_rule` goes by"},
            "sum_of_diameters": or_null("Growth"),
            "sum_of_volumes": or_null("Growth"),
            "targets": {"type": "object", "additionalProperties": TEXT, "description": "Response by each rule"},
            "non_targets": TEXT_OR_NULL,
            "new_lesions": {"type": "array", "items": UID},
            "equivocal_lesions": {"type": "array", "items": UID},
            "judgeable": {
                "type": "object",
                "additionalProperties": list_of("Judgement"),
                "description": "What a reader can say of lesions, by tracking_uid; other judgements have no effect",
            },
            "radiographic": or_null("Verdict"),
            "overall": or_null("Verdict"),
            "notes": {"type": "array", "items": TEXT},
            "none_counts": {**TEXT, "description": "Why no lesion counts at this visit; empty where any does"},
        }
    ),
    "Assessment": structure({**_ASSESSMENT, "version": _VERSION}),
    "ClinicalStatus": one_of(ClinicalStatus),
    "Judgement": one_of(Judgement),
    "Unit": one_of(("mm", "mm3")),
    "Growth": structure(_GROWTH),
    "DecidingSum": structure({"of": one_of(dict.fromkeys(map(summed, TARGET_RULES))), **_GROWTH}),
    "Verdict": structure(
        {
            "response": TEXT,
            "reason": {**TEXT, "description": "The rule that decided, and the numbers it met"},
            "confirmed": {"type": ["boolean", "null"]},
            "confirmation": TEXT,
            "sentence": {**TEXT, "description": "Reason and confirmation together"},
        }
    ),
    "BestResponse": structure(
        {
            "response": TEXT,
            "visit": TEXT_OR_NULL,
            "reason": TEXT,
            "doubt": {**TEXT, "description": "What it would be without the visits in doubt, where that is another"},
        }
    ),
    "TimelineLesion": structure(
        {
            **_TRACKED,
            "role": one_of(_ROLES),
            "sizes": {"type": "array", "items": or_null("Size")},
            "why_no_target": {**TEXT, "description": "Why it cannot be chosen as a target; empty where it can"},
            "not_covered": {
                "type": "array",
                "items": {"type": "boolean"},
                "description": "Per visit: its place lies outside the images, nobody can say whether it is there",
            },
            "within": {
                "type": "array",
                "items": TEXT_OR_NULL,
                "description": "Per visit: name of what is no lesion and it has merged with: nobody can measure it",
            },
            "absorbed_by": {
                "type": "array",
                "items": TEXT_OR_NULL,
                "description": "Per visit: name of the lesion it has merged into, so that it has no size of its own",
            },
            "holds": {
                "type": "array",
                "items": {"type": "array", "items": TEXT},
                "description": "Per visit: names of those that have merged into it",
            },
        }
    ),
    "Size": structure(
        {
            "longest_diameter_mm": MM,
            "perpendicular_diameter_mm": MM,
            "volume_mm3": {"type": "number"},
            "parts": {"type": "integer"},
            "measurable": TRUTH,
            "relation": {**TEXT, "description": "How it was followed to this visit"},
            "ambiguous": {"type": "boolean", "description": "Somebody should look at that"},
            "change": reference("SizeChange"),
        }
    ),
    "SizeChange": structure(
        {
            "mm": {**NUMBER_OR_NULL, "description": "Of the longest diameter since the visit before"},
            "percent": {**NUMBER_OR_NULL, "description": "The same, cut off after two decimals"},
            "why": {**TEXT, "description": "Why there is nothing to compare; else empty"},
        }
    ),
    "StudyLesions": structure({"patient": ID, "lesions": list_of("StudyLesion")}),
    "StudyLesion": structure(
        {
            **JOBS["Lesion"]["properties"],
            "id": ID,
            "version": _VERSION,
            "target": _TARGET,
            "not_a_lesion": TRUTH,
            "part_of": {"type": ["integer", "null"], "description": "The lesion it is a part of"},
        }
    ),
    "TrackedLesion": structure(_TRACKED),
    "LesionChange": request_of(
        {
            "name": NAME,
            "target": _TARGET,
            "not_a_lesion": TRUTH,
            "merged_into": _MERGED_INTO,
            "split_at": {**UID, "description": "StudyInstanceUID of the visit from which on it is another lesion"},
            "version": _VERSION,
            "user": _WHO,
        }
    ),
    "ChangedLesion": structure({"lesion": reference("TrackedLesion"), "jobs": _JOB_ADDRESSES}),
    "VisitAssessment": structure({"StudyInstanceUID": UID, **_ASSESSMENT, "version": _VERSION, "jobs": _JOB_ADDRESSES}),
    "AssessmentChange": request_of(
        {
            **_ASSESSMENT,
            "judgements": {**_JUDGEMENTS, "additionalProperties": or_null("Judgement")},
            "version": _VERSION,
            "user": _WHO,
        }
    ),
    "Changes": structure({"changes": list_of("ListedChange")}),
    "ChangeSubject": one_of(("lesion", "visit")),
    "Change": structure(_CHANGE),
    "ListedChange": structure(
        {
            **_CHANGE,
            "to_undo": {**TRUTH, "description": "Neither taken back nor taking one back; Undo means the first"},
        }
    ),
    "Undoing": request_of({"user": _WHO}),
    "UndoneChange": structure({"change": reference("Change"), "jobs": _JOB_ADDRESSES}),
}
