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
        return not is_refused(self.finding.tracked, self.part_of or self.lesion)


def is_said(lesion: TrackedLesion, study_instance_uid: str) -> bool:
    """Say whether people have decided that a finding of this lesion, at this visit, is this lesion."""
    return lesion.merged_into is not None or lesion.split_at == study_instance_uid


def is_refused(lesion: TrackedLesion, whole: TrackedLesion) -> bool:
    """Say whether people have called a lesion none, or what stands for it (``root``)."""
    return lesion.not_a_lesion or whole.not_a_lesion


def is_doubted(ambiguous: bool, lesion: TrackedLesion | None, study_instance_uid: str) -> bool:
    """Say whether it is not sure that a finding of a study is this lesion, and nobody has decided it."""
    return ambiguous and not (lesion is not None and is_said(lesion, study_instance_uid))


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
    found = {number: (one.tracked, one.lesion.volume_mm3) for number, one in enumerate(findings)}
    carried = carry(found, lesions)
    identities = []
    for number, finding in enumerate(findings):
        stands_for = root(finding.tracked, lesions)
        part_of = None if carried[number] is stands_for else stands_for
        identities.append(Identity(finding, carried[number], part_of))
    return identities


def carry(
    found: Mapping[int, tuple[TrackedLesion, float]], lesions: Mapping[int, TrackedLesion]
) -> dict[int, TrackedLesion]:
    """Give whose name and tracking UID each lesion of one visit carries.

    Of those that people have merged it is one that carries what stands for all: the one that was not merged into
    another, else the largest. The others carry their own.

    Parameters
    ----------
    found
        By any number: which lesion it is by itself, and its volume.
    lesions
        All tracked lesions of the patient by key.
    """
    carriers: dict[int, int] = {}
    for number, (lesion, _) in sorted(found.items(), key=lambda one: (one[1][0].merged_into is not None, -one[1][1])):
        carriers.setdefault(root(lesion, lesions).id, number)
    return {
        number: whole if carriers[(whole := root(lesion, lesions)).id] == number else lesion
        for number, (lesion, _) in found.items()
    }
