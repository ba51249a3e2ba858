"""The thresholds of RANO-BM: how a group of lesions has changed, and what that means for target lesions.

Sizes are compared as whole hundredths of a mm (or mm3), as they are printed, and ratios as exact fractions: exactly
20 %, 30 % or 5 mm counts as reached, and 0.01 mm less does not.
"""

import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from rano.history import LesionAtVisit, Rules, TargetRule, summed


class Response(StrEnum):
    CR = "CR"
    PR = "PR"
    SD = "SD"
    PD = "PD"
    NON_CR_NON_PD = "non-CR/non-PD"  # lesions remain, none of them was measurable at the baseline
    NED = "no evidence of disease"  # none at the baseline, none now
    NE = "NE"


Part = tuple[Response, str]
"""The response of some of the lesions, and why."""


@dataclass(frozen=True)
class Reading:
    """The sizes of a group of lesions at one visit.

    Attributes
    ----------
    sizes
        Tracking UID to size in hundredths of a mm or mm3: 0 when gone, None when it can't be assessed.
    carrier
        Tracking UID of a lesion that has merged into another one of the group to that one's.
    """

    sizes: Mapping[str, int | None]
    carrier: Mapping[str, str]

    @property
    def total(self) -> int | None:
        return None if None in self.sizes.values() else self.known

    @property
    def known(self) -> int:
        return sum(size or 0 for size in self.sizes.values())


def hundredths(value: float | None) -> int | None:
    """Return a size in whole hundredths, as it is printed."""
    return None if value is None else round(value * 100)


def read(
    lesions: Sequence[LesionAtVisit],
    families: Mapping[str, Sequence[str]],
    group: Collection[str],
    attribute: str = "longest_mm",
    join: Callable[[int, int], int] = operator.add,
) -> Reading:
    """Read what a visit shows of each lesion of a group: its parts when it has split, the whole when it has merged.

    Parameters
    ----------
    lesions
        Of the visit.
    families
        Which lesions each of them speaks for; see ``families.families``.
    group
        Tracking UIDs, of the baseline.
    attribute
        ``"longest_mm"`` or ``"volume_mm3"``.
    join
        Makes one size of those of two parts.
    """
    sizes: dict[str, int | None] = dict.fromkeys(group, 0)
    carrier: dict[str, str] = {}
    for lesion in lesions:
        owners = owners_in(sizes, families[lesion.tracking_uid])
        if not owners:
            continue
        size, so_far = hundredths(getattr(lesion, attribute)), sizes[owners[0]]
        sizes[owners[0]] = None if size is None or so_far is None else join(so_far, size)
        carrier.update(dict.fromkeys(owners[1:], owners[0]))
    return Reading(sizes, carrier)


def owners_in(group: Collection[str], family: Sequence[str]) -> list[str]:
    """Return which of a group a lesion of this family stands for; its size counts as the first one's."""
    return [uid for uid in family if uid in group]


def side_by_side(before: Reading, now: Reading) -> dict[str, tuple[int, int]]:
    """Pair each lesion's size before with its size now; lesions that merged at either visit are taken together.

    Lesions that can't be assessed at one of the visits are left out. Those taken together go by the tracking UID of
    the one that the others merged into.
    """
    together = {uid: uid for uid in now.sizes}
    for uid, by in [*before.carrier.items(), *now.carrier.items()]:
        old, new = together[uid], together[by]
        together = {member: new if root == old else root for member, root in together.items()}
    pairs: dict[str, tuple[int, int]] = {}
    for uid, root in together.items():
        earlier, size = before.sizes[uid], now.sizes[uid]
        if earlier is not None and size is not None:
            first, second = pairs.get(root, (0, 0))
            pairs[root] = first + earlier, second + size
    return pairs


def most_grown(before: Reading, now: Reading) -> tuple[str, int] | None:
    """Return the lesion that grew most and by how many hundredths; None when none can be compared."""
    grown = {uid: after - earlier for uid, (earlier, after) in side_by_side(before, now).items()}
    return max(grown.items(), key=lambda item: item[1], default=None)


@dataclass(frozen=True)
class Change:
    """How the sum over the target lesions has changed.

    Attributes
    ----------
    unit
        ``"mm"`` (longest diameters) or ``"mm3"`` (volumes).
    total
        The sum now; None when a target lesion can't be assessed.
    baseline, nadir
        The sum at the baseline, and the smallest one at any earlier day, the baseline included.
    nadir_visit
        The first visit that had it.
    from_baseline_percent, from_nadir_percent
        As ``percent_above`` gives them: positive is growth; None when there is no total, or no size to compare with.
    from_nadir
        Absolute growth of the sum.
    largest_growth, largest_growth_of
        Of the one target lesion that grew most since the nadir's visit, and its tracking UID.
    """

    unit: str
    total: float | None
    baseline: float
    nadir: float
    nadir_visit: str
    from_baseline_percent: float | None
    from_nadir_percent: float | None
    from_nadir: float | None
    largest_growth: float | None
    largest_growth_of: str | None


