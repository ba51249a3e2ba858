"""The answer for one visit: what ``judging`` finds, and what page, report and tables say."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rano.confirmation import Verdict
from rano.criteria import Change, Response
from rano.history import Judgement, TargetRule

Role = Literal["target", "non_target", "new"]
"""What a lesion counts as from the baseline on; new is what a visit calls new, or equivocal."""


@dataclass(frozen=True)
class VisitResponse:
    """The answer for one visit.

    Attributes
    ----------
    visit, date
        As given.
    role
        ``"baseline"``, ``"follow-up"``, ``"before baseline"``, or ``"unplaced"`` (no date, or no baseline).
    diameters, volumes
        How the sums over the target lesions have changed; None where there are none or the visit was not assessed.
    by_target_rule
        The response of the target lesions alone by each of ``history.TARGET_RULES``; empty where there are none.
    non_targets
        The response of the non-target lesions alone: CR, non-CR/non-PD, PD or NE; None where there are none.
    new_lesions, equivocal_lesions
        Tracking UIDs of lesions that were not there at the baseline, and of those in doubt. A new lesion that has
        merged with one that was there is among them for as long as they are one.
    judgeable
        What a reader can say of lesions that the visit measures, by tracking UID. Whatever else is said of them, or of
        others, has no effect.
    radiographic, overall
        The response; None at the baseline and before.
    immunotherapy
        Whether the patient is under immunotherapy, as was said of this visit or of one before.
    notes
        What a reader should know besides.
    doubt
        Which lesions a person should look at before the response is relied on, in a sentence; it is among the notes.
    earlier_doubt
        What the response would be without the earlier visits in doubt, in a sentence, where it would be another, or
        that the baseline is in doubt; it is among the notes too, and ends when a person has looked at those visits.
    """

    visit: str
    date: datetime.date | None
    role: str
    diameters: Change | None = None
    volumes: Change | None = None
    by_target_rule: Mapping[TargetRule, Response] = field(default_factory=dict)
    non_targets: Response | None = None
    new_lesions: tuple[str, ...] = ()
    equivocal_lesions: tuple[str, ...] = ()
    # Not in the repr, by which what was written is compared with what would be: no report tells it.
    judgeable: Mapping[str, tuple[Judgement, ...]] = field(default_factory=dict, repr=False)
    radiographic: Verdict | None = None
    overall: Verdict | None = None
    immunotherapy: bool = False
    notes: tuple[str, ...] = ()
    doubt: str = ""
    earlier_doubt: str = ""

    def change(self, rule: TargetRule) -> Change | None:
        """Give what one of the target rules goes by: how the sum of volumes has changed, or that of diameters."""
        return self.volumes if rule == "volume" else self.diameters

    @property
    def doubts(self) -> str:
        """All that a person should look at before the response is relied on; empty when there is nothing."""
        return f"{self.doubt} {self.earlier_doubt}".strip()
