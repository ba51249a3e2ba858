"""Where a visit that is just being written stands in the patient's course, for its structured report."""

from collections.abc import Sequence

from sqlalchemy import select

from BDD.database import Database
from BDD.followup_models import TrackedLesion, VisitAssessment
from BDD.followup_store import current_jobs, findings_of, study_of, tracked_lesions, visit_findings
from BDD.identities import identify, root
from BDD.models import Patient, Study
from BDD.records import SeriesRecord
from rano.history import ClinicalStatus, LesionAtVisit, VisitFindings
from rano.lesion import Lesion
from rano.links import Link, Status
from rano.response import Assessment, assess
from results import report

NO_LINK = Link("", Status.NEW, ambiguous=False, reason="")


def course(
    database: Database, record: SeriesRecord, lesions: Sequence[Lesion], links: Sequence[Link]
) -> tuple[report.TimePoint, report.Assessment] | None:
    """Judge a visit within the course of its patient, as far as that is known now.

    Parameters
    ----------
    record
        The series that was segmented.
    lesions
        What was found, under the identities that hold.
    links
        How each was followed to this visit; empty when none was.

    Returns
    -------
    tuple or None
        For the report; None when the visit has no date, and so no place in the course.
    """
    if record.study_date is None:
        return None
    with database.reading() as session:
        patient = session.scalar(select(Patient).where(Patient.patient_id == record.patient_id))
        key = patient.id if patient and record.patient_id is not None else -1
        studies = session.scalars(select(Study).where(Study.patient_key == key)).all()
        names = {study.id: study.study_instance_uid for study in studies}
        jobs = [
            job
            for job in current_jobs(session, list(names))
            if study_of(job).study_instance_uid != record.study_instance_uid
        ]
        tracked = tracked_lesions(session, key)
        found = findings_of(session, jobs)
        said = {
            one.study_key: one
            for one in session.scalars(select(VisitAssessment).where(VisitAssessment.study_key.in_(names)))
        }
    visits = [visit_findings(job, identify(found.get(job.id, []), tracked), said.get(study_of(job).id)) for job in jobs]
    by_study = {names[key]: one for key, one in said.items()}
    visits.append(_now(record, lesions, links, list(tracked.values()), by_study.get(record.study_instance_uid)))
    dated = {visit.visit for visit in visits if visit.date is not None}
    baseline = next((study for study, one in by_study.items() if one.baseline and study in dated), None)
    return _report(record, lesions, assess(visits, baseline=baseline))


def _now(
    record: SeriesRecord,
    lesions: Sequence[Lesion],
    links: Sequence[Link],
    tracked: Sequence[TrackedLesion],
    said: VisitAssessment | None,
) -> VisitFindings:
    by_key = {one.id: one for one in tracked}
    known = {one.tracking_uid: root(one, by_key) for one in tracked}
    present = []
    for lesion, link in zip(lesions, links or [NO_LINK] * len(lesions), strict=True):
        decided = known.get(lesion.tracking_uid)
        if decided is not None and decided.not_a_lesion:
            continue
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
            )
        )
    return VisitFindings(
        record.study_instance_uid,
        record.study_date,
        tuple(present),
        said.corticosteroid_mg if said else None,
        ClinicalStatus(said.clinical_status) if said and said.clinical_status else None,
    )


def _report(
    record: SeriesRecord, lesions: Sequence[Lesion], assessment: Assessment
) -> tuple[report.TimePoint, report.Assessment]:
    order, response = next(
        (place, one) for place, one in enumerate(assessment.visits, start=1) if one.visit == record.study_instance_uid
    )
    kind = "baseline" if response.role == "baseline" else None
    point = report.TimePoint(label=f"Visit {order}", order=order, subject_id=f"V{order}", kind=kind)
    uids = {lesion.tracking_uid for lesion in lesions}
    roles = {uid: "target" for uid in assessment.targets if uid in uids}
    roles |= {uid: "non_target" for uid in assessment.non_targets if uid in uids}
    radiographic, overall = response.radiographic, response.overall
    if radiographic is None or overall is None:
        return point, report.Assessment(roles, reason=assessment.reason)
    target = response.by_target_rule.get("any_lesion")
    return point, report.Assessment(
        roles,
        target_response=str(target) if target else None,
        current_response=str(overall.response),
        best_overall_response=str(assessment.best_overall.response),
        reason=f"On the images: {radiographic.response}, {radiographic.reason}. "
        f"Overall: {overall.response}, {overall.reason}.",
    )
