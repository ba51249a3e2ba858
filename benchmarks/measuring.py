"""``python -m benchmarks measuring``: how fast lesions are labelled and measured, and how true the measurements are."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from benchmarks.arguments import new_parser
from benchmarks.report import table, verdict, within
from benchmarks.subjects import MINIMUM_VOLUME_MM3, make_subject
from rano.components import label_lesions
from rano.lesion import Measurement
from rano.measuring import measure
from tests.reference_objects import (
    Floats,
    ReferenceObject,
    ellipsoid,
    grid,
    occupancy,
    ring,
    sphere,
    touching_spheres,
    tube,
)

SHAPE, SPACING, LESIONS = (200, 512, 512), (1.0, 0.5, 0.5), 30
SEED = 7
LARGE_MM = 10.0
DIAMETER_MM, DIAMETER_SHARE, VOLUME_SHARE = 1.0, 0.10, 0.15
SOURCES = ("partial volumes", "mask alone")
"""What is measured from: a probability map, as the server has it, or a mask without one."""
FRAMES = {
    "sagittal": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float),
    "coronal": np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]], float),
    "axial": np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], float),
}
"""Directions of the slice, row and column axes (columns of each matrix), in LPS."""
EXAMPLES = """examples:
  python -m benchmarks measuring
  python -m benchmarks measuring --rounds 40 --repeats 0       # more objects, no timing
"""


@dataclass(frozen=True)
class Case:
    """A reference object and what was measured of it, by source."""

    kind: str
    truth: ReferenceObject
    measured: dict[str, Measurement]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 when every target is met."""
    parser = new_parser(
        "measuring",
        "Time label and measure on a large mask; compare measurements of known shapes with their formulas.",
        EXAMPLES,
    )
    parser.add_argument("--repeats", type=int, default=5, help="timed runs; the median counts (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=8, help="of five shapes in each of four orientations (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    if options.repeats:
        print(f"{LESIONS} lesions in {' x '.join(map(str, SHAPE))} voxels, median of {options.repeats}\n")
        print(table(["step", "s"], time_steps(options.repeats)) + "\n")
    if options.rounds < 1:
        return 0
    cases = list(tqdm(make_cases(options.rounds), total=20 * options.rounds, leave=False, disable=None))
    print(f"{len(cases)} shapes of known size, at least two and a half slices thick, turned at random, in axial,")
    print("sagittal, coronal and oblique voxels of 0.5-1 x 0.5-1 x 1-3 mm. Mean error (deviation, or worst).\n")
    for source in SOURCES:
        print(_errors(source, cases) + "\n")
    return 0 if all(_judge(cases)) else 1


def time_steps(repeats: int) -> list[list[str]]:
    """Return the median time of each step."""
    subject = make_subject(SHAPE, SPACING, LESIONS)
    affine, probability = subject.volume.affine, subject.probability
    mask = probability >= 0.5
    label_map = label_lesions(mask, affine, MINIMUM_VOLUME_MM3)
    assert label_map.max() == LESIONS
    steps: dict[str, Callable[[], Any]] = {
        "label": lambda: label_lesions(mask, affine, MINIMUM_VOLUME_MM3),
        "measure, with probability": lambda: measure(label_map, affine, probability),
        "measure, from the mask alone": lambda: measure(label_map, affine),
    }
    return [[step, f"{_median_seconds(function, repeats):.2f}"] for step, function in steps.items()]


def _median_seconds(function: Callable[[], Any], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def make_cases(rounds: int) -> Iterator[Case]:
    """Make reference objects of every kind in series of every orientation, and measure them."""
    rng = np.random.default_rng(SEED)
    for _ in range(rounds):
        turned = Rotation.from_rotvec([0, 0, rng.uniform(0, 2 * np.pi)]).as_matrix() @ FRAMES["axial"]
        oblique = Rotation.random(rng=rng).as_matrix()
        for frame in (turned, FRAMES["sagittal"], FRAMES["coronal"], oblique):
            spacing = (rng.uniform(1, 3), rng.uniform(0.5, 1), rng.uniform(0.5, 1))
            for kind, truth in _objects(rng, spacing[0]):
                yield _measure(kind, truth, spacing, frame, rng.uniform(-0.5, 0.5, 3))


def _objects(rng: np.random.Generator, slice_mm: float) -> list[tuple[str, ReferenceObject]]:
    rotation = Rotation.random(rng=rng).as_matrix()
    thin = rng.uniform(2.5 * slice_mm, 2.5 * slice_mm + 8)
    return [
        ("sphere", sphere(thin)),
        ("ellipsoid", ellipsoid((thin * rng.uniform(1, 2), thin * rng.uniform(1, 2), thin), rotation)),
        ("ring", ring(thin + 2 * slice_mm + 6, thin)),
        ("tube", tube(thin * rng.uniform(1.5, 2.5), thin, rotation[:, 0])),
        ("touching spheres", touching_spheres(thin, thin * rng.uniform(1, 1.5), rotation[:, 0])),
    ]


def _measure(
    kind: str, truth: ReferenceObject, spacing: tuple[float, float, float], frame: Floats, centre: Floats
) -> Case:
    shape, affine = grid(spacing, frame, centre, truth.radius_mm)
    filled = occupancy(shape, affine, truth.contains)
    label_map = (filled >= 0.5).astype(np.int32)
    (partial,), (mask,) = measure(label_map, affine, filled), measure(label_map, affine)
    return Case(kind, truth, dict(zip(SOURCES, (partial, mask), strict=True)))


def _errors(source: str, cases: Sequence[Case]) -> str:
    """Return the errors of one source, one line per kind of shape."""
    rows = []
    for kind in [*dict.fromkeys(case.kind for case in cases), "all"]:
        chosen = [(c.measured[source], c.truth) for c in cases if kind in (c.kind, "all")]
        diameters = [m.longest.length_mm - t.longest_mm for m, t in chosen]
        across = [m.perpendicular.length_mm - t.perpendicular_mm for m, t in chosen if t.perpendicular_mm]
        volumes = [m.volume_mm3 / t.volume_mm3 - 1 for m, t in chosen if t.longest_mm >= LARGE_MM]
        rows.append(
            [
                kind,
                f"{np.mean(diameters):+.2f} ({np.std(diameters):.2f})",
                f"{max(diameters, key=abs):+.2f}",
                f"{np.mean(across):+.2f} ({np.std(across):.2f})" if across else "-",
                f"{np.mean(volumes):+.1%} ({max(volumes, key=abs):+.1%})" if volumes else "-",
            ]
        )
    header = [f"from {source}", "longest, mm", "worst", "perpendicular, mm", f"volume from {LARGE_MM:g} mm (worst)"]
    return table(header, rows)


def _judge(cases: Sequence[Case]) -> list[bool]:
    """Compare what is measured as the server does it with the targets."""
    pairs = [(case.measured[SOURCES[0]], case.truth) for case in cases]
    diameters = [within(m.longest.length_mm, t.longest_mm, DIAMETER_SHARE, DIAMETER_MM) for m, t in pairs]
    volumes = [within(m.volume_mm3, t.volume_mm3, VOLUME_SHARE) for m, t in pairs if t.longest_mm >= LARGE_MM]
    limit = f"{DIAMETER_MM:g} mm or {DIAMETER_SHARE:.0%}"
    return [
        verdict(f"{sum(diameters)} of {len(diameters)} diameters within {limit}", met=all(diameters)),
        verdict(f"{sum(volumes)} of {len(volumes)} volumes within {VOLUME_SHARE:.0%}", met=all(volumes)),
    ]
