"""The words of following: a visit whose lesions are to be followed, and the links that come of it."""

import datetime
from dataclasses import dataclass
from enum import StrEnum

from rano.coverage import Floats, Grid
from rano.rigid import RigidTransform
from rano.shape import LesionShape


class Status(StrEnum):
    NEW = "new"
    PERSISTING = "persisting"
    SPLIT = "split"
    MERGED = "merged"
    RESOLVED = "resolved"
    NOT_COVERED = "not covered"


@dataclass(frozen=True)
class FollowedLesion:
    """A lesion of one visit that is to be followed.

    Attributes
    ----------
    shape
        In the visit's own LPS coordinates.
    tracking_uid
        The one it has, if any. The lesions found to be one get the UID that most of them have.
    fixed
        Whether a person has said that it is this one: it then keeps its UID, and so do those that match it.
    """

    shape: LesionShape
    tracking_uid: str | None = None
    fixed: bool = False


@dataclass(frozen=True)
class FollowedVisit:
    """A visit with its lesions.

    Attributes
    ----------
    visit
        Identifies the visit.
    date
        Visits without one come last.
    lesions
        In the order of their labels.
    to_common
        From the visit's LPS coordinates to those common to the patient; None when the visit is not registered.
    trouble
        Why it is not registered, or why that is in doubt; empty when ``to_common`` can be relied on.
    grid
        What its images cover; None when that is not known, and then they cover everything.
    """

    visit: str
    date: datetime.date | None
    lesions: tuple[FollowedLesion, ...]
    to_common: RigidTransform | None
    trouble: str = ""
    grid: Grid | None = None

    def share_shown(self, points: Floats) -> float:
        """Return the share of points (n, 3), in common coordinates, that its images cover; 1 where nobody can tell."""
        if self.grid is None or self.to_common is None:
            return 1.0
        return self.grid.share_within(self.to_common.inverse().apply(points))


@dataclass(frozen=True)
class Link:
    """What a lesion of a visit is to those before.

    Attributes
    ----------
    tracking_uid
        The lesion's, at all visits.
    status
        New, persisting, split (this part keeps the UID, or has a new one and ``part_of``), or merged (with others).
    ambiguous
        Whether a person should look at it.
    reason
        Why, in words.
    part_of
        Tracking UID of the lesion that it has split from at this visit.
    merged
        Tracking UIDs of lesions that have merged into it at this visit.
    """

    tracking_uid: str
    status: Status
    ambiguous: bool
    reason: str
    part_of: str | None = None
    merged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Absence:
    """A lesion that was seen before and is not at this visit: on the first day without it, or not covered there.

    Attributes
    ----------
    tracking_uid
        The lesion's.
    status
        Resolved, merged (``into``), or not covered: it may be there as before, or have grown, or have gone.
    ambiguous, reason
        As of ``Link``.
    into
        Tracking UID of the lesion that it has merged into.
    """

    tracking_uid: str
    status: Status
    ambiguous: bool
    reason: str
    into: str | None = None


@dataclass(frozen=True)
class VisitLinks:
    """All links of a visit: of its lesions, in the order given, and of those that are not seen."""

    visit: str
    lesions: tuple[Link, ...]
    absent: tuple[Absence, ...]
