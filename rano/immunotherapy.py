"""Under immunotherapy or not: said of some visits, it holds until another one says otherwise."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from rano.history import VisitFindings


def carried(visits: Sequence[VisitFindings]) -> list[VisitFindings]:
    """Give the visits with what those of which it is not said take over; nothing said at all is no.

    They take over what the last earlier day says, and of several visits on that day the last. Visits of one day take
    nothing from each other, and those without a date nothing from any.

    Parameters
    ----------
    visits
        All of the patient's, in the order of time, as ``counting.counted`` gives them.
    """
    holds = False
    result = []
    for date, day in groupby(visits, key=lambda visit: visit.date):
        of_day = list(day)
        before = holds and date is not None
        said = [visit.immunotherapy for visit in of_day if visit.immunotherapy is not None]
        result += [replace(visit, immunotherapy=before) if visit.immunotherapy is None else visit for visit in of_day]
        holds = said[-1] if said else holds
    return result
