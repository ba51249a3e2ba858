"""What people decide: PATCH /lesions/{id}, POST /visits/{study}/assessment, and POST /changes/{id}/undo.

Who changes something names the version it was made on, as If-Match or as ``version``: when somebody else was faster
the answer is 409, and nothing is lost. No DICOM is touched here: what the archive has follows in jobs of the worker.
"""

import re
from enum import StrEnum
from typing import Any

from flask import Blueprint, Response, jsonify, request, url_for

from BDD import store
from rano.history import ClinicalStatus, Judgement
from routes import bounds, reading
from routes.context import Context, context
from routes.followup_json import assessment_to_json, change_to_json, tracked_to_json
from routes.openapi import describe
from routes.problems import ProblemError, invalid
from routes.schemas.words import TEXT, USER

blueprint = Blueprint("changes", __name__)

_ERRORS = {
    400: ("Malformed", None),
    409: ("Somebody else has changed it in between", None),
    422: ("The change would contradict what is known", None),
}
_TAG = "Follow-up"
_VERSION_SAID = re.compile('^(?:W/)?"?([0-9]{1,10})"?$')
"""W/ is what a proxy that compresses an answer puts before its ETag; the version is the same."""
_USER = {"X-User": {**USER, "description": "Who changes it, in UTF-8; or `user`"}}
_VERSION_AND_USER = {
    "If-Match": {
        **TEXT,
        "pattern": _VERSION_SAID.pattern,
        "description": 'On which version, such as "3"; or `version`',
    },
    **_USER,
}
_ETAG = {"ETag": "The version it has now"}
_WHO = "Who changes it: the header X-User (in UTF-8), or `user`. On which version: the header If-Match, or `version`."


@blueprint.patch("/lesions/<int:lesion>")
@describe(
    "Change a lesion",
    {
        200: ("The lesion; Jobs that write it again under its new name are named", "ChangedLesion"),
        404: ("No such lesion", None),
        428: ("No version was named", None),
        **_ERRORS,
    },
    text="merged_into takes it together with another lesion of the patient; null splits it back. split_at says that "
    "from this study on it is another lesion, which gets a name of its own; undoing that change makes them one again. "
    + _WHO,
    body="LesionChange",
    headers=_VERSION_AND_USER,
    gives=_ETAG,
    tag=_TAG,
)
def change_lesion(lesion: int) -> Response:
    """Change a tracked lesion."""
    here = context()
    reading.only_queries(())
    body = reading.json_object((*store.LESION_FIELDS, "version", "user"))
    values = {field: _LESION_CHECKS[field](body[field]) for field in store.LESION_FIELDS if field in body}
    changed = store.edit_lesion(here.database, lesion, values, version=_version(body), made_by=_user(body))
    response = jsonify(lesion=tracked_to_json(changed), jobs=_write_again(here))
    response.set_etag(str(changed.version))
    return response


@blueprint.post("/visits/<uid:study>/assessment")
@describe(
    "Say what no image shows of a visit",
    {
        200: ("What is known now", "VisitAssessment"),
        404: ("The study was never segmented", None),
        428: ("No version was named", None),
        **_ERRORS,
    },
    text="Version 0 is that of a visit of which nothing was said yet. Fields that are not named stay as they are. "
    "verified says that a person has looked at how the lesions were followed and found it right: `followed` of "
    "the visit, as the timeline shows it. It holds until that is another, as after a new segmentation. judgements are "
    "a reader's, of lesions of this visit by tracking_uid, and go before the rule: new and equivocal of a new lesion, "
    "progression (unequivocal) and no progression of a non-target one; null leaves one to the rule again, and lesions "
    "that are not named stay as they are. " + _WHO,
    body="AssessmentChange",
    headers=_VERSION_AND_USER,
    gives=_ETAG,
    tag=_TAG,
)
def assess(study: str) -> Response:
    """Change the assessment of a visit."""
    here = context()
    reading.only_queries(())
    reading.uid(study, "StudyInstanceUID")
    body = reading.json_object((*store.VISIT_FIELDS, "version", "user"))
    values = {field: _VISIT_CHECKS[field](body[field]) for field in store.VISIT_FIELDS if field in body}
    known = store.assess_visit(here.database, study, values, version=_version(body), made_by=_user(body))
    response = jsonify(**assessment_to_json(study, known), jobs=_write_again(here))
    response.set_etag(str(known.version))
    return response


