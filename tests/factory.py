"""Digital reference objects: head-like volumes with lesions known to the millimetre, and DICOM series of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from imaging.mr_writer import write_mr_series
from imaging.uids import uid_of
from imaging.volume import Series, read_series

PLANES = ("axial", "sagittal", "coronal", "oblique25")
HEAD_CENTRE_LPS = (3.0, -7.0, 11.0)


@dataclass(frozen=True)
class Sphere:
    """A lesion: centre in patient LPS mm, radius in mm."""

    centre_lps: tuple[float, float, float]
    radius_mm: float


LESIONS = (
    Sphere((15.0, -17.0, 19.0), 8.0),
    Sphere((-15.0, 7.0, 5.0), 5.0),
    Sphere((7.0, 13.0, 29.0), 3.5),
)

# Directions of increasing column index and of increasing row index, in LPS, as ImageOrientationPatient has them.
_ORIENTATIONS = {
    "axial": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "sagittal": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
    "coronal": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
}


def orientation(plane: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vectors (column index grows, row index grows); ``obliqueN`` is axial turned by N degrees."""
    right, down = _ORIENTATIONS["axial" if plane.startswith("oblique") else plane]
    if not plane.startswith("oblique"):
        return np.array(right), np.array(down)
    axis = np.array([1.0, 0.4, 0.2])
    turn = Rotation.from_rotvec(np.deg2rad(float(plane.removeprefix("oblique"))) * axis / np.linalg.norm(axis))
    return turn.apply(right), turn.apply(down)


def affine(
    plane: str = "axial",
    *,
    reverse: bool = False,
    shape: tuple[int, int, int] = (48, 64, 56),
    spacing: tuple[float, float, float] = (2.0, 1.5, 1.75),
) -> np.ndarray:
    """Return the affine (slice, row, column) -> LPS mm of a volume whose middle lies at HEAD_CENTRE_LPS."""
    right, down = orientation(plane)
    along = np.cross(down, right) * (-1.0 if reverse else 1.0)
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([along, down, right]) * np.asarray(spacing)
    matrix[:3, 3] = np.asarray(HEAD_CENTRE_LPS) - matrix[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return matrix


def volume(
    plane: str = "axial",
    *,
    reverse: bool = False,
    shape: tuple[int, int, int] = (48, 64, 56),
    spacing: tuple[float, float, float] = (2.0, 1.5, 1.75),
    lesions: Sequence[Sphere] = LESIONS,
    seed: int = 0,
) -> hd.Volume:
    """Make a head-like volume with bright lesions.

    Parameters
    ----------
    plane
        ``"axial"``, ``"sagittal"``, ``"coronal"``, or ``"oblique25"`` (any number of degrees, double oblique).
    reverse
        False: slices in the order ``read_series`` gives, so that writing and reading returns the same array.
        True: the other way round, so that reading turns axis 0 over.
    shape, spacing
        (slice, row, column); mm. The lesions stay at the same place in the patient whatever the plane.

    Returns
    -------
    hd.Volume
        uint16: air about 20, brain about 300 to 400, lesions about 900; noise of a few units.
    """
    matrix = affine(plane, reverse=reverse, shape=shape, spacing=spacing)
    points = _voxel_centres(shape, matrix)
    offset = points - np.asarray(HEAD_CENTRE_LPS)
    head = ((offset / np.array([36.0, 42.0, 38.0])) ** 2).sum(axis=-1)
    array = 20.0 + 330.0 / (1.0 + np.exp(25.0 * (head - 1.0)))
    array += np.where(head < 1.0, 40.0 * np.sin(points @ np.array([0.05, 0.07, 0.03])), 0.0)
    array += np.random.default_rng(seed).normal(0.0, 4.0, shape)
    for lesion in lesions:
        array[np.linalg.norm(points - np.asarray(lesion.centre_lps), axis=-1) <= lesion.radius_mm] += 550.0
    return hd.Volume(np.clip(np.rint(array), 0, 4095).astype(np.uint16), matrix, coordinate_system="PATIENT")


def sphere_mask(volume: hd.Volume, centre_lps: Sequence[float], radius_mm: float) -> np.ndarray:
    """Return the voxels (bool, slice x row x column) whose centre lies within ``radius_mm`` of a point in LPS mm."""
    points = _voxel_centres(volume.spatial_shape, volume.affine)
    return np.asarray(np.linalg.norm(points - np.asarray(centre_lps), axis=-1) <= radius_mm)


def label_map(volume: hd.Volume, lesions: Sequence[Sphere] = LESIONS) -> np.ndarray:
    """Return the label map (uint8): lesion n of ``lesions`` has the value n, counted from 1."""
    labels = np.zeros(volume.spatial_shape, np.uint8)
    for n, lesion in enumerate(lesions, start=1):
        labels[sphere_mask(volume, lesion.centre_lps, lesion.radius_mm)] = n
    return labels


def series_datasets(source: hd.Volume | None = None, *, shuffle: bool = True, **attributes: Any) -> list[Dataset]:
    """Write a volume (by default ``volume()``) as a T1 post-contrast series of a made-up patient, in shuffled order.

    ``attributes`` are keywords of ``write_mr_series`` and go before the defaults here.
    """
    defaults: dict[str, Any] = {
        "patient_id": "TEST-001",
        "patient_name": "Test^Synthetic",
        "study_instance_uid": uid_of("tests", "study"),
        "series_number": 7,
        "series_description": "T1 MPRAGE post Gd",
        "contrast_agent": "Gadobutrol",
    }
    datasets = write_mr_series(volume() if source is None else source, **(defaults | attributes))
    if shuffle:
        order = np.random.default_rng(0).permutation(len(datasets))
        datasets = [datasets[k] for k in order]
    return datasets


def series(source: hd.Volume | None = None, **attributes: Any) -> Series:
    """Return ``series_datasets`` as ``read_series`` gives it: lesions lie where the volume had them, in LPS."""
    return read_series(series_datasets(source, **attributes))


def multi_frame(source: hd.Volume | None = None, **attributes: Any) -> Dataset:
    """Return the same series as one multi-frame instance (Legacy Converted Enhanced MR)."""
    slices = series_datasets(source, shuffle=False, **attributes)
    return hd.legacy.LegacyConvertedEnhancedMRImage(
        slices,
        series_instance_uid=uid_of("tests", "multi-frame", slices[0].SeriesInstanceUID),
        series_number=int(slices[0].SeriesNumber) + 100,
        sop_instance_uid=uid_of("tests", "multi-frame", slices[0].SOPInstanceUID),
        instance_number=1,
    )


def _voxel_centres(shape: Sequence[int], matrix: np.ndarray) -> np.ndarray:
    """Return the LPS positions of all voxel centres, shape (slice, row, column, 3)."""
    indices = np.moveaxis(np.indices(tuple(shape), dtype=float), 0, -1)
    return np.asarray(indices @ matrix[:3, :3].T + matrix[:3, 3])
