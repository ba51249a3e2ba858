"""Responses in the order of time: which CR and PR lasted, and the best response of all."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rano.criteria import Response

_LEVEL = {Response.PR: 1, Response.CR: 2}


@dataclass(frozen=True)
class Verdict:
    """A response and why.

    Attributes
    ----------
    response
        The response at this visit.
    reason
        The rule that decided and the numbers it met, in words.
    confirmed
        For CR and PR: True when it lasted, False when it did not, None while no later visit tells. Else None.
    confirmation
        The same in words; empty for other responses.
    """

    response: Response
    reason: str
    confirmed: bool | None = None
    confirmation: str = ""

    @property
    def sentence(self) -> str:
        """Why, and whether it lasted."""
        return ". ".join(words for words in (self.reason, self.confirmation) if words) + "."


@dataclass(frozen=True)
class Best:
    """The best response up to progression: the visit that first had it (None for NE), and why.

    ``doubt`` says what it would be without the visits in doubt, where that is another.
    """

    response: Response
    visit: str | None
    reason: str
    doubt: str = ""


@dataclass(frozen=True)
class Judged:
    """A verdict and its place in time; ``in_doubt``: a person should look before it is relied on."""

    visit: str
    date: datetime.date
    verdict: Verdict
    in_doubt: bool = False


def confirm(judged: Sequence[Judged], days: int) -> list[Verdict]:
    """Say of every CR and PR whether it lasted for the given number of days.

    It did when a visit at least that much later is as good, and every other up to that day (NE apart) is too.

    Parameters
    ----------
    judged
        In the order of time.
    days
        How long a response must last.
    """
    verdicts = []
    for one in judged:
        verdict = one.verdict
        if verdict.response in _LEVEL:
            confirmed, words = _lasted(judged, one.date, verdict.response, days)
            verdict = replace(verdict, confirmed=confirmed, confirmation=words)
        verdicts.append(verdict)
    return verdicts


def _lasted(judged: Sequence[Judged], since: datetime.date, level: Response, days: int) -> tuple[bool | None, str]:
    for date, day in groupby(judged, key=lambda one: one.date):
        later = (date - since).days
        told = [one.verdict.response for one in day if one.verdict.response is not Response.NE]
        if later <= 0 or not told:
            continue
        # Visits of one day that disagree are no two points in time: the response was not as good that day.
        response = min(told, key=lambda one: (_LEVEL.get(one, 0), one is not Response.PD))
        if _LEVEL.get(response, 0) < _LEVEL[level]:
            return False, f"{level} was not sustained: {response} on {date}, {later} days later"
        if later >= days:
            return True, f"{level} is confirmed by {response} on {date}, {later} days later"
    return None, f"{level} is not confirmed: there is no visit at least {days} days later yet"


def best(judged: Sequence[Judged], days: int, has_targets: bool) -> Best:
    """Return the best response up to progression.

    A CR that did not last, but whose PR did, counts as PR; a CR or PR that did not last at all as SD (non-CR/non-PD
    without target lesions).

    Parameters
    ----------
    judged
        In the order of time.
    days
        How long CR and PR must last.
    has_targets
        Whether there are target lesions.
    """
    answer = _best(judged, days, has_targets)
    sure = _best([one for one in judged if not one.in_doubt], days, has_targets).response
    if sure is answer.response:
        return answer
    return replace(answer, doubt=f"Without the visits in doubt the best response would be {sure}.")


def _best(judged: Sequence[Judged], days: int, has_targets: bool) -> Best:
    progressions = [one for one in judged if one.verdict.response is Response.PD]
    before = [one for one in judged if not progressions or one.date < progressions[0].date]
    responded = [one for one in before if one.verdict.response in _LEVEL]
    for level in (Response.CR, Response.PR):
        for one in responded:
            if _LEVEL[one.verdict.response] >= _LEVEL[level]:
                confirmed, words = _lasted(judged, one.date, level, days)
                if confirmed:
                    return Best(level, one.visit, f"{one.verdict.response} on {one.date}: {words}.")
    if responded:
        one = max(responded, key=lambda one: _LEVEL[one.verdict.response])
        lesser = Response.SD if has_targets else Response.NON_CR_NON_PD
        words = _lasted(judged, one.date, one.verdict.response, days)[1]
        return Best(lesser, one.visit, f"{one.verdict.response} on {one.date} counts as {lesser}: {words}.")
    for response in (Response.NED, Response.SD, Response.NON_CR_NON_PD):
        for one in before:
            if one.verdict.response is response:
                return Best(response, one.visit, f"{response} on {one.date}, and nothing better before progression.")
    if progressions:
        return Best(Response.PD, progressions[0].visit, f"PD on {progressions[0].date}, and nothing better before.")
    return Best(Response.NE, None, "No visit could be judged.")
