"""Which lesion a finding is, after all that people have decided: who was merged, and who is no lesion.

Only one finding of a visit can carry an identity into SEG and RTSTRUCT. When lesions that people have merged are still
apart at a visit, each keeps its own there, and ``part_of`` says whose part it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from BDD.followup_models import Finding, TrackedLesion


@dataclass(frozen=True)
class Identity:
    """What a finding is.

    Attributes
    ----------
    finding
        The finding.
    lesion
        Whose name and tracking UID it carries.
    part_of
        The lesion it is a part of, when another finding of the visit carries that one's identity; else None.
    """

    finding: Finding
    lesion: TrackedLesion
    part_of: TrackedLesion | None = None

    @property
    def is_lesion(self) -> bool:
        """Whether people count it as one."""
        return not self.finding.tracked.not_a_lesion and not (self.part_of or self.lesion).not_a_lesion


def is_said(lesion: TrackedLesion, study_instance_uid: str) -> bool:
    """Say whether people have decided that a finding of this lesion, at this visit, is this lesion."""
    return lesion.merged_into is not None or lesion.split_at == study_instance_uid


def root(lesion: TrackedLesion, lesions: Mapping[int, TrackedLesion]) -> TrackedLesion:
    """Follow the merging to the lesion that stands for this one."""
    while lesion.merged_into is not None:
        lesion = lesions[lesion.merged_into]
    return lesion


def identify(findings: Sequence[Finding], lesions: Mapping[int, TrackedLesion]) -> list[Identity]:
    """Give what each finding of one visit is, in the order given.

    Parameters
    ----------
    findings
        Of one job, with their lesions.
    lesions
        All tracked lesions of the patient by key.
    """
    carriers: dict[int, Finding] = {}
    for finding in sorted(findings, key=lambda one: (one.tracked.merged_into is not None, -one.lesion.volume_mm3)):
        carriers.setdefault(root(finding.tracked, lesions).id, finding)
    identities = []
    for finding in findings:
        stands_for = root(finding.tracked, lesions)
        if carriers[stands_for.id] is finding:
            identities.append(Identity(finding, stands_for))
        else:
            identities.append(Identity(finding, finding.tracked, stands_for))
    return identities
