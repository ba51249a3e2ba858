"""The points a series collects, each with its reason: a table of rules on one series, and some on the whole study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from imaging import body_parts, words
from imaging.exclusion import exclusion
from imaging.protocol import Protocol

REPETITION = timedelta(minutes=1)
"""Acquisitions closer than this are reconstructions of one, not a repetition."""

CERTAIN = 60.0
"""More points than this for contrast add nothing to the score: certain is certain, then quality decides."""


@dataclass(eq=False)
class Evidence:
    """What speaks for and against a series.

    Attributes
    ----------
    excluded
        Why it can never be the one, or None.
    points
        By kind: ``contrast`` (after contrast or before), ``t1`` (T1-weighted), ``quality`` (of a volume).
    reasons
        In the order in which they were found, points first.
    """

    protocol: Protocol
    excluded: str | None
    points: dict[str, float] = field(default_factory=lambda: {"contrast": 0.0, "t1": 0.0, "quality": 0.0})
    reasons: list[str] = field(default_factory=list)

    @property
    def qualifies(self) -> bool:
        """Whether the series shows that it is a post-contrast T1 volume."""
        return self.excluded is None and self.points["contrast"] > 0 and self.points["t1"] > 0

    @property
    def score(self) -> float:
        """All points, those for contrast up to ``CERTAIN``; none for an excluded series."""
        if self.excluded:
            return 0.0
        return min(self.points["contrast"], CERTAIN) + self.points["t1"] + self.points["quality"]

    @property
    def says_after(self) -> bool:
        """Whether its name says "after contrast" and nothing else."""
        before, after = words.contrast_words(self.protocol.words)
        return after is not None and before is None

    def add(self, kind: str, points: float, reason: str) -> None:
        """Count points for a reason."""
        self.points[kind] += points
        self.reasons.append(f"{points:+g}: {reason}")


def weigh(protocols: Sequence[Protocol]) -> list[Evidence]:
    """Return the evidence for each series of a study, in the same order."""
    study = [Evidence(protocol, exclusion(protocol)) for protocol in protocols]
    possible = [each for each in study if each.excluded is None]
    for each in possible:
        for kind, points, rule in RULES:
            if reason := rule(each.protocol):
                each.add(kind, points, reason)
    _weigh_agents(study)
    _weigh_repetitions(possible)
    _weigh_injections(study)
    for each in possible:
        if each.points["contrast"] == 0:
            agent = " but an agent that does not count" if each.protocol.contrast_agent else ""
            each.reasons.append(f"no sign of contrast{agent}")
        elif each.points["contrast"] < 0:
            each.reasons.append("more speaks against contrast than for it")
        elif each.points["t1"] <= 0:
            each.reasons.append("no sign of T1 weighting")
    return study


def _before_by_name(protocol: Protocol) -> str | None:
    word = words.contrast_words(protocol.words)[0]
    return f"its name says '{word}'" if word else None


def _after_by_name(protocol: Protocol) -> str | None:
    before, after = words.contrast_words(protocol.words)
    return f"its name says '{after}'" if after and not before else None


def _after_by_protocol_name(protocol: Protocol) -> str | None:
    if any(words.contrast_words(protocol.words)):
        return None
    before, after = words.contrast_words(protocol.protocol_words)
    return f"its protocol's name says '{after}'" if after and not before else None


def _names(protocol: Protocol) -> str:
    return f"{protocol.words} {protocol.protocol_words}"


def _t1_by_name(protocol: Protocol) -> str | None:
    if protocol.acquisition_contrast == "T1":
        return "AcquisitionContrast T1"
    return "T1 by name" if words.T1.search(_names(protocol)) else None


def _gradient_echo(protocol: Protocol) -> str | None:
    found = None if _black_blood(protocol) else words.GRADIENT_ECHO_3D.search(_names(protocol))
    return f"'{found.group()}', a T1 gradient echo" if found else None


def _black_blood(protocol: Protocol) -> str | None:
    found = words.BLACK_BLOOD.search(_names(protocol))
    return f"'{found.group()}', a black-blood spin echo: usable, but below a gradient echo" if found else None


def _t1_by_timing(protocol: Protocol) -> str | None:
    tr, te, ti = protocol.repetition_time, protocol.echo_time, protocol.inversion_time
    if tr is None or te is None:
        return None
    timing = f"TR {tr:g}, TE {te:g}" + (f", TI {ti:g}" if ti else "") + " ms"
    if "GR" in protocol.sequence and te <= 10 and (tr <= 15 or (ti is not None and 300 <= ti <= 1500)):
        return f"{timing}: a T1 gradient echo"
    return f"{timing}: a T1 spin echo" if "SE" in protocol.sequence and tr <= 1100 and te <= 40 else None


def _part_of_mp2rage(protocol: Protocol) -> str | None:
    if not words.MP2RAGE.search(_names(protocol)) or "UNI" in protocol.image_type:
        return None
    return None if words.UNIFORM.search(protocol.words) else "MP2RAGE, but not said to be its uniform image"


def _reformatted(protocol: Protocol) -> str | None:
    kinds = set(protocol.image_type)
    by_name = "DERIVED" in kinds and words.REFORMATTED.search(protocol.words)
    by_type = kinds & {"MPR", "CSA MPR", "MPR3D", "CPR", "REFORMATTED", "RESAMPLED"} and "ORIGINAL" not in kinds
    return "reformatted from another series" if by_name or by_type else None


def _thickness(above: float, up_to: float) -> Callable[[Protocol], str | None]:
    def rule(protocol: Protocol) -> str | None:
        mm = protocol.slice_thickness
        return f"slices of {mm:g} mm" if mm is not None and above < mm <= up_to else None

    return rule


def _count(at_least: float, below: float) -> Callable[[Protocol], str | None]:
    def rule(protocol: Protocol) -> str | None:
        return f"{protocol.number_of_slices} slices" if at_least <= protocol.number_of_slices < below else None

    return rule


def _named(pattern: words.Pattern, reason: str) -> Callable[[Protocol], str | None]:
    def rule(protocol: Protocol) -> str | None:
        found = pattern.search(protocol.words)
        return f"'{found.group()}': {reason}" if found else None

    return rule


_ENDLESS = float("inf")

RULES: tuple[tuple[str, float, Callable[[Protocol], str | None]], ...] = (
    ("contrast", -70, _before_by_name),
    ("contrast", 50, _after_by_name),
    ("contrast", 25, _after_by_protocol_name),
    ("t1", 15, _t1_by_name),
    ("t1", 10, _gradient_echo),
    ("t1", 5, _t1_by_timing),
    ("quality", -12, _black_blood),
    ("quality", -20, _part_of_mp2rage),
    ("quality", 3, _named(words.DENOISED, "no noise in the air around the head")),
    ("quality", 15, lambda protocol: "3D" if protocol.is_3d is True else None),
    ("quality", -10, lambda protocol: "2D" if protocol.is_3d is False else None),
    ("quality", 10, _thickness(0.0, 1.3)),
    ("quality", 6, _thickness(1.3, 2.1)),
    ("quality", -8, _thickness(3.1, 4.5)),
    ("quality", -15, _thickness(4.5, _ENDLESS)),
    ("quality", 6, _count(120, _ENDLESS)),
    ("quality", 3, _count(60, 120)),
    ("quality", -15, _count(0, 20)),
    ("quality", 5, lambda protocol: "original" if "ORIGINAL" in protocol.image_type else None),
    ("quality", -40, _reformatted),
    (
        "quality",
        3,
        lambda protocol: "corrected for distortion" if {"DIS2D", "DIS3D"} & {*protocol.image_type} else None,
    ),
    ("quality", -4, _named(words.UNCORRECTED, "the scanner made a corrected version of it")),
    ("quality", -30, _named(body_parts.SMALL_FIELD, "not the whole brain")),
    ("quality", -3, _named(words.FAT_SUPPRESSED, "fat suppressed")),
    ("quality", 3, _named(words.REPEATED, "the first one was probably spoilt")),
)
"""Kind, points, and a rule that gives its reason or None."""


def _weigh_repetitions(possible: Sequence[Evidence]) -> None:
    """Of two acquisitions by one protocol, the earlier is likely before contrast, the later after it.

    An earlier one that says itself that it is after contrast tells nothing about the later.
    """
    timed = _timed(possible)
    for moment, each in timed:
        others = [(when, o) for when, o in timed if o is not each and each.protocol.same_as(o.protocol)]
        earlier = [when for when, o in others if moment - when >= REPETITION and not o.says_after]
        if earlier:
            minutes = (moment - min(earlier)).total_seconds() / 60
            each.add("contrast", 30, f"the same protocol was acquired {minutes:.0f} min before")
        elif not each.says_after and any(when - moment >= REPETITION for when, _ in others):
            each.add("contrast", -25, "the same protocol was acquired again later")


def _timed(series: Sequence[Evidence]) -> list[tuple[datetime, Evidence]]:
    """Those that say when they were acquired, and when."""
    return [(moment, each) for each in series if (moment := each.protocol.acquired) is not None]


def _weigh_agents(study: Sequence[Evidence]) -> None:
    """The header's contrast agent counts, unless it was typed for the whole examination.

    It was where all series of different times carry it, those of other weightings too; where they say no times, but one
    of them by its name that it is after contrast, as well. Where a name says which series is the first after contrast,
    it does not count for an earlier one.
    """
    mr = [each for each in study if each.protocol.header.get("Modality") == "MR"]
    timed = _timed(mr)
    times = [moment for moment, _ in timed]
    several = any(each.excluded and "DERIVED" not in each.protocol.image_type for each in mr)
    several = several or (max(times) - min(times) >= REPETITION if times else any(each.says_after for each in mr))
    on_all = several and all(each.protocol.contrast_agent for each in mr)
    first_named = min(((when, each.protocol.description) for when, each in timed if each.says_after), default=None)
    for each in mr:
        agent, moment = each.protocol.contrast_agent, each.protocol.acquired
        if not agent or each.excluded is not None:
            continue
        if first_named and moment is not None and moment < first_named[0]:
            each.reasons.append(
                f"contrast agent {agent} does not count: '{first_named[1]}' is the first series named so"
            )
        elif on_all:
            each.reasons.append(f"contrast agent {agent} does not count: every series of the study carries it")
        else:
            each.add("contrast", 40, f"contrast agent {agent}")


def _weigh_injections(study: Sequence[Evidence]) -> None:
    """What is acquired after an injection shows it, whatever its own name leaves out.

    In a study with arterial spin labelling, whose maps are often called just "perfusion", that word shows none.
    """
    labelled = any(each.protocol.is_spin_labelling for each in study)
    injections = [
        (moment, each.protocol.description)
        for moment, each in _timed(study)
        if each.protocol.header.get("Modality") == "MR"
        and (each.says_after or _is_bolus_dynamic(each.protocol, labelled))
    ]
    for each in study:
        moment = each.protocol.acquired
        if each.excluded is not None or moment is None or each.points["contrast"] > 0 or _before_by_name(each.protocol):
            continue
        if before := [name for when, name in sorted(injections) if when < moment]:
            each.add("contrast", 20, f"acquired after '{before[0]}', which shows an injection")


def _is_bolus_dynamic(protocol: Protocol, labelled: bool) -> bool:
    if protocol.is_spin_labelling:
        return False
    if words.CONTRAST_DYNAMIC.search(protocol.words):
        return True
    return not labelled and words.PERFUSION.search(protocol.words) is not None
