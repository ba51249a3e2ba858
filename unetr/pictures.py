"""Pictures of how good a model is: what was found beside what is there, and what sensitivity costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from unetr.tuning import OperatingPoint

ENDINGS = frozenset(FigureCanvasBase.get_supported_filetypes())
"""Of the files that a picture can be written to, without their dots."""
_TRUTH, _FOUND = "#22c55e", "#f97316"


@dataclass(frozen=True)
class View:
    """Slices of one volume, to be kept while the volume is forgotten.

    Attributes
    ----------
    slices
        Of each: the image (float32), reference and prediction (bool), all of shape (rows, columns).
    pixel_mm
        Distance of rows and of columns.
    """

    title: str
    slices: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    pixel_mm: tuple[float, float]


def view(title: str, image: np.ndarray, reference: np.ndarray, found: np.ndarray, affine: np.ndarray) -> View:
    """Keep the slice with most of the reference, and the one where reference and prediction differ most.

    Parameters
    ----------
    image, reference, found
        Axes slice, row, column.
    affine
        Index to mm, 4x4.
    """
    largest = int(reference.sum((1, 2)).argmax())
    worst = int((reference ^ found).sum((1, 2)).argmax())
    _, row, column = np.linalg.norm(affine[:3, :3], axis=0)
    slices = [(image[k].astype(np.float32), reference[k].copy(), found[k].copy()) for k in (largest, worst)]
    return View(title, slices, (float(row), float(column)))


def draw(views: Sequence[View], path: Path) -> None:
    """Draw views side by side: above the slice with most of the reference, below the one that differs most."""
    figure = Figure(figsize=(3.4 * len(views), 7.4), layout="constrained")
    panels = figure.subplots(2, len(views), squeeze=False)
    for column, one in zip(panels.T, views, strict=True):
        for panel, (image, reference, found) in zip(column, one.slices, strict=True):
            bright = float(np.percentile(image[image > 0], 99.5)) if (image > 0).any() else 1.0
            panel.imshow(image, cmap="gray", vmin=0, vmax=bright, aspect=one.pixel_mm[0] / one.pixel_mm[1])
            for mask, colour in ((reference, _TRUTH), (found, _FOUND)):
                if mask.any():
                    # With a rim around it: an outline is closed at the edge, and is one in a single row too.
                    rows, columns = (np.arange(-1, size + 1) for size in mask.shape)
                    panel.contour(columns, rows, np.pad(mask, 1), [0.5], colors=colour, linewidths=0.9)
            rows, columns = image.shape
            panel.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
            panel.axis("off")
        column[0].set_title(one.title, fontsize=9)
    figure.text(0.5, -0.01, "green: reference   orange: found", ha="center", va="top", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def draw_trade_off(points: Sequence[OperatingPoint], chosen: OperatingPoint, path: Path) -> None:
    """Draw sensitivity from 5 mm on against false lesions a volume, one line for each threshold."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    panel = figure.subplots()
    thresholds = sorted({point.threshold for point in points})
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(thresholds)))
    for threshold, shade in zip(thresholds, shades, strict=True):
        line = [point for point in points if point.threshold == threshold]
        x, y = [p.false_lesions for p in line], [p.sensitivity for p in line]
        panel.plot(x, y, ".-", color=shade, label=f"threshold {threshold}")
    panel.plot(chosen.false_lesions, chosen.sensitivity, "o", mfc="none", mec="black", ms=12, label="chosen")
    panel.set(xlabel="false lesions a volume", ylabel="sensitivity, lesions of 5 mm or more", ylim=(0, 1.02))
    panel.set_xlim(left=0)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
