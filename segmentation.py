"""The pipeline: one MR series from the archive becomes lesions, SEG, RTSTRUCT and SR in the archive. Nothing clever.

    archive -> imaging -> unetr -> rano -> results -> archive

The server's worker runs it on Orthanc, and ``python segmentation.py FOLDER -o OUT`` on any folder of DICOM files
(``services.segment_folder``).
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np
from pydicom import Dataset

from imaging.selection import Selection, choose
from imaging.volume import Series, read_series
from Orthanc.archive import Archive, Held, SeriesNotFoundError
from rano.components import label_lesions
from rano.lesion import Lesion
from rano.matching import inherit_tracking
from rano.measuring import measure
from results.context import ResultContext, derive_uid
from results.objects import build_objects
from results.report import Standing

if TYPE_CHECKING:
    from unetr.predictor import Predictor

SHARES = {
    "fetching": (0.0, 0.1),
    "reading": (0.1, 0.12),
    "segmenting": (0.12, 0.85),
    "measuring": (0.85, 0.92),
    "writing": (0.92, 1.0),
}
"""From where to where each stage takes the whole, from 0 to 1."""

Course = Callable[[Series, Sequence[Lesion]], Standing | None]
"""Given a series and its lesions, where the visit stands among the patient's others; None where that is not known."""

OnStored = Callable[[Sequence[str]], None]
"""Told the roles of results that the archive has from now on. Should the rest fail, they are its to take out."""


class Cancelled(Exception):  # noqa: N818 - it reports a wish, not a failure
    """Raised out of a Reporter when the job is not wanted any more."""


class Reporter(Protocol):
    """Where the pipeline says how far it is; either method may raise :class:`Cancelled`."""

    def stage(self, state: str) -> None:
        """A stage begins: fetching, reading, segmenting, measuring or writing (``BDD.models.RUNNING_STATES``)."""

    def progress(self, fraction: float) -> None:
        """How much of the stage is done, 0-1."""


def whole(state: str, fraction: float) -> float:
    """Give how much of the whole is done, 0-1, when so much of a stage is."""
    begin, end = SHARES[state]
    return begin + (end - begin) * min(max(fraction, 0.0), 1.0)


class Silent:
    """A Reporter for callers who do not look."""

    def stage(self, state: str) -> None: ...

    def progress(self, fraction: float) -> None: ...


@dataclass(frozen=True)
class Earlier:
    """What was found in a series before, under the names that hold now.

    Attributes
    ----------
    label_map
        int32, the shape of the series' volume; n marks the voxels of ``lesions[n - 1]``.
    standing
        Where the visit stands in the patient's course; None where the report says nothing of it.
    """

    label_map: np.ndarray
    lesions: list[Lesion]
    context: ResultContext
    standing: Standing | None


@dataclass(frozen=True)
class Outcome:
    """Everything one run found and wrote.

    Attributes
    ----------
    series
        The series that was segmented.
    selection
        How it was chosen; None when the caller named it.
    label_map
        int32, the shape of ``series.volume.array``; n marks the voxels of ``lesions[n - 1]``.
    objects
        What was stored, by its role; empty when no lesion was found.
    standing
        What the report says of the visit's place in the course; None where it says nothing.
    timings
        Seconds by stage.
    """

    series: Series
    selection: Selection | None
    label_map: np.ndarray
    lesions: list[Lesion]
    objects: dict[str, Dataset]
    context: ResultContext
    timings: dict[str, float] = field(default_factory=dict)
    standing: Standing | None = None

    @property
    def written(self) -> dict[str, str]:
        """SeriesInstanceUID of each stored result by its role."""
        return {role: str(dataset.SeriesInstanceUID) for role, dataset in self.objects.items()}


