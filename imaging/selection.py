"""Which series of a study is the post-contrast T1 volume, and why.

Each series is first held against what it never can be (``exclusion``), then collects points, each with its reason in
words (``evidence``). A series qualifies when something says contrast (its name, its contrast agent, being a later
repetition of the same protocol, or being acquired after an injection), nothing outweighs that, and something says
T1. Among those that qualify the most points win: 3D before 2D, thin slices before thick, gradient echo before black
blood, original before reformatted.

A contrast agent in the header is often typed once for the whole examination. So it says nothing where every series
carries it, nor for a series acquired before the first one that is named "after contrast".

A 3D T1 without any sign of contrast is never chosen, even when it is the only one: a network trained on enhancing
lesions would find nothing in it, and "no lesion" is the worst wrong answer. The caller may name it.
Two series within ``MARGIN`` points tie, and the caller names the one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from imaging.errors import ImagingError
from imaging.evidence import Evidence, weigh
from imaging.protocol import Protocol

MARGIN = 2.0
"""Two series whose points differ by no more than this tie."""
_TOLD = 3
"""Of so many excluded series the message says why."""


@dataclass(frozen=True, eq=False)
class SeriesSummary:
    """A series as an archive lists it.

    Attributes
    ----------
    header
        Metadata of one representative instance; pixel data are not needed.
    number_of_instances
        Of the series.
    """

    header: Dataset
    number_of_instances: int

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID."""
        return str(self.header.SeriesInstanceUID)

    @property
    def description(self) -> str:
        """SeriesDescription, or ProtocolName where that is empty."""
        return Protocol(self.header, self.number_of_instances).description


@dataclass(frozen=True)
class Candidate:
    """A series with its points and their reasons; ``excluded`` says why it can never be chosen, else None."""

    series_instance_uid: str
    description: str
    modality: str
    number_of_instances: int
    score: float
    reasons: tuple[str, ...]
    excluded: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the candidate for a JSON answer."""
        return {
            "SeriesInstanceUID": self.series_instance_uid,
            "SeriesDescription": self.description,
            "Modality": self.modality,
            "NumberOfSeriesRelatedInstances": self.number_of_instances,
            "score": self.score,
            "reasons": list(self.reasons),
            "excluded": self.excluded,
        }


@dataclass(frozen=True)
class Selection:
    """The chosen series, among all candidates, best first."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the selection for a JSON answer."""
        return {"chosen": self.chosen.to_json(), "candidates": [candidate.to_json() for candidate in self.candidates]}


class SelectionError(ImagingError):
    """No series could be chosen; ``candidates`` lists all, best first."""

    def __init__(self, message: str, candidates: Sequence[Candidate]) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


class NoCandidateError(SelectionError):
    """No series shows that it is a post-contrast T1 volume."""


class AmbiguousSeriesError(SelectionError):
    """Several series are equally good."""


def rank(series: Sequence[SeriesSummary]) -> tuple[Candidate, ...]:
    """Return all series of a study, best first: those that qualify, then others, then the excluded."""
    return tuple(candidate for candidate, _ in _ranked(series))


def choose(series: Sequence[SeriesSummary]) -> Selection:
    """Choose the post-contrast T1 volume of a study.

    Raises
    ------
    NoCandidateError
        When no series qualifies.
    AmbiguousSeriesError
        When the two best are within ``MARGIN`` points.
    """
    ranked = _ranked(series)
    candidates = tuple(candidate for candidate, _ in ranked)
    fit = [candidate for candidate, evidence in ranked if evidence.qualifies]
    if not fit:
        nearest = next((each for each in candidates if each.excluded is None), None)
        told = f" The nearest is '{nearest.description}': {nearest.reasons[-1]}." if nearest else _why_none(candidates)
        raise NoCandidateError(
            f"None of the {len(candidates)} series shows that it is a post-contrast T1 volume.{told} "
            "Name the SeriesInstanceUID to segment.",
            candidates,
        )
    tied = [each for each in fit if fit[0].score - each.score <= MARGIN]
    if len(tied) > 1:
        names = ", ".join(f"'{each.description}' ({each.score:g} points)" for each in tied)
        raise AmbiguousSeriesError(
            f"{len(tied)} series are equally good: {names}. Name the SeriesInstanceUID to segment.", candidates
        )
    return Selection(fit[0], candidates)


def _why_none(excluded: Sequence[Candidate]) -> str:
    """Tell why the first few of them can never be chosen."""
    if not excluded:
        return ""
    why = "; ".join(f"'{each.description}': {each.excluded}" for each in excluded[:_TOLD])
    return f" {why}{f'; and {len(excluded) - _TOLD} more' if len(excluded) > _TOLD else ''}."


def _ranked(series: Sequence[SeriesSummary]) -> list[tuple[Candidate, Evidence]]:
    study = weigh([Protocol(each.header, each.number_of_instances) for each in series])
    ranked = [
        (
            Candidate(
                series_instance_uid=each.series_instance_uid,
                description=evidence.protocol.description,
                modality=str(each.header.get("Modality") or ""),
                number_of_instances=each.number_of_instances,
                score=evidence.score,
                reasons=tuple(evidence.reasons),
                excluded=evidence.excluded,
            ),
            evidence,
        )
        for each, evidence in zip(series, study, strict=True)
    ]
    return sorted(ranked, key=lambda pair: (pair[1].excluded is not None, not pair[1].qualifies, -pair[1].score))
