"""Where a visit stands in the patient's course, for its structured report: while it is being written, and later again.

What a later visit or an assessment changes of it is noticed by comparing what would be written now with what was
(``content_of``, ``relabel_store``).
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from sqlalchemy import select

from BDD.absence_store import gone_in_doubt, known_absences, not_assessed
from BDD.database import Database
from BDD.identities import is_doubted, is_refused, root
from BDD.models import Patient, Study
from BDD.records import SeriesRecord
from BDD.visits import KnownPatient, known_patient, with_assessment
from rano.counting import counted
from rano.history import LesionAtVisit, Rules, VisitFindings
from rano.lesion import Lesion
from rano.links import Absence, Link, Status
from rano.response import Assessment, assess, best_until
from results import report

NO_LINK = Link("", Status.NEW, ambiguous=False, reason="")


def standing_of(known: KnownPatient, now: VisitFindings, rules: Rules) -> report.Standing | None:
    """Judge one visit among all others by these rules; None when it has no date, and so no place in the course."""
    if now.date is None:
        return None
    visits = {**known.findings, now.visit: now}
    uids = {lesion.tracking_uid for lesion in now.lesions or () if lesion.longest_mm is not None}
    assessment = assess(list(visits.values()), rules, baseline=baseline_of(visits.values(), known.chosen))
    return _standing(now.visit, uids, assessment)


def to_be_written(known: KnownPatient, now: VisitFindings) -> frozenset[str]:
    """Give the tracking UIDs of what is written to the archive of a visit.

    That is what counts, and what people have called no lesion as long as a lesion has merged with it.
    """
    visits = counted(list({**known.findings, now.visit: now}.values()))
    lesions = next(one.lesions for one in visits if one.visit == now.visit) or ()
    return frozenset((one.within or one).tracking_uid for one in lesions)


def baseline_of(visits: Iterable[VisitFindings], chosen: Collection[str]) -> str | None:
    """Give the visit that people have chosen as the baseline, of several the earliest; None leaves it to the rule.

    Parameters
    ----------
    visits
        All of the patient.
    chosen
        StudyInstanceUIDs of the studies that were, with a visit or without.
    """
    dated = [(visit.date, visit.visit) for visit in visits if visit.date and visit.visit in chosen]
    return min(dated)[1] if dated else None


def course(
    database: Database,
    record: SeriesRecord,
    lesions: Sequence[Lesion],
    links: Sequence[Link],
    absences: Sequence[Absence],
    rules: Rules,
) -> report.Standing | None:
    """Judge a visit that is being written within the course of its patient, as far as that is known now.

    Parameters
    ----------
    record
        The series that was segmented.
    lesions
        What was found, under the identities that hold.
    links
        How each was followed to this visit; empty when none was.
    absences
        Of the patient's lesions that were not found those of which it is open whether they have gone.
    rules
        To judge by.
    """
    same = Patient.patient_id == record.patient_id
    if record.patient_id is None:  # then each study has a patient of its own
        known_study = select(Study.patient_key).where(Study.study_instance_uid == record.study_instance_uid)
        same = Patient.id.in_(known_study) & Patient.patient_id.is_(None)
    with database.reading() as session:
        patient = session.scalar(select(Patient).where(same))
        known = known_patient(session, patient.id) if patient else KnownPatient()
    return standing_of(known, _now(record, lesions, links, absences, known), rules)


def content_of(lesions: Iterable[tuple[str, str]], standing: report.Standing | None) -> str:
    """Give what a series is written with besides what the images show, in short: equal when nothing would be new.

    Parameters
    ----------
    lesions
        Name and tracking UID of each.
    standing
        Of the visit, where a report says it.
    """
    if standing is not None:
        point, assessment = standing
        standing = point, replace(assessment, roles=dict(sorted(assessment.roles.items())))
    return hashlib.sha256(repr((sorted(lesions), standing)).encode()).hexdigest()


def _now(
    record: SeriesRecord,
    lesions: Sequence[Lesion],
    links: Sequence[Link],
    absences: Sequence[Absence],
    known: KnownPatient,
) -> VisitFindings:
    by_uid = {one.tracking_uid: one for one in known.lesions.values()}
    present = []
    for lesion, link in zip(lesions, links or [NO_LINK] * len(lesions), strict=True):
        itself = by_uid.get(link.tracking_uid) or by_uid.get(lesion.tracking_uid)
        decided = root(itself, known.lesions) if itself else None
        present.append(
            LesionAtVisit(
                lesion.tracking_uid,
                lesion.measurement.longest.length_mm,
                lesion.measurement.volume_mm3,
                measurable=lesion.measurement.measurable,
                name=lesion.name,
                target=decided.target if decided else None,
                part_of=link.part_of,
                merged=tuple(link.merged),
                doubt=is_doubted(link.ambiguous, itself, record.study_instance_uid),
                refused=itself is not None and decided is not None and is_refused(itself, decided),
            )
        )
    absent, shown = known_absences(absences, by_uid), {lesion.tracking_uid for lesion in lesions}
    present += not_assessed(absent, known.lesions, shown)
    seen = VisitFindings(
        record.study_instance_uid,
        record.study_date,
        tuple(present),
        gone_in_doubt=gone_in_doubt(absent, known.lesions, shown, record.study_instance_uid),
    )
    return with_assessment(seen, known.said.get(record.study_instance_uid), known.lesions)


def _standing(study_instance_uid: str, uids: Collection[str], assessment: Assessment) -> report.Standing:
    order, response = next(
        (place, one) for place, one in enumerate(assessment.visits, start=1) if one.visit == study_instance_uid
    )
    kind = "baseline" if response.role == "baseline" else None
    point = report.TimePoint(label=f"Visit {order}", order=order, subject_id=f"V{order}", kind=kind)
    # What is new has no code; that it was not there at the baseline, the reason says.
    roles = {uid: role for uid, role in assessment.roles.items() if uid in uids and role != "new"}
    radiographic, overall = response.radiographic, response.overall
    if radiographic is None or overall is None or response.date is None:
        return point, report.Assessment(roles, reason=f"{assessment.reason} {response.doubts}".rstrip())
    target = response.by_target_rule.get(assessment.rules.target_rule)
    best = best_until(assessment, response.date)  # as it stood then: no later visit rewrites it
    return point, report.Assessment(
        roles,
        target_response=str(target) if target else None,
        current_response=str(overall.response),
        best_overall_response=str(best.response),
        reason=f"On the images: {radiographic.response}, {radiographic.reason}. "
        f"Overall: {overall.response}, {overall.reason}. "
        f"Best overall response up to this visit: {best.response}. "
        + " ".join(filter(None, (best.reason, best.doubt, response.doubts))),
    )
