"""What becomes of the lesions that are followed but not summed: gone, still there, or unequivocally progressive."""

import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from rano.criteria import Part, Reading, Response, reached_rise, read, side_by_side
from rano.history import Judgement, LesionAtVisit, Rules

JUDGEMENTS = (Judgement.PROGRESSION, Judgement.NO_PROGRESSION)
"""What a reader can say of one."""

WAYS: tuple[Callable[[int, int], int], ...] = (max, operator.add)
"""A lesion in parts is read by the largest of them, and by all added. It has grown beyond doubt when both say so: one
that falls apart grows only by the sum, and one whose parts join only by the largest."""


def judge_non_targets(
    lesions: Sequence[LesionAtVisit],
    families: Mapping[str, Sequence[str]],
    group: Sequence[str],
    smallest: Sequence[Mapping[str, int]],
    rules: Rules,
    names: Mapping[str, str],
) -> Part:
    """Say what has become of the non-target lesions, and why.

    A reader's word on a lesion goes before the rule: ``absolute_mm`` and ``progressive_percent`` above its own smallest
    size, and at least ``non_target_minimum_mm`` long, by each of ``WAYS``.

    Parameters
    ----------
    lesions
        Those of the visit that speak for a non-target lesion and for no target lesion.
    families
        Which lesions each of them speaks for; see ``families.families``.
    group
        Tracking UIDs of the non-target lesions.
    smallest
        Of each of them, the smallest longest diameter of all earlier days, in hundredths of a mm, where it is known;
        for each of ``WAYS``.
    rules
        What a trial may choose.
    names
        Of all lesions, by tracking UID.
    """
    progressive = [m.label for m in lesions if m.judgement is Judgement.PROGRESSION]
    grown = []
    said = {uid for lesion in lesions for uid in families[lesion.tracking_uid] if lesion.judgement in JUDGEMENTS}
    by_largest, by_sum = (
        side_by_side(Reading({uid: sizes.get(uid) for uid in group}, {}), read(lesions, families, group, join=way))
        for way, sizes in zip(WAYS, smallest, strict=True)
    )
    for uid, (before, after) in by_largest.items():
        if uid not in said and _has_progressed(before, after, rules) and _has_progressed(*by_sum[uid], rules):
            part = "" if by_sum[uid] == (before, after) else ", by its largest part,"
            grown.append(f"{names[uid]}{part} grew from {before / 100:.2f} mm to {after / 100:.2f} mm")
    if progressive or grown:
        return Response.PD, "; ".join([*_by_reader(progressive), *_by_rule(grown, rules)])
    unknown = [lesion.label for lesion in lesions if lesion.longest_mm is None]
    if unknown:
        return Response.NE, f"non-target {', '.join(unknown)} can't be assessed"
    if lesions:
        return Response.NON_CR_NON_PD, "non-target lesions remain without unequivocal progression"
    return Response.CR, "all non-target lesions have gone"


def _by_reader(names: Sequence[str]) -> list[str]:
    return [f"a reader calls non-target {', '.join(names)} unequivocally progressive"] if names else []


def _by_rule(grown: Sequence[str], rules: Rules) -> list[str]:
    if not grown:
        return []
    each = "each " if len(grown) > 1 else ""
    return [
        f"non-target {'; '.join(grown)} ({each}at least {rules.absolute_mm:g} mm and {rules.progressive_percent:g} %, "
        f"and now at least {rules.non_target_minimum_mm:g} mm long)"
    ]


def _has_progressed(before: int, after: int, rules: Rules) -> bool:
    return (
        after >= Fraction(str(rules.non_target_minimum_mm)) * 100
        and after - before >= Fraction(str(rules.absolute_mm)) * 100
        and reached_rise(after, before, rules.progressive_percent)
    )
