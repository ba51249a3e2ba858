"""The course of a patient, judged anew from all rows whenever somebody asks."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select

from BDD.absence_store import Absent, absences_of, not_covered
from BDD.course_store import baseline_of
from BDD.database import Database
from BDD.followup_models import TrackedLesion, VisitAssessment
from BDD.followup_store import current_jobs, findings_of, study_of, tracked_lesions, visit_findings
from BDD.identities import Identity, identify, root
from BDD.models import Job, Patient, Study
from BDD.records import PatientNotFoundError
from BDD.verification import followed
from rano.absorbed import absorbed
from rano.counting import counted
from rano.history import Rules
from rano.response import Assessment, assess
from results.timeline import LesionSize, Timeline, TimelineLesion, TimelineVisit


def load_timeline(database: Database, patient_key: int, rules: Rules) -> Timeline:
    """Give the whole course of a patient, judged anew by these rules.

    Raises
    ------
    PatientNotFoundError
    """
    with database.reading() as session:
        patient = session.get(Patient, patient_key)
        if patient is None:
            raise PatientNotFoundError(f"there is no patient {patient_key}")
        studies = session.scalars(select(Study.id).where(Study.patient_key == patient_key)).all()
        jobs = current_jobs(session, studies)
        found = findings_of(session, jobs)
        absent = absences_of(session, jobs)
        lesions = tracked_lesions(session, patient_key)
        said = {
            one.study_key: one
            for one in session.scalars(select(VisitAssessment).where(VisitAssessment.study_key.in_(studies)))
        }
    identities = {job.id: identify(found.get(job.id, []), lesions) for job in jobs}
    return _timeline(patient, jobs, identities, lesions, said, absent, rules)


def _timeline(
    patient: Patient,
    jobs: Sequence[Job],
    identities: Mapping[int, list[Identity]],
    lesions: Mapping[int, TrackedLesion],
    said: Mapping[int, VisitAssessment],
    absent: Mapping[int, Absent],
    rules: Rules,
) -> Timeline:
    visits = [
        visit_findings(job, identities[job.id], said.get(study_of(job).id), absent.get(job.id, ()), lesions)
        for job in jobs
    ]
    chosen = [
        study_of(job).study_instance_uid
        for job in jobs
        if (known := said.get(study_of(job).id)) is not None and known.baseline
    ]
    assessment = assess(visits, rules, baseline=baseline_of(visits, chosen))
    responses = {response.visit: response for response in assessment.visits}
    order = {response.visit: place for place, response in enumerate(assessment.visits)}
    jobs = sorted(jobs, key=lambda job: order[study_of(job).study_instance_uid])
    in_order = counted(visits)
    counting = [(visit, one) for visit in in_order for one in visit.lesions or ()]
    # Of a lesion that nobody can measure it is what it has merged with that somebody should look at.
    doubted = {
        (visit.visit, (one.within or one).tracking_uid) for visit, one in counting if one.doubt and not visit.verified
    }
    sizes = [_sizes(study_of(job).study_instance_uid, identities[job.id], lesions, doubted) for job in jobs]
    outside = [{root(one, lesions).id for one in not_covered(absent.get(job.id, ()))} for job in jobs]
    within = {(visit.visit, one.tracking_uid): one.within.label for visit, one in counting if one.within is not None}
    held = {visit.visit: holders for visit, holders in zip(in_order, absorbed(in_order), strict=True)}
    absorbed_by = [_names(held[study_of(job).study_instance_uid], lesions) for job in jobs]
    return Timeline(
        patient_key=patient.id,
        patient_id=patient.patient_id,
        visits=tuple(
            TimelineVisit(
                study_instance_uid=study_of(job).study_instance_uid,
                series_instance_uid=job.series_instance_uid,
                job_id=job.job_id,
                date=study_of(job).study_date,
                model=f"{job.model.name} {job.model.version}" if job.model else "",
                corticosteroid_mg=known.corticosteroid_mg if known else None,
                clinical_status=known.clinical_status if known else None,
                immunotherapy=known.immunotherapy if known else None,
                note=known.note if known else "",
                chosen_baseline=bool(known and known.baseline),
                version=known.version if known else 0,
                response=responses[study_of(job).study_instance_uid],
                followed=followed(job, [one.finding for one in identities[job.id]], absent.get(job.id, ()), lesions),
                verified=known.verified if known else None,
            )
            for job in jobs
            for known in [said.get(study_of(job).id)]
        ),
        lesions=tuple(
            TimelineLesion(
                key=lesion.id,
                version=lesion.version,
                tracking_uid=lesion.tracking_uid,
                name=lesion.name,
                role=_role(lesion, assessment),
                target=lesion.target,
                not_a_lesion=lesion.not_a_lesion,
                merged_into=lesion.merged_into,
                split_from=lesion.split_from,
                sizes=tuple(visit.get(lesion.id) for visit in sizes),
                not_covered=tuple(
                    lesion.id in keys and lesion.id not in visit for keys, visit in zip(outside, sizes, strict=True)
                ),
                within=tuple(within.get((study_of(job).study_instance_uid, lesion.tracking_uid)) for job in jobs),
                absorbed_by=tuple(
                    None if lesion.id in visit else names.get(lesion.id)
                    for names, visit in zip(absorbed_by, sizes, strict=True)
                ),
            )
            for lesion in lesions.values()
            if lesion.merged_into is not None or any(lesion.id in visit for visit in sizes)
        ),
        assessment=assessment,
    )


def _sizes(
    study: str,
    identities: Sequence[Identity],
    lesions: Mapping[int, TrackedLesion],
    doubted: Collection[tuple[str, str]],
) -> dict[int, LesionSize]:
    """Give the size of each lesion at a visit by its key; parts of one lesion together."""
    parts: dict[int, list[Identity]] = defaultdict(list)
    for identity in identities:
        whole = root(identity.finding.tracked, lesions)
        # What is no lesion by itself is no part of the lesion that people have merged it into.
        if identity.is_lesion or whole.not_a_lesion:
            parts[whole.id].append(identity)
    sizes = {}
    for key, of_one in parts.items():
        findings = [one.finding for one in of_one]
        rows = [finding.lesion for finding in findings]
        sizes[key] = LesionSize(
            finding=rows[0].id,
            longest_mm=sum(row.longest_diameter_mm for row in rows),
            perpendicular_mm=max(rows, key=lambda row: row.longest_diameter_mm).perpendicular_diameter_mm,
            volume_mm3=sum(row.volume_mm3 for row in rows),
            parts=len(rows),
            measurable=any(row.measurable for row in rows),
            relation=" ".join(finding.relation for finding in findings if finding.relation),
            ambiguous=any((study, one.lesion.tracking_uid) in doubted for one in of_one),
        )
    return sizes


def _names(holders: Mapping[str, str], lesions: Mapping[int, TrackedLesion]) -> dict[int, str]:
    """Give the name of the lesion that each has merged into, by key, from both tracking UIDs."""
    by_uid = {one.tracking_uid: root(one, lesions) for one in lesions.values()}
    return {by_uid[uid].id: by_uid[holder].name for uid, holder in holders.items() if uid in by_uid}


def _role(lesion: TrackedLesion, assessment: Assessment) -> str:
    if lesion.merged_into is not None:
        return "merged"
    if lesion.not_a_lesion:
        return "not_a_lesion"
    return assessment.roles.get(lesion.tracking_uid, "unplaced")