def compare(unit: str, baseline: Reading, nadir: Reading, nadir_visit: str, now: Reading) -> Change:
    """Put a visit's reading of the target lesions beside the baseline's and the nadir's; both are complete."""
    most = most_grown(nadir, now)
    total, smallest = now.total, nadir.known
    return Change(
        unit=unit,
        total=None if total is None else total / 100,
        baseline=baseline.known / 100,
        nadir=smallest / 100,
        nadir_visit=nadir_visit,
        from_baseline_percent=percent_above(total, baseline.known),
        from_nadir_percent=percent_above(total, smallest),
        from_nadir=None if total is None else (total - smallest) / 100,
        largest_growth=None if most is None else most[1] / 100,
        largest_growth_of=None if most is None else most[0],
    )


def judge(
    rule: TargetRule, rules: Rules, baseline: Reading, nadir: Reading, now: Reading, names: Mapping[str, str]
) -> Part:
    """Say what the change of the target lesions means by one rule, and why."""
    what, size = summed(rule), in_cm3 if rule == "volume" else in_mm
    least_fall, least_rise = rules.percents(rule)
    known, smallest, first = now.known, nadir.known, baseline.known

    if smallest == 0 and known > 0:
        return Response.PD, f"target lesions had all gone and are back with {size(known)}"
    risen = reached_rise(known, smallest, least_rise)
    unknown = [names[uid] for uid, value in now.sizes.items() if value is None]
    rise = f"the sum of {what}{' that could be measured' if unknown else ''}, {size(known)}, is "
    rise += f"{percent_above(known, smallest) or 0:.2f} % above the nadir {size(smallest)}"
    met, absolute = _absolute(rule, rules, nadir, now, names)
    if risen and met:
        return Response.PD, f"{rise} (at least {least_rise:g} %){absolute}"
    if unknown:
        return Response.NE, f"{', '.join(unknown)} can't be assessed"
    if known == 0:
        return Response.CR, "all target lesions have gone"
    fall = f"the sum of {what}, {size(known)}, is {-(percent_above(known, first) or 0):.2f} % below the baseline "
    fall += size(first)
    if Fraction(first - known) >= Fraction(str(least_fall)) / 100 * first:
        return Response.PR, f"{fall} (at least {least_fall:g} %)"
    if risen:
        return Response.SD, f"{rise} (at least {least_rise:g} %), but{absolute}"
    if known <= first:
        neither = f"{fall} (PR from {least_fall:g} %)"
        return Response.SD, f"{neither}, and not {least_rise:g} % above the nadir {size(smallest)}"
    return Response.SD, f"{rise} (PD from {least_rise:g} %)"


def in_mm(hundredths: int) -> str:
    """Give a length in words."""
    return f"{hundredths / 100:.2f} mm"


def in_cm3(hundredths: int) -> str:
    """Give a volume, of hundredths of a mm3, in the unit that people read: to the last digit that was compared."""
    whole, rest = divmod(hundredths, 100_000)
    return f"{whole}.{f'{rest:05d}'.rstrip('0').ljust(2, '0')} cm³"


def reached_rise(now: int, before: int, percent: float) -> bool:
    """Say whether a size, in hundredths, lies at least so many percent above an earlier one."""
    return now > before and Fraction(now - before) >= Fraction(str(percent)) / 100 * before


def _absolute(
    rule: TargetRule, rules: Rules, nadir: Reading, now: Reading, names: Mapping[str, str]
) -> tuple[bool, str]:
    """Say whether the absolute limit on growth is met, and in words."""
    if rule == "volume":
        return True, ""
    least = f"{rules.absolute_mm:g} mm"
    most = most_grown(nadir, now)
    if rule == "sum":
        who, grown = "the sum", now.known - nadir.known
    elif most is None:
        return False, " no target lesion can be compared"
    else:
        who, grown = names[most[0]], most[1]
    if grown >= Fraction(str(rules.absolute_mm)) * 100:
        return True, f", and {who} grew {grown / 100:.2f} mm (at least {least})"
    if rule == "sum":
        return False, f" it grew only {grown / 100:.2f} mm (PD from {least})"
    return False, f" no target lesion grew {least} (most: {who}, {grown / 100:.2f} mm)"


def percent_above(now: int | None, before: int | None) -> float | None:
    """Return by how many percent a size, in hundredths, lies above an earlier one, cut off after two decimals.

    None when there is nothing to compare. To be printed with both decimals.
    """
    # Rounded, 19.995 % would stand as 20.00 % beside a verdict that 20 % was not reached. Cut off towards zero, growth
    # and fall alike, a figure reaches a threshold of up to two decimals exactly when the size does.
    return None if now is None or not before else math.trunc(Fraction(now - before, before) * 10_000) / 100
