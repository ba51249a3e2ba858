"""DICOM instances of one series -> one checked volume."""

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset


class ImagingError(ValueError):
    """A series or a study cannot be used; the message says why and what to do."""


class GeometryError(ImagingError):
    """The slices do not make one regular volume."""


@dataclass(frozen=True)
class Slice:
    """Where a plane of the volume came from: an instance, and a frame of it (1-based; None for single-frame)."""

    sop_instance_uid: str
    sop_class_uid: str
    frame_number: int | None


@dataclass(frozen=True)
class Series:
    """A series as one volume."""

    volume: hd.Volume
    datasets: tuple[Dataset, ...]
    slices: tuple[Slice, ...]

    @property
    def header(self) -> Dataset:
        """The first instance."""
        return self.datasets[0]

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID."""
        return str(self.header.SeriesInstanceUID)

    @property
    def study_instance_uid(self) -> str:
        """StudyInstanceUID."""
        return str(self.header.StudyInstanceUID)


def read_series(datasets: Sequence[Dataset]) -> Series:
    """Read the instances of a series, in any order, as one volume."""
    volume = hd.get_volume_from_series(datasets, dtype=np.float32)
    ordered = hd.spatial.sort_datasets(datasets)
    slices = tuple(Slice(str(ds.SOPInstanceUID), str(ds.SOPClassUID), None) for ds in ordered)
    return Series(volume, tuple(ordered), slices)
