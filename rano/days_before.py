"""What the days before a visit have left behind: the nadirs, and whether all lesions had gone once.

``judging`` goes from day to day and compares each visit with these.
"""

import datetime
from collections.abc import Callable, Collection, Sequence

from rano.groups import LENGTH, VOLUME, Group, Nadir, Visit, lower
from rano.non_targets import WAYS


class DaysBefore:
    """What is known from the baseline up to a day.

    Parameters
    ----------
    baseline
        The visit that the others are compared with.
    day
        All visits of its day.
    non_targets, known
        Tracking UIDs of the baseline's non-target lesions, and of all lesions of its day.

    Attributes
    ----------
    smallest
        The smallest size of each non-target lesion, by tracking UID, for each of ``non_targets.WAYS`` to read it.
    cleared
        The first day on which all lesions of the baseline had gone; None while there was none.
    """

    def __init__(
        self, baseline: Visit, day: Sequence[Visit], non_targets: Sequence[str], known: Collection[str]
    ) -> None:
        self.smallest = [_sizes(non_targets, day, way) for way in WAYS]
        self.cleared: datetime.date | None = None
        self._baseline, self._non_targets, self._known = baseline, non_targets, known
        self._nadirs: dict[Group, Nadir] = {}  # of the target lesions, alone and with what has merged with them
        self._days: list[list[Visit]] = []  # those assessed after the baseline's

    def nadir(self, group: Group) -> Nadir:
        """Return where a group of lesions was smallest."""
        if group not in self._nadirs:
            name = self._baseline.findings.visit
            nadir = {attribute: (self._baseline.read(group, attribute), name) for attribute in (LENGTH, VOLUME)}
            for day in self._days:
                lower(nadir, group, day)
            self._nadirs[group] = nadir
        return self._nadirs[group]

    def remember(self, day: Sequence[Visit]) -> None:
        """Take the visits of one day into account; a lesion that one of several does not show may still be there."""
        self._days.append(list(day))
        for group, nadir in self._nadirs.items():
            lower(nadir, group, day)
        for smallest, way in zip(self.smallest, WAYS, strict=True):
            for uid, size in _sizes(self._non_targets, day, way).items():
                smallest[uid] = min(size, smallest.get(uid, size))
        if day and self.cleared is None and not any(visit.shown(self._known) for visit in day):
            self.cleared = day[0].date


def _sizes(group: Sequence[str], day: Sequence[Visit], way: Callable[[int, int], int]) -> dict[str, int]:
    """Return the largest size on one day of each lesion of a group that is assessed and itself (not merged)."""
    sizes: dict[str, int] = {}
    for visit in day:
        shown = visit.read(group, LENGTH, way).sizes
        living_on = visit.spoken_for
        for uid, size in shown.items():
            if size or (size == 0 and uid not in living_on):
                sizes[uid] = max(size, sizes.get(uid, 0))
    return sizes
