"""The pipeline: one MR series from the archive becomes lesions, SEG and RTSTRUCT in the archive. Nothing clever here.

    archive -> imaging -> unetr -> rano -> results -> archive

The server's worker runs it on Orthanc, and ``python segmentation.py FOLDER -o OUT`` on any folder of DICOM files.
"""

import argparse
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
from pydicom import Dataset
from tqdm import tqdm

from imaging.errors import ImagingError
from imaging.selection import Selection, choose
from imaging.volume import Series, read_series
from Orthanc.archive import Archive, ArchiveError, SeriesNotFoundError, StudyNotFoundError
from Orthanc.folder import FolderArchive
from rano.components import label_lesions
from rano.lesion import Lesion
from rano.matching import inherit_tracking
from rano.measuring import measure
from results.context import ResultContext, derive_uid
from results.report import Assessment, TimePoint, build_bidirectional_sr, build_volumetric_sr
from results.rtstruct import build_rtstruct
from results.seg import build_seg
from settings import SettingsError, load_settings
from unetr.bundle import BundleInfo, ModelError, read_bundle

if TYPE_CHECKING:
    from unetr.predictor import Prediction, Predictor

STATES = ("queued", "fetching", "reading", "segmenting", "measuring", "writing", "done", "failed", "cancelled")
"""What a job goes through, in this order; one of the last three ends it."""

OUTPUTS: dict[str, Callable[[Series, np.ndarray, Sequence[Lesion], ResultContext], Dataset | None]] = {
    "SEG": build_seg,
    "RTSTRUCT": build_rtstruct,
}
"""What can be written back as one object, and who builds it."""

WRITTEN = {**{kind: (kind,) for kind in OUTPUTS}, "SR": ("SR_BIDIRECTIONAL", "SR_VOLUMETRIC")}
"""All that can be asked for, and the roles of the objects it is written as; their UIDs derive from these."""

Standing = tuple[TimePoint, Assessment]
"""Where a visit stands in the patient's course, and what it says of it."""

Course = Callable[[Series, Sequence[Lesion]], Standing | None]
"""Given a series and its lesions, where the visit stands among the patient's others; None where that is not known."""


class Cancelled(Exception):  # noqa: N818 - it reports a wish, not a failure
    """Raised out of a Reporter when the job is not wanted any more."""


class Reporter(Protocol):
    """Where the pipeline says how far it is; either method may raise :class:`Cancelled`."""

    def stage(self, state: str) -> None:
        """A stage of :data:`STATES` begins."""

    def progress(self, fraction: float) -> None:
        """How much of the stage is done, 0-1."""


class Silent:
    """A Reporter for callers who do not look."""

    def stage(self, state: str) -> None: ...

    def progress(self, fraction: float) -> None: ...


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
    prediction
        What the network said; None when only names have changed.
    written
        SeriesInstanceUID of each stored result by its role; empty when no lesion was found.
    standing
        What the report says of the visit's place in the course; None where it says nothing.
    timings
        Seconds by stage.
    """

    series: Series
    selection: Selection | None
    prediction: "Prediction | None"
    label_map: np.ndarray
    lesions: list[Lesion]
    written: dict[str, str]
    objects: tuple[Dataset, ...]
    context: ResultContext
    timings: dict[str, float] = field(default_factory=dict)
    standing: Standing | None = None


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
        Which of :data:`WRITTEN` to write.
    earlier_lesions
        Given a SeriesInstanceUID, the lesions found when it was segmented before: they keep name and tracking UID.
    follow
        Given series, label map and lesions, the lesions under the identities that they have at other visits.
    course
        Given series and lesions, where the visit stands among the patient's others, for the report.
    created
        When the job was taken up, with its time zone: every date in the results; by default now.

    Raises
    ------
    imaging.errors.ImagingError, Orthanc.archive.ArchiveError, ValueError, Cancelled
        Nothing is left in the archive then.
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
        context = _context(job_id, predictor.info, created or datetime.now(UTC))
        objects, standing = _write(archive, series, label_map, lesions, context, outputs, course)
    written = {kind: str(dataset.SeriesInstanceUID) for kind, dataset in objects.items()}
    return Outcome(
        series,
        selection,
        prediction,
        label_map,
        lesions,
        written,
        tuple(objects.values()),
        context,
        watch.seconds,
        standing,
    )


def write_again(
    archive: Archive,
    *,
    study_instance_uid: str,
    series_instance_uid: str,
    label_map: np.ndarray,
    lesions: list[Lesion],
    context: ResultContext,
    outputs: Sequence[str],
    course: Course,
    reporter: Reporter,
) -> Outcome:
    """Write what was found in a series before, under the names and tracking UIDs that its lesions have now.

    Raises
    ------
    imaging.errors.ImagingError, Orthanc.archive.ArchiveError, ValueError, Cancelled
        Nothing is left in the archive then.
    """
    watch = _Stages(reporter)
    with watch("fetching"):
        datasets = archive.fetch_series(study_instance_uid, series_instance_uid, watch.reporter.progress)
    with watch("reading"):
        series = read_series(datasets)
    with watch("writing"):
        objects, standing = _write(archive, series, label_map, lesions, context, outputs, course)
    written = {role: str(dataset.SeriesInstanceUID) for role, dataset in objects.items()}
    stored = tuple(objects.values())
    return Outcome(series, None, None, label_map, lesions, written, stored, context, watch.seconds, standing)


def _write(
    archive: Archive,
    series: Series,
    label_map: np.ndarray,
    lesions: Sequence[Lesion],
    context: ResultContext,
    outputs: Sequence[str],
    course: Course,
) -> tuple[dict[str, Dataset], Standing | None]:
    """Build what was asked for and store it; give the objects by their role, and what the report says of the visit."""
    standing = None
    built = {kind: OUTPUTS[kind](series, label_map, lesions, context) for kind in outputs if kind in OUTPUTS}
    if "SR" in outputs:
        built["SR_BIDIRECTIONAL"] = build_bidirectional_sr(series, label_map, lesions, context)
        seg = built.get("SEG")
        if seg is not None:  # the volumes are those of its segments
            standing = course(series, lesions)
            point, assessment = standing or (None, None)
            built["SR_VOLUMETRIC"] = build_volumetric_sr(
                series, label_map, lesions, seg, context, time_point=point, assessment=assessment
            )
    objects = {role: dataset for role, dataset in built.items() if dataset is not None}
    if objects:
        archive.store(list(objects.values()))
    return objects, standing


class _Stages:
    """Announces each stage and keeps its time."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, state: str) -> Any:
        self.reporter.stage(state)
        start = time.perf_counter()
        yield
        self.seconds[state] = round(time.perf_counter() - start, 3)