def segment_study(
    archive: Archive,
    predictor: "Predictor",
    *,
    job_id: str,
    study_instance_uid: str,
    series_instance_uid: str | None = None,
    outputs: Sequence[str] = ("SEG", "RTSTRUCT"),
    earlier_lesions: Callable[[str], Sequence[Lesion]] = lambda _: (),
    follow: Callable[[Series, np.ndarray, list[Lesion]], list[Lesion]] = lambda _series, _label_map, lesions: lesions,
    course: Course = lambda _series, _lesions: None,
    on_stored: OnStored | None = None,
    created: datetime | None = None,
    reporter: Reporter | None = None,
) -> Outcome:
    """Segment one series of a study and store the results beside it.

    Parameters
    ----------
    job_id
        The UIDs of the results follow from it: the same job run twice writes the same objects.
    series_instance_uid
        The series to segment; by default the study's post-contrast T1 volume is chosen.
    outputs
        Which of ``results.objects.WRITTEN`` to write.
    earlier_lesions
        Given a SeriesInstanceUID, the lesions found when it was segmented before: they keep name and tracking UID.
    follow
        Given series, label map and lesions, the lesions under the identities that they have at other visits.
    course
        Given series and lesions, where the visit stands among the patient's others, for the report.
    on_stored
        Told what is in the archive: the segmentation first, which a viewer can load while the rest is built. By default
        all is stored together.
    created
        When the job was taken up, with its time zone: every date in the results; by default now.

    Raises
    ------
    imaging.errors.ImagingError, Orthanc.archive.ArchiveError, ValueError, Cancelled
        Nothing is left in the archive then, but for what ``on_stored`` was told of.
    """
    watch = _Stages(reporter or Silent())
    with watch("fetching"):
        summaries = archive.list_series(study_instance_uid)
        selection = None
        if series_instance_uid is None:
            selection = choose(summaries)
            series_instance_uid = selection.chosen.series_instance_uid
        elif series_instance_uid not in {s.series_instance_uid for s in summaries}:
            raise SeriesNotFoundError(f"study {study_instance_uid} has no series {series_instance_uid}")
        source = archive.held(study_instance_uid, series_instance_uid)
        datasets = archive.fetch_series(study_instance_uid, series_instance_uid, watch.reporter.progress)
    with watch("reading"):
        series = read_series(datasets)
    with watch("segmenting"):
        volume = series.volume
        prediction = predictor.predict(volume.array, volume.affine, watch.reporter.progress)
    with watch("measuring"):
        label_map = label_lesions(prediction.mask, volume.affine, prediction.minimum_volume_mm3)
        measurements = measure(label_map, volume.affine, prediction.probability)
        lesions = inherit_tracking(
            measurements, earlier_lesions(series_instance_uid), lambda name: derive_uid(job_id, name)
        )
        lesions = follow(series, label_map, lesions)
    with watch("writing"):
        model, now = predictor.info, created or datetime.now(UTC)
        context = ResultContext(job_id, model.name, model.version, model.sha256, model.statement, now)
        objects, standing = _write(archive, source, series, label_map, lesions, context, outputs, course, on_stored)
    return Outcome(series, selection, label_map, lesions, objects, context, watch.seconds, standing)


def write_again(
    archive: Archive,
    *,
    study_instance_uid: str,
    series_instance_uid: str,
    found: Callable[[Series], Earlier],
    outputs: Sequence[str],
    reporter: Reporter,
) -> Outcome:
    """Write what was found in a series before, under the names and tracking UIDs that its lesions have now.

    Parameters
    ----------
    found
        Given the series as the archive has it now, what is to be written of it. Whatever it raises ends the job before
        anything is written.

    Raises
    ------
    imaging.errors.ImagingError, Orthanc.archive.ArchiveError, ValueError, Cancelled
        Nothing is left in the archive then.
    """
    watch = _Stages(reporter)
    with watch("fetching"):
        source = archive.held(study_instance_uid, series_instance_uid)
        datasets = archive.fetch_series(study_instance_uid, series_instance_uid, watch.reporter.progress)
    with watch("reading"):
        series = read_series(datasets)
        now = found(series)
    with watch("writing"):
        objects, standing = _write(
            archive, source, series, now.label_map, now.lesions, now.context, outputs, lambda *_: now.standing
        )
    return Outcome(series, None, now.label_map, now.lesions, objects, now.context, watch.seconds, standing)


def _write(
    archive: Archive,
    source: Held,
    series: Series,
    label_map: np.ndarray,
    lesions: list[Lesion],
    context: ResultContext,
    outputs: Sequence[str],
    course: Course,
    on_stored: OnStored | None = None,
) -> tuple[dict[str, Dataset], Standing | None]:
    """Build the results and store them; give them by their role, with what the report says of the course."""
    standing = cache(partial(course, series, lesions))
    built = build_objects(series, label_map, lesions, context, outputs, standing)
    objects = _store(archive, source, built, on_stored)
    return objects, standing() if "SR_VOLUMETRIC" in objects else None


def _store(
    archive: Archive, source: Held, built: Iterator[tuple[str, Dataset]], on_stored: OnStored | None
) -> dict[str, Dataset]:
    """Store all or nothing; or, for somebody who wants to be told, the first object while the others are built."""
    objects: dict[str, Dataset] = {}
    for count in (1, None) if on_stored else (None,):
        batch = dict(islice(built, count))
        if batch:
            archive.store(list(batch.values()), source)
            objects |= batch
            if on_stored:
                on_stored(list(batch))
    return objects


class _Stages:
    """Announces each stage and keeps its time."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, state: str) -> Iterator[None]:
        self.reporter.stage(state)
        start = time.perf_counter()
        yield
        self.seconds[state] = round(time.perf_counter() - start, 3)


if __name__ == "__main__":
    from services.segment_folder import main

    sys.exit(main())
