"""Takes a lesion apart by hand: from a visit on, what was followed as one lesion is another; undone, it is one again.

The other lesion says of itself which one it was taken for, and at which visit that was found wrong. What it says binds
all later following (``identities.is_said``): an older study that arrives late does not join the two again.

A visit may have found both by themselves since. There each keeps its own finding, whichever way: what was found twice
at one visit is two lesions.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from BDD.followup_models import Finding, TrackedLesion
from BDD.followup_store import current_jobs, findings_of, study_of
from BDD.models import Study
from BDD.records import EditRefusedError
from rano.matching import fresh_tracking_uid, unused


def begin(session: Session, lesion: TrackedLesion, study_instance_uid: str) -> tuple[TrackedLesion, dict[str, Any]]:
    """Make the lesion that is to begin at a visit, and give what it is to say of itself.

    Raises
    ------
    EditRefusedError
        When the lesion has no finding of its own at that visit, or none before.
    """
    seen = [study for study, _ in _own_findings(session, lesion)]
    at = next((study for study in seen if study.study_instance_uid == study_instance_uid), None)
    if at is None:
        raise EditRefusedError(f"lesion {lesion.id} was not found by itself at visit {study_instance_uid}")
    if at is seen[0]:
        raise EditRefusedError(f"lesion {lesion.id} was found at visit {study_instance_uid} for the first time")
    known = select(TrackedLesion.number, TrackedLesion.name).where(TrackedLesion.patient_key == lesion.patient_key)
    number, name = next(unused(session.execute(known).tuples()))
    other = TrackedLesion(
        patient_key=lesion.patient_key, tracking_uid=fresh_tracking_uid(name), number=number, name=name, version=0
    )
    session.add(other)
    session.flush()
    return other, {"split_from": lesion.id, "split_at": study_instance_uid}


def move(
    session: Session, other: TrackedLesion, values: Mapping[str, Any], everyone: Mapping[int, TrackedLesion]
) -> TrackedLesion:
    """Give ``other`` the findings that it is to have, or give them back; returns the lesion that it was taken for.

    Raises
    ------
    EditRefusedError
        When it is given back while other decisions hang on it.
    """
    if values["split_from"] is None:
        hanging = [one for one in everyone.values() if other.id in (one.merged_into, one.split_from)]
        if hanging or other.merged_into is not None:
            raise EditRefusedError(f"lesion {other.id} was merged or split again since; undo that first")
        assert other.split_from is not None, "only what was split is given back"
        first = everyone[other.split_from]
        both = _visits_of(session, first)
        for study, finding in _own_findings(session, other):
            if study.id not in both:
                finding.tracked = first
        return first
    first = everyone[values["split_from"]]
    begun, both = False, _visits_of(session, other)
    for study, finding in _own_findings(session, first):
        at = study.study_instance_uid == values["split_at"]
        begun = begun or at
        if not begun or study.id in both:
            continue
        finding.tracked = other
        if at:
            finding.relation, finding.ambiguous, finding.part_of = "new: a person said so", False, None
    if not begun:
        raise EditRefusedError(f"lesion {first.id} is not found at that visit any more")
    return first


def _visits_of(session: Session, lesion: TrackedLesion) -> set[int]:
    return {study.id for study, _ in _own_findings(session, lesion)}


def _own_findings(session: Session, lesion: TrackedLesion) -> list[tuple[Study, Finding]]:
    """Give the visits whose newest segmentation found the lesion itself, in the order of time, with the finding."""
    jobs = current_jobs(session, session.scalars(select(Study.id).where(Study.patient_key == lesion.patient_key)).all())
    found = findings_of(session, jobs)
    return [(study_of(job), one) for job in jobs for one in found.get(job.id, []) if one.tracked_key == lesion.id]
