"""The follow-up as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from BDD import store
from BDD.followup_models import Change, TrackedLesion, VisitAssessment
from BDD.identities import Identity
from rano.confirmation import Verdict
from rano.criteria import Change as Growth
from rano.history import TargetRule, summed
from results.context import NOTICE
from results.timeline import LesionSize, SizeChange, Timeline, TimelineVisit
from routes.job_json import iso_time, lesion_to_json


def patient_to_json(patient: store.PatientSummary) -> dict[str, Any]:
    """Give the members of schema ``Patient``."""
    return {
        "id": patient.key,
        "PatientID": patient.patient_id,
        "PatientName": patient.patient_name,
        "visits": patient.visits,
        "first_visit": patient.first_visit.isoformat() if patient.first_visit else None,
        "last_visit": patient.last_visit.isoformat() if patient.last_visit else None,
    }


def timeline_to_json(timeline: Timeline) -> dict[str, Any]:
    """Give the members of schema ``Timeline``."""
    assessment, rule = timeline.assessment, timeline.assessment.rules.target_rule
    return {
        "id": timeline.patient_key,
        "PatientID": timeline.patient_id,
        "baseline": assessment.baseline,
        "baseline_reason": assessment.reason,
        "target_rule": rule,
        "visits": [
            {**_visit(visit, rule), "none_counts": _none_counts(timeline, place)}
            for place, visit in enumerate(timeline.visits)
        ],
        "lesions": [
            {
                "id": lesion.key,
                "version": lesion.version,
                "tracking_uid": lesion.tracking_uid,
                "name": lesion.name,
                "role": lesion.role,
                "target": lesion.target,
                "not_a_lesion": lesion.not_a_lesion,
                "merged_into": lesion.merged_into,
                "split_from": lesion.split_from,
                "sizes": [_size(size, timeline.change(lesion, place)) for place, size in enumerate(lesion.sizes)],
                "why_no_target": timeline.why_no_target(lesion),
                "not_covered": list(lesion.not_covered),
                "within": list(lesion.within),
                "absorbed_by": list(lesion.absorbed_by),
                "holds": [list(timeline.holds(lesion, place)) for place in range(len(timeline.visits))],
            }
            for lesion in timeline.lesions
        ],
        "best_radiographic": asdict(assessment.best_radiographic),
        "best_overall": asdict(assessment.best_overall),
        "notice": NOTICE,
    }


def _visit(visit: TimelineVisit, rule: TargetRule) -> dict[str, Any]:
    response = visit.response
    decides = _growth(response.change(rule))
    return {
        "id": visit.key,
        "StudyInstanceUID": visit.study_instance_uid,
        "SeriesInstanceUID": visit.series_instance_uid,
        "job": visit.job_id,
        "date": visit.date.isoformat() if visit.date else None,
        "model": visit.model,
        "role": response.role,
        "assessment": _said(visit),
        "under_immunotherapy": response.immunotherapy,
        "followed": visit.followed,
        "deciding_sum": decides and {"of": summed(rule), **decides},
        "sum_of_diameters": _growth(response.diameters),
        "sum_of_volumes": _growth(response.volumes),
        "targets": dict(response.by_target_rule),
        "non_targets": response.non_targets,
        "new_lesions": list(response.new_lesions),
        "equivocal_lesions": list(response.equivocal_lesions),
        "judgeable": {uid: list(judgements) for uid, judgements in response.judgeable.items()},
        "radiographic": _verdict(response.radiographic),
        "overall": _verdict(response.overall),
        "notes": list(response.notes),
    }


def _none_counts(timeline: Timeline, visit: int) -> str:
    there = any(lesion.sizes[visit] for lesion in timeline.counting)
    return "" if there else timeline.none_counts(visit)


def _growth(change: Growth | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(change).items()}


def _verdict(verdict: Verdict | None) -> dict[str, Any] | None:
    return {**asdict(verdict), "sentence": verdict.sentence} if verdict else None


def _size(size: LesionSize | None, change: SizeChange) -> dict[str, Any] | None:
    if size is None:
        return None
    return {
        "longest_diameter_mm": round(size.longest_mm, 3),
        "perpendicular_diameter_mm": round(size.perpendicular_mm, 3),
        "volume_mm3": round(size.volume_mm3, 3),
        "parts": size.parts,
        "measurable": size.measurable,
        "relation": size.relation,
        "ambiguous": size.ambiguous,
        "change": asdict(change),
    }


def identity_to_json(identity: Identity) -> dict[str, Any]:
    """Give the members of schema ``StudyLesion``: what was measured, under the identity that holds now."""
    return {
        **lesion_to_json(identity.finding.lesion),
        "name": identity.lesion.name,
        "tracking_uid": identity.lesion.tracking_uid,
        "id": identity.lesion.id,
        "version": identity.lesion.version,
        "target": identity.lesion.target,
        "not_a_lesion": not identity.is_lesion,
        "part_of": identity.part_of.id if identity.part_of else None,
    }


def tracked_to_json(lesion: TrackedLesion) -> dict[str, Any]:
    """Give the members of schema ``TrackedLesion``."""
    names = ("id", "version", "tracking_uid", "name", "target", "not_a_lesion", "merged_into", "split_from")
    return {name: getattr(lesion, name) for name in names}


def assessment_to_json(study_instance_uid: str, known: VisitAssessment) -> dict[str, Any]:
    """Give the members of schema ``VisitAssessment``."""
    return {"StudyInstanceUID": study_instance_uid, **_said(known)}


def _said(visit: TimelineVisit | VisitAssessment) -> dict[str, Any]:
    return {name: getattr(visit, name) for name in (*store.VISIT_FIELDS, "version")}


def changes_to_json(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Give each of a patient's newest as schema ``ListedChange``."""
    to_undo = store.to_undo(changes)
    return [{**change_to_json(one), "to_undo": one in to_undo} for one in changes]


def change_to_json(change: Change) -> dict[str, Any]:
    """Give the members of schema ``Change``."""
    return {
        "id": change.id,
        "subject": change.subject,
        "subject_id": change.subject_key,
        "before": change.before,
        "after": change.after,
        "by": change.made_by,
        "at": iso_time(change.made_at),
        "undoes": change.undoes,
    }
