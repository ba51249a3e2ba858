"""The course of a patient, judged anew from all rows whenever somebody asks."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from BDD.absence_store import not_covered
from BDD.course_store import baseline_of
from BDD.database import Database
from BDD.followup_models import TrackedLesion
from BDD.identities import Identity, root
from BDD.judgements import judgements_of
from BDD.models import Patient
from BDD.records import PatientNotFoundError
from BDD.visits import KnownPatient, KnownVisit, known_patient
from rano.absorbed import absorbed
from rano.counting import counted
from rano.history import Rules
from rano.response import Assessment, assess
from results.timeline import Finder, LesionSize, Timeline, TimelineLesion, TimelineVisit


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
        known = known_patient(session, patient_key)
    return _timeline(patient, known, rules)


def _timeline(patient: Patient, known: KnownPatient, rules: Rules) -> Timeline:
    findings = list(known.findings.values())
    assessment = assess(findings, rules, baseline=baseline_of(findings, known.chosen))
    responses = {response.visit: response for response in assessment.visits}
    order = {response.visit: place for place, response in enumerate(assessment.visits)}
    visits = sorted(known.visits, key=lambda visit: order[visit.uid])
    lesions = known.lesions
    in_order = counted(findings)
    counting = [(visit, one) for visit in in_order for one in visit.lesions or ()]
    # Of a lesion that nobody can measure it is what it has merged with that somebody should look at.
    doubted = {
        (visit.visit, (one.within or one).tracking_uid) for visit, one in counting if one.doubt and not visit.verified
    }
    sizes = [_sizes(visit, doubted) for visit in visits]
    outside = [{root(one, lesions).id for one in not_covered(visit.absent)} for visit in visits]
    within = {(visit.visit, one.tracking_uid): one.within.label for visit, one in counting if one.within is not None}
    held = {visit.visit: holders for visit, holders in zip(in_order, absorbed(in_order), strict=True)}
    absorbed_by = [_names(held[visit.uid], lesions) for visit in visits]
    return Timeline(
        patient_key=patient.id,
        patient_id=patient.patient_id,
        visits=tuple(
            TimelineVisit(
                key=visit.study.id,
                study_instance_uid=visit.uid,
                series_instance_uid=visit.job.series_instance_uid,
                job_id=visit.job.job_id,
                date=visit.study.study_date,
                model=f"{model.name} {model.version}" if model else "",
                corticosteroid_mg=said.corticosteroid_mg if said else None,
                clinical_status=said.clinical_status if said else None,
                immunotherapy=said.immunotherapy if said else None,
                judgements=judgements_of(said, lesions),
                note=said.note if said else "",
                baseline=bool(said and said.baseline),
                version=said.version if said else 0,
                response=responses[visit.uid],
                followed=visit.followed(),
                verified=said.verified if said else None,
            )
            for visit in visits
            for said, model in [(visit.said, visit.job.model)]
        ),
        lesions=tuple(
            TimelineLesion(
                key=lesion.id,
                version=lesion.version,
                tracking_uid=lesion.tracking_uid,
                number=lesion.number,
                name=lesion.name,
                role=_role(lesion, assessment),
                target=lesion.target,
                not_a_lesion=lesion.not_a_lesion,
                merged_into=lesion.merged_into,
                split_from=lesion.split_from,
                sizes=tuple(shown.get(lesion.id) for shown in sizes),
                not_covered=tuple(
                    lesion.id in keys and lesion.id not in shown for keys, shown in zip(outside, sizes, strict=True)
                ),
                within=tuple(within.get((visit.uid, lesion.tracking_uid)) for visit in visits),
                absorbed_by=tuple(
                    None if lesion.id in shown else names.get(lesion.id)
                    for names, shown in zip(absorbed_by, sizes, strict=True)
                ),
            )
            for lesion in lesions.values()
            if lesion.merged_into is not None or any(lesion.id in shown for shown in sizes)
        ),
        assessment=assessment,
        finders=tuple(
            dict.fromkeys(
                Finder(f"{model.name} {model.version}", model.statement)
                for visit in visits
                if (model := visit.job.model)
            )
        ),
    )


def _sizes(visit: KnownVisit, doubted: Collection[tuple[str, str]]) -> dict[int, LesionSize]:
    """Give the size of each lesion at a visit by its key; parts of one lesion together."""
    parts: dict[int, list[Identity]] = defaultdict(list)
    for identity in visit.identities:
        whole = root(identity.finding.tracked, visit.lesions)
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
            ambiguous=any((visit.uid, one.lesion.tracking_uid) in doubted for one in of_one),
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