@blueprint.post("/changes/<int:change>/undo")
@describe(
    "Take a change back",
    {
        200: ("The change that undoes it; it can be undone too", "UndoneChange"),
        404: ("No such change", None),
        **_ERRORS,
    },
    body="Undoing",
    body_needed=False,
    headers=_USER,
    tag=_TAG,
)
def undo(change: int) -> Response:
    """Undo a change."""
    here = context()
    reading.only_queries(())
    body = reading.json_object(("user",), needed=False)
    undone = store.undo_change(here.database, change, made_by=_user(body))
    return jsonify(change=change_to_json(undone), jobs=_write_again(here))


def _write_again(here: Context) -> list[str]:
    """Queue the jobs that bring the archive up to date; give their addresses."""
    jobs = store.queue_relabelling(here.database, here.rules)
    for job_id in jobs:
        here.queue.enqueue(job_id)
    return [url_for("jobs.one", job_id=job_id) for job_id in jobs]


def _version(body: dict[str, Any]) -> int:
    header = request.headers.get("If-Match", "").strip()
    said = _VERSION_SAID.fullmatch(header)
    value = int(said[1]) if said else header or body.get("version")
    if value is None:
        raise ProblemError(
            428,
            "version-needed",
            "Name the version that you change",
            "Neither If-Match nor version was sent.",
            "Send the version that the timeline shows, so that nobody's change is lost.",
        )
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= bounds.LARGEST_VERSION:
        raise invalid(f"version = {str(value)[:80]!r} is no version; expected a whole number.")
    return value


def _user(body: dict[str, Any]) -> str:
    value = reading.named_user() or body.get("user", "")
    return "anonymous" if value == "" else _text("user", value, bounds.USER_LENGTH)


def _text(field: str, value: Any, longest: int, *, empty: bool = False) -> str:
    text = value.strip() if isinstance(value, str) else ""
    printable = all(character.isprintable() or (empty and character in "\n\t") for character in text)
    if not isinstance(value, str) or len(text) > longest or not printable or not (text or empty):
        expected = f"a text of at most {longest} printable characters"
        raise invalid(f"{field} = {str(value)[:80]!r} is not usable; expected {expected}.")
    return text


def lesion_name(value: Any) -> str:
    """Check a lesion's name."""
    name = _text("name", value, bounds.NAME_LENGTH)
    if "\\" in name:
        raise invalid("name holds a backslash, by which DICOM parts values.")
    return name


def _yes_or_no(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise invalid(f"{field} = {str(value)[:80]!r} is neither true nor false.")
    return value


def _yes_no_or_null(field: str, value: Any) -> bool | None:
    return None if value is None else _yes_or_no(field, value)


def _merged_into(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= bounds.LARGEST_ID:
        raise invalid(f"merged_into = {str(value)[:80]!r} is neither a lesion's id nor null.")
    return value


def _dose(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= bounds.MAXIMUM_MG:
        limit = f"a daily dose from 0 to {bounds.MAXIMUM_MG:g} mg"
        raise invalid(f"corticosteroid_mg = {str(value)[:80]!r} is neither {limit} nor null.")
    return float(value)


def _one_of_or_null(field: str, words: type[StrEnum], value: Any) -> str | None:
    if value is not None and value not in list(words):
        raise invalid(f"{field} = {str(value)[:80]!r} is none of {', '.join(words)}, nor null.")
    return value if value is None else str(value)


def _judgements(value: Any) -> dict[str, str | None]:
    if not isinstance(value, dict):
        raise invalid(f"judgements = {str(value)[:80]!r} is no object of judgements by tracking_uid.")
    return {
        reading.uid(uid, "tracking_uid"): _one_of_or_null("a judgement", Judgement, judgement)
        for uid, judgement in value.items()
    }


def _verified(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)):
        raise invalid(f"verified = {str(value)[:80]!r} is neither `followed` of the visit nor null.")
    return value


_LESION_CHECKS = {
    "name": lesion_name,
    "target": lambda value: _yes_no_or_null("target", value),
    "not_a_lesion": lambda value: _yes_or_no("not_a_lesion", value),
    "merged_into": _merged_into,
    "split_at": lambda value: reading.uid(value, "split_at"),
}
_VISIT_CHECKS = {
    "corticosteroid_mg": _dose,
    "clinical_status": lambda value: _one_of_or_null("clinical_status", ClinicalStatus, value),
    "immunotherapy": lambda value: _yes_no_or_null("immunotherapy", value),
    "judgements": _judgements,
    "note": lambda value: _text("note", value, bounds.NOTE_LENGTH, empty=True),
    "baseline": lambda value: _yes_or_no("baseline", value),
    "verified": _verified,
}
