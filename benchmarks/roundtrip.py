"""``python -m benchmarks roundtrip``: masks through SEG and RTSTRUCT files and back, voxel by voxel, and dciodvfy."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from scipy import ndimage
from tqdm import tqdm

from benchmarks.arguments import new_parser
from benchmarks.report import table, verdict
from imaging.volume import Series
from rano.components import label_lesions
from rano.lesion import Lesion
from rano.matching import inherit_tracking
from rano.measuring import measure
from results.context import ResultContext
from results.rtstruct import build_rtstruct, rasterise_rtstruct
from results.seg import build_seg, read_seg
from tests import factory

SHAPE = (24, 48, 40)
SPACINGS = {"square": (2.0, 1.0, 1.0), "non-square": (2.0, 1.25, 0.75)}
DIRECTIONS = ("forward", "backward")
EXAMPLES = """examples:
  python -m benchmarks roundtrip
  python -m benchmarks roundtrip --planes axial oblique25 oblique40 --masks 10
"""


@dataclass(frozen=True)
class Format:
    """One of the two ways to write a mask, and to read it back."""

    name: str
    build: Callable[[Series, np.ndarray, Sequence[Lesion], ResultContext], Dataset | None]
    read: Callable[[Dataset, Series], np.ndarray]


FORMATS = (Format("SEG", build_seg, read_seg), Format("RTSTRUCT", build_rtstruct, rasterise_rtstruct))
CONTEXT = ResultContext(
    "benchmark", "benchmark", "1.0", "0" * 64, "Made for a benchmark; not a medical device.", datetime.now(UTC)
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 when every voxel came back and nothing is malformed."""
    parser = new_parser(
        "roundtrip",
        "Write random masks as SEG and RTSTRUCT files, read them back, compare every voxel, validate.",
        EXAMPLES,
    )
    parser.add_argument("--planes", nargs="+", default=list(factory.PLANES), help="default: %(default)s")
    parser.add_argument("--masks", type=int, default=2, help="random masks per series (default: %(default)s)")
    options = parser.parse_args(arguments)

    cases = [(p, direction, pixels) for p in options.planes for direction in DIRECTIONS for pixels in SPACINGS]
    validator = shutil.which("dciodvfy")
    rows, differing, errors = [], 0, 0
    for case in tqdm(cases, unit="series", leave=False, disable=None):
        series = _series(*case)
        results = [_through(series, seed, validator) for seed in range(options.masks)]
        row = list(case)
        for form in FORMATS:
            wrong, malformed = (sum(found) for found in zip(*(result[form.name] for result in results), strict=True))
            row += ["yes" if not wrong else f"no: {wrong} voxels", str(malformed) if validator else "not checked"]
            differing += wrong
            errors += malformed
        rows.append(row)
    print(
        f"{options.masks} random masks of {SHAPE[0]} x {SHAPE[1]} x {SHAPE[2]} voxels per series: lesions with holes,"
    )
    print("with bays, with corners that touch, at the volume's edge. Each is written to a file and read back.\n")
    header = ["plane", "slices", "pixels"]
    header += [f"{form.name}: {column}" for form in FORMATS for column in ("identical", "dciodvfy Errors")]
    print(table(header, rows))
    print()
    met = verdict(f"{differing} voxels differ", met=differing == 0)
    if validator is None:
        print("skipped: dciodvfy is not installed (Debian package dicom3tools)")
    else:
        met &= verdict(f"{errors} Errors found by dciodvfy", met=errors == 0)
    return 0 if met else 1


def random_label_map(series: Series, seed: int) -> np.ndarray:
    """Return lesions as ragged as a network makes them at its worst: thresholded noise, coarse and fine."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=series.volume.spatial_shape), rng.uniform(0.8, 2))
    mask = noise > np.quantile(noise, rng.uniform(0.95, 0.98))
    return label_lesions(mask, series.volume.affine, 0)


def _series(plane: str, direction: str, pixels: str) -> Series:
    series = factory.series(factory.volume(plane, shape=SHAPE, spacing=SPACINGS[pixels]))
    if direction == "forward":
        return series
    return Series(series.volume[::-1], series.datasets[::-1], series.slices[::-1])


def _through(series: Series, seed: int, validator: str | None) -> dict[str, tuple[int, int]]:
    """Return for each format how many voxels differ, and how many lines of the validator say Error."""
    label_map = random_label_map(series, seed)
    lesions = inherit_tracking(measure(label_map, series.volume.affine), ())
    found = {}
    for form in FORMATS:
        written = form.build(series, label_map, lesions, CONTEXT)
        assert written is not None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "object.dcm"
            written.save_as(path, enforce_file_format=True)
            back = form.read(dcmread(path), series)
            errors = _count_errors(validator, path) if validator else 0
        found[form.name] = (int((back != label_map).sum()), errors)
    return found


def _count_errors(validator: str, path: Path) -> int:
    done = subprocess.run([validator, str(path)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    if not lines:  # it says at least what kind of object it has read
        raise RuntimeError(f"{validator} ended with status {done.returncode} and said nothing")
    return sum(line.startswith("Error") for line in lines)
