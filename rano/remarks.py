"""What a reader of a response should know besides, in sentences."""

import datetime
from collections.abc import Mapping, Sequence

from rano.history import LesionAtVisit, Rules
from rano.measuring import MINIMUM_LONGEST_MM, MINIMUM_PERPENDICULAR_MM, MINIMUM_SLICE_DISTANCES, MINIMUM_SLICES

MEASURABLE = (
    f"longest diameter at least {MINIMUM_LONGEST_MM:g} mm, or {MINIMUM_SLICE_DISTANCES} x the distance between slices "
    f"where that is more; perpendicular at least {MINIMUM_PERPENDICULAR_MM:g} mm; visible on at least {MINIMUM_SLICES} "
    "slices"
)
"""What makes a lesion measurable."""


def thresholds(rules: Rules) -> str:
    """Say from where on the target lesions respond, or progress, by the rule that decides."""
    fall, rise = rules.percents(rules.target_rule)
    besides = {
        "any_lesion": f" if a target lesion has grown by {rules.absolute_mm:g} mm too",
        "sum": f" if the sum has grown by {rules.absolute_mm:g} mm too",
        "volume": "",
    }
    return f"PR from {fall:g} % below the baseline; PD from {rise:g} % above the nadir{besides[rules.target_rule]}."


def merged(lesions: Sequence[LesionAtVisit], names: Mapping[str, str]) -> list[str]:
    """Say which lesions of a visit have just taken in others."""
    found = [(m.label, [names.get(uid, uid) for uid in m.merged]) for m in lesions if m.merged]
    return [f"{label} now includes {', '.join(others)} (merged)." for label, others in found]


def still_new(name: str, since: datetime.date, others: str) -> str:
    """Say that a new lesion is one with others that are not, and as new as before."""
    return f"{name}, new on {since}, has merged with {others} and still counts."


def in_parts(names: Sequence[str]) -> list[str]:
    """Say which target lesions a visit shows in parts, whose sizes are added."""
    return [f"{name} is in parts at this visit: their sizes are added." for name in names]


def not_found(names: Sequence[str]) -> list[str]:
    """Say which target lesions count as gone at a visit because its images do not show them."""
    return [f"Not found at this visit, and counted as gone: {', '.join(names)}."] if names else []


def measured_together(names: Sequence[str]) -> list[str]:
    """Say which non-target lesions have merged with targets."""
    if not names:
        return []
    return [f"Non-target {', '.join(names)} can't be told from a target any more: all sums here are with it."]


def not_assessed(lesions: Sequence[LesionAtVisit]) -> list[str]:
    """Say which lesions a visit tells nothing of, and with what that is no lesion they have merged."""
    names = ", ".join(m.label for m in lesions if m.longest_mm is None)
    notes = [f"Can't be assessed at this visit: {names}."] if names else []
    return notes + [
        f"{m.label} has merged with {m.within.label}, which people have called no lesion: it has not gone."
        for m in lesions
        if m.within is not None
    ]


def doubt(followed: Sequence[str], gone: Sequence[str]) -> str:
    """Say of which lesions it is not sure which they are, and of which whether they have gone; empty without any."""
    if not followed and not gone:
        return ""
    them = "it" if len(followed) + len(gone) == 1 else "them"
    words = _open(followed, gone)
    return f"{words[0].upper()}{words[1:]} is not sure: a person should look at {them} before relying on the response."


def verified(followed: Sequence[str], gone: Sequence[str]) -> str:
    """Say what a person has looked at that was not sure, and found right; empty when there was nothing."""
    return f"A person has looked at {_open(followed, gone)}, and found it right." if followed or gone else ""


def without(dates: Sequence[datetime.date], response: str) -> str:
    """Say which response there would be without the earlier visits of these dates, which are in doubt."""
    days = ", ".join(str(date) for date in dates)
    visits, are, them = ("visit", "is", "it") if len(dates) == 1 else ("visits", "are", "them")
    return (
        f"Without the {visits} of {days}, which {are} in doubt, the response on the images would be {response}: "
        f"a person should look at {them} before relying on this one."
    )


def doubtful_baseline(date: datetime.date) -> str:
    """Say that the visit which all others are compared with is in doubt."""
    return f"The baseline of {date} is in doubt: a person should look at it before relying on any response."


def _open(followed: Sequence[str], gone: Sequence[str]) -> str:
    clauses = []
    if followed:
        clauses.append(f"how {', '.join(followed)} {'was' if len(followed) == 1 else 'were'} followed")
    if gone:
        clauses.append(f"whether {', '.join(gone)} {'has' if len(gone) == 1 else 'have'} gone")
    return " and ".join(clauses)
