"""The pipeline on a folder of DICOM files, without any server: ``python segmentation.py FOLDER -o OUT``."""

import argparse
import shutil
import sys
import uuid
from pathlib import Path
from typing import Self

from tqdm import tqdm

from imaging.errors import ImagingError
from imaging.leniency import be_lenient
from Orthanc.archive import ArchiveError, StudyNotFoundError
from Orthanc.folder import FolderArchive, replace_results
from segmentation import Outcome, segment_study, whole
from settings import SettingsError, load_settings
from unetr.bundle import ModelError


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
    parser.add_argument("--model", type=Path, help="bundle folder, or MetIA checkpoint (default: MODEL_PATH)")
    options = parser.parse_args(arguments)
    be_lenient()
    try:
        return _segment_folder(options)
    except (ImagingError, ArchiveError, ModelError, SettingsError, ValueError, OSError) as error:
        print(f"segmentation.py: {error}", file=sys.stderr)
        return 1


def _segment_folder(options: argparse.Namespace) -> int:
    from results.files import write_files  # plotting and torch are not needed for --help
    from unetr.predictor import open_model

    # A job of its own, whatever ran here before: the same UIDs must never stand for other objects or other lesions.
    job_id = str(uuid.uuid4())
    made = options.output / f".unfinished-{job_id}"
    archive = FolderArchive(options.folder, made)
    studies = archive.study_instance_uids()
    if options.study is None and len(studies) != 1:
        raise StudyNotFoundError(f"{options.folder} holds {len(studies)} studies; name one with --study: {studies}")
    study = options.study or studies[0]
    model = open_model(load_settings(), options.model)
    try:
        with ProgressBar() as bar:
            outcome = segment_study(
                archive,
                model,
                job_id=job_id,
                study_instance_uid=study,
                series_instance_uid=options.series,
                reporter=bar,
            )
        write_files(made, outcome.series, outcome.label_map, outcome.lesions, outcome.context)
        replace_results(made, options.output)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    sys.stdout.write(_summary(outcome, options.output))
    return 0


class ProgressBar:
    """A Reporter for the terminal: one bar over all stages."""

    def __enter__(self) -> Self:
        self._bar = tqdm(total=100, bar_format="{desc:<11} {percentage:3.0f}% |{bar:40}| {elapsed}", leave=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def stage(self, state: str) -> None:
        self._state = state
        self._bar.set_description_str(state)
        self.progress(0.0)

    def progress(self, fraction: float) -> None:
        self._bar.n = 100 * whole(self._state, fraction)
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