def _context(job_id: str, model: BundleInfo, created: datetime) -> ResultContext:
    return ResultContext(
        job_id=job_id,
        model_name=model.name,
        model_version=model.version,
        model_sha256=model.sha256,
        model_statement=model.statement,
        created=created,
    )


def find_models(model_path: Path) -> dict[str, BundleInfo]:
    """Every usable model by name: the one at ``model_path`` first, then its neighbours in the same folder.

    Raises
    ------
    ModelError
        When the model at ``model_path`` itself cannot be used. Neighbours that cannot are left out.
    """
    default = read_bundle(model_path)
    models = {default.name: default}
    for folder in sorted(model_path.parent.iterdir()):
        try:
            info = read_bundle(folder) if folder.is_dir() else None
        except ModelError:
            continue
        if info:
            models.setdefault(info.name, info)
    return models


def main(arguments: list[str] | None = None) -> int:
    """Segment a folder of DICOM files without any server."""
    parser = argparse.ArgumentParser(
        prog="python segmentation.py",
        description="Find brain metastases in a folder of DICOM files. For research; not a medical device.",
        epilog="examples:\n  python segmentation.py /data/study -o results\n"
        "  python segmentation.py /data/study -o results --series 1.2.840.113619.2.5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="any folder: nested, several series, other files in between")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where the results go")
    parser.add_argument("--study", help="StudyInstanceUID, when the folder holds several")
    parser.add_argument("--series", help="SeriesInstanceUID (default: the post-contrast T1 volume is chosen)")
    parser.add_argument("--model", type=Path, help="model bundle folder (default: MODEL_PATH)")
    options = parser.parse_args(arguments)
    try:
        return _segment_folder(options)
    except (ImagingError, ArchiveError, ModelError, SettingsError, ValueError, OSError) as error:
        print(f"segmentation.py: {error}", file=sys.stderr)  # noqa: T201 - the command's own answer
        return 1


def _segment_folder(options: argparse.Namespace) -> int:
    from results.files import write_files  # plotting and torch are not needed for --help
    from unetr.predictor import load_predictor

    archive = FolderArchive(options.folder, options.output)
    studies = archive.study_instance_uids()
    if options.study is None and len(studies) != 1:
        raise StudyNotFoundError(f"{options.folder} holds {len(studies)} studies; name one with --study: {studies}")
    study = options.study or studies[0]
    model = load_predictor(options.model or load_settings().model_path)
    with ProgressBar() as bar:
        outcome = segment_study(
            archive,
            model,
            job_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{study} {options.series} {model.info.sha256}")),
            study_instance_uid=study,
            series_instance_uid=options.series,
            reporter=bar,
        )
    archive.retire_others(outcome.written.values())
    write_files(options.output, outcome.series, outcome.label_map, outcome.lesions, outcome.context)
    sys.stdout.write(_summary(outcome, options.output))
    return 0


class ProgressBar:
    """A Reporter for the terminal: one bar over all stages."""

    _WEIGHTS: ClassVar = {"fetching": 10, "reading": 5, "segmenting": 75, "measuring": 5, "writing": 5}

    def __enter__(self) -> Self:
        self._bar = tqdm(total=100, bar_format="{desc:<11} {percentage:3.0f}% |{bar:40}| {elapsed}", leave=False)
        self._base = self._weight = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def stage(self, state: str) -> None:
        self._base, self._weight = self._base + self._weight, self._WEIGHTS[state]
        self._bar.set_description_str(state)
        self.progress(0.0)

    def progress(self, fraction: float) -> None:
        self._bar.n = self._base + self._weight * fraction
        self._bar.refresh()


def _summary(outcome: Outcome, output: Path) -> str:
    lines = [f"series  {outcome.series.series_instance_uid}"]
    if outcome.selection:
        lines += [f"        {reason}" for reason in outcome.selection.chosen.reasons]
    lines += [f"model   {outcome.context.model}", f"        {outcome.context.statement}", ""]
    lines += [
        f"{lesion.name:<16} {m.longest.length_mm:5.1f} x {m.perpendicular.length_mm:4.1f} mm  {m.volume_mm3:9.1f} mm3"
        for lesion in outcome.lesions
        for m in [lesion.measurement]
    ] or ["no lesion found"]
    seconds = ", ".join(f"{stage} {time:.1f} s" for stage, time in outcome.timings.items())
    return "\n".join([*lines, "", f"{seconds}", f"results in {output}", ""])


if __name__ == "__main__":
    sys.exit(main())
