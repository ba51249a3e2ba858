"""What is known of a patient's visits, and the rules to judge them by: the values that ``response`` works on."""

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class HistoryError(ValueError):
    """What was given of the visits contradicts itself."""


class ClinicalStatus(StrEnum):
    """How the patient is, against the baseline."""

    IMPROVED = "improved"
    STABLE = "stable"
    WORSE = "worse"


class Judgement(StrEnum):
    """What a reader says of a lesion at a visit: the first two of a new one, the others of a non-target one."""

    NEW = "new"
    EQUIVOCAL = "equivocal"
    PROGRESSION = "progression"
    NO_PROGRESSION = "no progression"


@dataclass(frozen=True)
class LesionAtVisit:
    """A lesion as one visit shows it. A lesion known from another visit that this one does not list is gone.

    Attributes
    ----------
    tracking_uid
        Follows the lesion from visit to visit.
    longest_mm, volume_mm3
        Longest diameter and volume; None when the lesion can't be assessed at this visit.
    measurable
        Whether RANO-BM calls it measurable at this visit.
    name
        For the reasons; the tracking UID where it is empty.
    target
        At the baseline: chosen by hand as a target lesion, or not to be one. None leaves it to the rule.
    part_of
        Tracking UID of the lesion that this one has split from.
    merged
        Tracking UIDs of the lesions that have merged into this one, once known true for every later visit up to the
        one that shows them by themselves again.
    judgement
        What a reader says of it at this visit; it goes before the rule. None leaves it to the rule.
    equivocal
        Whether it is open, whatever its size, that it is a lesion of its own.
    doubt
        Whether it is not sure that this is the lesion of the tracking UID, and nobody has decided that.
    refused
        Whether people have called it no lesion: it is listed only for what hangs together with it (``counting``).
    within
        What people have called no lesion and this one has merged with, so that nobody can measure it.
    """

    tracking_uid: str
    longest_mm: float | None
    volume_mm3: float | None
    measurable: bool = False
    name: str = ""
    target: bool | None = None
    part_of: str | None = None
    merged: tuple[str, ...] = ()
    judgement: Judgement | None = None
    equivocal: bool = False
    doubt: bool = False
    refused: bool = False
    within: "LesionAtVisit | None" = None

    def __post_init__(self) -> None:
        for what, value in (("longest diameter", self.longest_mm), ("volume", self.volume_mm3)):
            if value is not None and not 0 <= value < math.inf:
                raise HistoryError(f"the {what} of lesion {self.label} is {value}; it must be 0 or more, or unknown")

    @property
    def label(self) -> str:
        return self.name or self.tracking_uid


@dataclass(frozen=True)
class VisitFindings:
    """One visit: what was seen and what is known of the patient.

    Attributes
    ----------
    visit
        Identifies the visit (its StudyInstanceUID).
    date
        None when the study has no date: such a visit can't be placed in the history.
    lesions
        None when the visit was not assessed at all; empty when nothing was found.
    corticosteroid_mg
        Daily dose, as dexamethasone; None when not known.
    clinical_status
        Against the baseline; None when not known.
    immunotherapy
        Whether the patient is under immunotherapy: new lesions alone are then no progression. None when that is not
        said: it is then as before (``immunotherapy.carried``).
    gone_in_doubt
        Names of the lesions not found here of which it is not sure that they have gone, and nobody has decided it.
    verified
        Whether a person has looked at which lesions these are, and which have gone, and found it right.
    """

    visit: str
    date: datetime.date | None
    lesions: tuple[LesionAtVisit, ...] | None
    corticosteroid_mg: float | None = None
    clinical_status: ClinicalStatus | None = None
    immunotherapy: bool | None = None
    gone_in_doubt: tuple[str, ...] = ()
    verified: bool = False

    def __post_init__(self) -> None:
        uids = [lesion.tracking_uid for lesion in self.lesions or ()]
        shared = sorted({uid for uid in uids if uids.count(uid) > 1})
        if shared:
            raise HistoryError(f"visit {self.visit} lists {', '.join(shared)} more than once")
        if self.corticosteroid_mg is not None and not 0 <= self.corticosteroid_mg < math.inf:
            raise HistoryError(f"visit {self.visit} has a corticosteroid dose of {self.corticosteroid_mg} mg")

    @property
    def in_doubt(self) -> bool:
        """Whether it is not sure which lesions these are, or which have gone, and no person has found it right."""
        return not self.verified and bool(self.gone_in_doubt or any(m.doubt for m in self.lesions or ()))


