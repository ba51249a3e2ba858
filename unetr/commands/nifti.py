"""Finding NIfTI files by pattern, their coordinates, and their axes."""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI's world coordinates to DICOM's."""


def find_images(pattern: str) -> list[Path]:
    """The files a pattern with ``*`` or ``?`` matches, sorted."""
    parts = Path(pattern).parts
    first = next((i for i, part in enumerate(parts) if "*" in part or "?" in part), len(parts) - 1)
    return sorted(Path(*parts[:first]).glob(str(Path(*parts[first:]))))


def read_mask(path: Path, labels: Sequence[int] | None = None) -> np.ndarray:
    """Where a mask has one of the labels; without labels, where it is more than half of its largest value. bool."""
    values = np.asarray(nib.Nifti1Image.from_filename(path).dataobj)
    return np.isin(values, labels) if labels is not None else values > values.max() / 2


def as_axial(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn an array as an axial series is read: slices from head to feet, rows to posterior, columns to left.

    Parameters
    ----------
    array, affine
        Any three axes; the affine from index to patient LPS mm.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        A view of the array, and its affine to LPS mm. An oblique array takes the nearest directions.
    """
    to_ras = RAS_TO_LPS @ affine
    turn = nib.orientations.ornt_transform(nib.io_orientation(to_ras), nib.orientations.axcodes2ornt("IPL"))
    turned = RAS_TO_LPS @ to_ras @ nib.orientations.inv_ornt_aff(turn, array.shape)
    return nib.orientations.apply_orientation(array, turn), turned
