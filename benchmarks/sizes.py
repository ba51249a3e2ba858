"""``python -m benchmarks inference --sizes``: what a prediction costs as the volume grows, as a table and a picture."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.isolation import in_fresh_process, peak_bytes
from benchmarks.memory import TARGET_GIB
from benchmarks.report import GIB, table, verdict
from settings import load_settings

Size = tuple[int, int, int]
SIZES: tuple[Size, ...] = (
    (64, 64, 64),
    (128, 128, 128),
    (192, 192, 192),
    (256, 256, 200),
    (256, 256, 256),
    (384, 384, 300),
    (512, 512, 400),
)


@dataclass(frozen=True)
class Cost:
    """Of one prediction; memory is that of the whole process, with and without the prediction."""

    engine: str
    seconds: float
    loaded_bytes: int
    peak_bytes: int


def parse(size: str) -> Size:
    """Read a size as it is given on the command line, like ``64x64x64``."""
    numbers = size.split("x")
    if len(numbers) != 3 or not all(number.isdigit() and int(number) >= 16 for number in numbers):
        raise SystemExit(f"{size} is no size of a volume; expected three numbers of 16 or more, like 64x64x64")
    a, b, c = map(int, numbers)
    return a, b, c


def main(model: Path, sizes: Sequence[Size], plot: Path | None) -> int:
    """Measure each size in a process of its own, print and draw."""
    in_fresh_process(predict, model, (96, 96, 96))  # compiles the network where that was not done yet
    bar = tqdm(sorted(sizes or SIZES, key=np.prod), leave=False, disable=None)
    return show({size: in_fresh_process(predict, model, size) for size in bar}, model.name, plot)


def show(costs: dict[Size, Cost], model: str, plot: Path | None) -> int:
    """Print and draw; gives 0 when the target is met."""
    print("voxels of 1 mm; an ellipsoid of tissue reaches every face of the volume\n")
    header = ["voxels", "million", "s", "s a million", "model loaded, GiB", "peak, GiB"]
    rows = [
        [
            " x ".join(map(str, size)),
            f"{np.prod(size) / 1e6:.1f}",
            f"{cost.seconds:.2f}",
            f"{cost.seconds / np.prod(size) * 1e6:.2f}",
            f"{cost.loaded_bytes / GIB:.2f}",
            f"{cost.peak_bytes / GIB:.2f}",
        ]
        for size, cost in costs.items()
    ]
    print(table(header, rows))
    print(f"\nengine {next(iter(costs.values())).engine}")
    if plot:
        _draw(costs, model, plot)
        print(f"drawn: {plot}")
    most = max(cost.peak_bytes for cost in costs.values()) / GIB
    return 0 if verdict(f"at most {most:.2f} GiB, less than {TARGET_GIB:g} GiB", met=most < TARGET_GIB) else 1


def predict(model: Path, size: Size) -> Cost:
    """Segment a noisy ellipsoid that fills the volume."""
    from unetr.predictor import open_model

    predictor = open_model(load_settings(), model)
    axes = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in size], indexing="ij", sparse=True)
    image = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    image *= 6
    image += 20
    np.add(image, 300, out=image, where=axes[0] ** 2 + axes[1] ** 2 + axes[2] ** 2 < 1)
    loaded, start = peak_bytes(), time.perf_counter()
    predictor.predict(image, np.eye(4))
    return Cost(predictor.engine.name, time.perf_counter() - start, loaded, peak_bytes())


def _draw(costs: dict[Size, Cost], model: str, path: Path) -> None:
    from matplotlib.figure import Figure

    million = [np.prod(size) / 1e6 for size in costs]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    values = {
        "seconds": [cost.seconds for cost in costs.values()],
        "peak memory of the process, GiB": [cost.peak_bytes / GIB for cost in costs.values()],
    }
    for panel, (label, heights) in zip(panels, values.items(), strict=True):
        panel.plot(million, heights, "o-", color="#2563eb")
        for size, x, y in zip(costs, million, heights, strict=True):
            if len(set(size)) > 1:  # the largest to the left of its point, all others to the right, below the line
                left = size == max(costs)
                offset, side = ((-8, 2), "right") if left else ((7, -9), "left")
                panel.annotate(" x ".join(map(str, size)), (x, y), offset, textcoords="offset points", ha=side)
        panel.set(xlabel="million voxels of 1 mm", ylabel=label, ylim=(0, 1.08 * max(heights)))
        panel.set_xlim(-max(million) * 0.03, max(million) * 1.05)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"{model}, {next(iter(costs.values())).engine}: cost of a prediction by size of the volume", size=11
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