TargetRule = Literal["any_lesion", "sum", "volume"]
TARGET_RULES: tuple[TargetRule, ...] = ("any_lesion", "sum", "volume")


def summed(rule: TargetRule) -> str:
    """Say in words of what a target rule takes the sum."""
    return "volumes" if rule == "volume" else "longest diameters"


@dataclass(frozen=True)
class Rules:
    """RANO-BM (Lin et al., Lancet Oncol 2015;16:e270-8), with what a trial may choose.

    Attributes
    ----------
    target_rule
        What makes the target lesions progressive, besides the 20 %: ``"any_lesion"``, that one of them grew by the
        absolute limit (RANO-BM); ``"sum"``, that their sum did (RECIST 1.1). ``"volume"`` judges their volume instead,
        without an absolute limit. The other two are reported beside the one chosen.
    partial_percent, progressive_percent, absolute_mm
        Fall of the sum of longest diameters below the baseline, its rise above the nadir, and the absolute limit.
    partial_volume_percent, progressive_volume_percent
        The same of the sum of volumes; 1 - 0.7^3 and 1.2^3 - 1.
    maximum_targets
        How many target lesions there are at most.
    confirmation_days
        How long CR and PR must last.
    non_target_minimum_mm
        A non-target lesion is unequivocally progressive when it grew by ``progressive_percent`` and ``absolute_mm``
        over its own smallest size, and is now at least this long; one in parts by its largest and by their sum. A
        reader's word goes before.
    equivocal_below_mm
        A new lesion shorter than this is equivocal: it is no progression before it has grown longer, and then it is
        one from the day on which it was first seen, but not across an assessed day that did not show it. A reader's
        word goes before.
    """

    target_rule: TargetRule = "any_lesion"
    partial_percent: float = 30
    progressive_percent: float = 20
    absolute_mm: float = 5
    partial_volume_percent: float = 65
    progressive_volume_percent: float = 72.8
    maximum_targets: int = 5
    confirmation_days: int = 28
    non_target_minimum_mm: float = 10
    equivocal_below_mm: float = 3

    def __post_init__(self) -> None:
        if self.target_rule not in TARGET_RULES:
            raise HistoryError(f"target_rule is {self.target_rule!r}; it must be one of {', '.join(TARGET_RULES)}")
        for name in ("partial_percent", "partial_volume_percent"):
            if not 0 < getattr(self, name) <= 100:
                raise HistoryError(f"{name} is {getattr(self, name)}; it must lie above 0 and not above 100")
        for name in ("progressive_percent", "progressive_volume_percent", "maximum_targets"):
            if not 0 < getattr(self, name) < math.inf:
                raise HistoryError(f"{name} is {getattr(self, name)}; it must lie above 0")

    def percents(self, rule: TargetRule) -> tuple[float, float]:
        """Give the fall below the baseline, and the rise above the nadir, that count by one of the target rules."""
        if rule == "volume":
            return self.partial_volume_percent, self.progressive_volume_percent
        return self.partial_percent, self.progressive_percent


def choose_targets(
    baseline: Sequence[LesionAtVisit], maximum: int
) -> tuple[tuple[LesionAtVisit, ...], tuple[str, ...]]:
    """Choose the target lesions among those of the baseline.

    Those chosen by hand come first, then the measurable ones that nobody has ruled out, by longest diameter, then
    volume. A lesion that is not measurable is never a target.

    Parameters
    ----------
    baseline
        Whole lesions (``families.wholes``).
    maximum
        How many there are at most.

    Returns
    -------
    tuple
        The target lesions; and what could not be followed of the choice by hand, in words.
    """
    possible = [lesion for lesion in baseline if lesion.measurable and lesion.longest_mm and lesion.target is not False]
    possible.sort(key=lambda m: (not m.target, -(m.longest_mm or 0), -(m.volume_mm3 or 0), m.tracking_uid))
    chosen = tuple(possible[:maximum])
    notes = [
        f"{lesion.label} was chosen as a target but "
        + (f"{maximum} larger ones were too" if lesion in possible else "is not measurable at the baseline")
        + ": it counts as non-target."
        for lesion in baseline
        if lesion.target and lesion not in chosen
    ]
    return chosen, tuple(notes)
