"""All that is known of a patient, read at once: what each visit showed, what it missed, and what people have said.

A visit is a study; where several of its series were segmented, the one segmented last speaks for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from sqlalchemy import select
from sqlalchemy.orm import Session

from BDD import verification
from BDD.absence_store import Absent, absences_of, gone_in_doubt, not_assessed
from BDD.followup_models import TrackedLesion, VisitAssessment
from BDD.followup_store import current_jobs, findings_of, study_of, tracked_lesions
from BDD.identities import Identity, identify, is_doubted, is_said
from BDD.judgements import judged
from BDD.models import Job, Study
from rano.history import ClinicalStatus, LesionAtVisit, VisitFindings


@dataclass(frozen=True)
class KnownVisit:
    """One visit.

    Attributes
    ----------
    job
        The segmentation that speaks for it.
    identities
        What that found, by label.
    absent
        The lesions that it did not find, where it is open whether they have gone.
    said
        What people have said of the visit.
    lesions
        All tracked lesions of the patient by key.
    """

    job: Job
    identities: Sequence[Identity]
    absent: Absent
    said: VisitAssessment | None
    lesions: Mapping[int, TrackedLesion]

    @property
    def study(self) -> Study:
        return study_of(self.job)

    @property
    def uid(self) -> str:
        return self.study.study_instance_uid

    def followed(self) -> str:
        """Name what the visit shows (``verification.followed``)."""
        findings = [one.finding for one in self.identities]
        return verification.followed(self.job, findings, self.absent, self.lesions)

    def findings(self) -> VisitFindings:
        """Give the visit as ``rano.response`` judges it."""
        shown = {identity.lesion.tracking_uid for identity in self.identities}
        present = (self._lesion(identity) for identity in self.identities)
        seen = VisitFindings(
            visit=self.uid,
            date=self.study.study_date,
            lesions=(*present, *not_assessed(self.absent, self.lesions, shown)),
            gone_in_doubt=gone_in_doubt(self.absent, self.lesions, shown, self.uid),
            verified=self.said is not None and self.said.verified == self.followed(),
        )
        return with_assessment(seen, self.said, self.lesions)

    def _lesion(self, identity: Identity) -> LesionAtVisit:
        row = identity.finding.lesion
        return LesionAtVisit(
            tracking_uid=identity.lesion.tracking_uid,
            longest_mm=row.longest_diameter_mm,
            volume_mm3=row.volume_mm3,
            measurable=row.measurable,
            name=identity.lesion.name,
            target=(identity.part_of or identity.lesion).target,
            part_of=self._part_of(identity),
            merged=tuple(identity.finding.merged),
            doubt=is_doubted(identity.finding.ambiguous, identity.finding.tracked, self.uid),
            refused=not identity.is_lesion,
        )

    def _part_of(self, identity: Identity) -> str | None:
        """Give the UID of what a finding is a part of; what following made of it ends with people's decision."""
        if identity.part_of is not None:
            return identity.part_of.tracking_uid
        return None if is_said(identity.finding.tracked, self.uid) else identity.finding.part_of


@dataclass(frozen=True)
class KnownPatient:
    """One patient.

    Attributes
    ----------
    visits
        By date, those without one last.
    lesions
        The tracked lesions by key.
    said
        What people have said of studies, segmented or not, by StudyInstanceUID.
    """

    visits: tuple[KnownVisit, ...] = ()
    lesions: Mapping[int, TrackedLesion] = field(default_factory=dict)
    said: Mapping[str, VisitAssessment] = field(default_factory=dict)

    @cached_property
    def findings(self) -> dict[str, VisitFindings]:
        """The visits as ``rano.response`` judges them, by StudyInstanceUID."""
        return {visit.uid: visit.findings() for visit in self.visits}

    @property
    def chosen(self) -> list[str]:
        """StudyInstanceUIDs of the studies that people have chosen as the baseline."""
        return [study for study, one in self.said.items() if one.baseline]


def known_patient(session: Session, patient_key: int) -> KnownPatient:
    """Read all that is known of a patient."""
    studies = session.scalars(select(Study).where(Study.patient_key == patient_key)).all()
    names = {study.id: study.study_instance_uid for study in studies}
    lesions = tracked_lesions(session, patient_key)
    assessments = session.scalars(select(VisitAssessment).where(VisitAssessment.study_key.in_(names)))
    said = {names[one.study_key]: one for one in assessments}
    visits = known_visits(session, current_jobs(session, list(names)), lesions, said)
    return KnownPatient(visits, lesions, said)


def known_visits(
    session: Session,
    jobs: Sequence[Job],
    lesions: Mapping[int, TrackedLesion],
    said: Mapping[str, VisitAssessment],
) -> tuple[KnownVisit, ...]:
    """Read the visits that these segmentations show, in their order.

    ``lesions`` and ``said`` are those of the patient, as in ``KnownPatient``.
    """
    found, absent = findings_of(session, jobs), absences_of(session, jobs)
    return tuple(
        KnownVisit(
            job,
            identify(found.get(job.id, []), lesions),
            absent.get(job.id, ()),
            said.get(study_of(job).study_instance_uid),
            lesions,
        )
        for job in jobs
    )


def shown_now(session: Session, study: Study) -> KnownVisit | None:
    """Read what a study shows now, without what was said of it; None when no segmentation speaks for it."""
    lesions = tracked_lesions(session, study.patient_key)
    return next(iter(known_visits(session, current_jobs(session, [study.id]), lesions, {})), None)


def with_assessment(
    findings: VisitFindings, said: VisitAssessment | None, lesions: Mapping[int, TrackedLesion]
) -> VisitFindings:
    """Add to what images show of a visit what people have said of it; ``lesions`` are all of the patient, by key."""
    if said is None:
        return findings
    return replace(
        findings,
        lesions=findings.lesions and judged(findings.lesions, said, lesions),
        corticosteroid_mg=said.corticosteroid_mg,
        clinical_status=ClinicalStatus(said.clinical_status) if said.clinical_status else None,
        immunotherapy=said.immunotherapy,
    )
