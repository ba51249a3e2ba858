"""Shared by the tests of the reports: series of every kind with measured lesions, and how to look into a report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

from imaging.volume import Series, read_series
from rano.lesion import Lesion, Measurement
from rano.measuring import measure
from results.seg import build_seg
from tests import factory
from tests import results_cases as cases

SQUARE = (2.0, 1.5, 1.5)
NOT_SQUARE = (2.0, 1.5, 1.75)
LONG, SHORT = "Long Axis", "Short Axis"


@dataclass(frozen=True)
class Case:
    """A series with its lesions, as the pipeline hands them to the reports."""

    series: Series
    label_map: np.ndarray
    lesions: list[Lesion]

    def arguments(self) -> tuple[Series, np.ndarray, list[Lesion]]:
        """What every report is built from, but for the context."""
        return self.series, self.label_map, self.lesions

    def seg(self) -> hd.seg.Segmentation:
        """The segmentation of the lesions."""
        seg = build_seg(*self.arguments(), cases.CONTEXT)
        assert seg is not None
        return seg

    def measurement(self, tracking_uid: str) -> Measurement:
        """What was measured of a lesion."""
        return next(lesion.measurement for lesion in self.lesions if lesion.tracking_uid == tracking_uid)


def case(
    plane: str = "axial", spacing: tuple[float, float, float] = SQUARE, *, reverse: bool = False, **attributes: Any
) -> Case:
    """Return a head with three lesions; ``reverse``: its slices in the order opposite to ``read_series``'."""
    source = factory.series(factory.volume(plane, spacing=spacing), **attributes)
    if reverse:
        source = Series(source.volume[::-1], source.datasets[::-1], source.slices[::-1])
    return measured(source, factory.label_map(source.volume).astype(np.int32))


def multi_frame() -> Case:
    """Return the same as one multi-frame instance, its frames in the order opposite to the volume's."""
    instance = factory.multi_frame(factory.volume(spacing=SQUARE))
    instance.PixelData = instance.pixel_array[::-1].tobytes()
    instance.PerFrameFunctionalGroupsSequence = list(instance.PerFrameFunctionalGroupsSequence)[::-1]
    source = read_series([cases.read_back(instance)])
    return measured(source, factory.label_map(source.volume).astype(np.int32))


def measured(series: Series, label_map: np.ndarray) -> Case:
    """Return a series with the lesions of a label map measured."""
    measurements = measure(label_map, series.volume.affine)
    return Case(
        series, label_map, [Lesion(f"GTV_MetIA_{m.label}", f"2.25.{4000 + m.label}", m, m.label) for m in measurements]
    )


def item(node: Dataset, meaning: str) -> Dataset:
    """Return the only content item of a node with a name."""
    (found,) = items(node, meaning)
    return found


def items(node: Dataset, meaning: str) -> list[Dataset]:
    """Return the content items of a node with a name."""
    return [child for child in node.ContentSequence if child.ConceptNameCodeSequence[0].CodeMeaning == meaning]


def groups(report: Dataset) -> list[Dataset]:
    """Return the measurement groups of a report, one per lesion."""
    return items(item(report, "Imaging Measurements"), "Measurement Group")


def code(node: Dataset) -> tuple[str, str]:
    """Return the value of a coded content item."""
    value = node.ConceptCodeSequence[0]
    return value.CodingSchemeDesignator, value.CodeValue


def evidence(report: Dataset) -> dict[str, list[str]]:
    """Return the instances listed as evidence, by their series."""
    return {
        series.SeriesInstanceUID: [instance.ReferencedSOPInstanceUID for instance in series.ReferencedSOPSequence]
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
    }


def walk(node: Dataset) -> Iterator[Dataset]:
    """Yield every content item below a node."""
    for child in node.get("ContentSequence") or ():
        yield child
        yield from walk(child)


def ends(measurement: Measurement, axis: str) -> np.ndarray:
    """Return both ends of a diameter in patient LPS mm, shape (2, 3)."""
    chord = measurement.longest if axis == LONG else measurement.perpendicular
    return np.array([chord.start_lps_mm, chord.end_lps_mm])


def many_lesions(count: int) -> Case:
    """Return an axial series with cubes of two voxels a side."""
    per_row = 6
    shape = (4 + 4 * (count // per_row**2 + 1), per_row * 4 + 4, per_row * 4 + 4)
    source = factory.series(factory.volume(shape=shape, spacing=SQUARE, lesions=()))
    labels = np.zeros(shape, np.int32)
    for n in range(count):
        k, rest = divmod(n, per_row**2)
        row, column = divmod(rest, per_row)
        corner: Sequence[int] = (2 + 4 * k, 2 + 4 * row, 2 + 4 * column)
        labels[tuple(slice(start, start + 2) for start in corner)] = n + 1
    return measured(source, labels)
