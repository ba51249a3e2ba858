"""NIfTI files: finding them by pattern, reading images, and masks on their grid, and their axes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI's world coordinates to DICOM's."""
_APART_MM = 0.1
"""A mask whose corners lie this far from its image's is on another grid: programs round what they write."""


def find_images(pattern: str) -> list[Path]:
    """The files a pattern with ``*`` or ``?`` matches, sorted."""
    parts = Path(pattern).parts
    first = next((i for i, part in enumerate(parts) if "*" in part or "?" in part), len(parts) - 1)
    return sorted(Path(*parts[:first]).glob(str(Path(*parts[first:]))))


def check(images: Iterable[Path], *masks: str | None) -> None:
    """Look at every file's head before hours are spent on the first ones: see :func:`read_image`, :func:`read_mask`."""
    for path in images:
        image = _open(path)
        for mask in filter(None, masks):
            _on_grid_of(image, path.parent / mask)


def read_image(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """An image, float32, and its affine from index to patient LPS mm; what is no number in it, as around a brain, is 0.

    Raises
    ------
    SystemExit
        When the file is missing, no NIfTI, or not three-dimensional.
    """
    image = _open(path)
    return np.nan_to_num(image.get_fdata(dtype=np.float32)), RAS_TO_LPS @ image.affine


def read_mask(path: Path, image: Path, labels: Sequence[int] | None = None) -> np.ndarray:
    """Where a mask has one of the labels; without labels, where it is more than half of its largest value.

    Returns
    -------
    numpy.ndarray
        bool, as the image is stored, in whatever order of axes the mask is.

    Raises
    ------
    SystemExit
        When a file is missing, no NIfTI, or the mask lies on another grid than the image.
    """
    values = np.asarray(_on_grid_of(_open(image), path).dataobj)
    return np.isin(values, labels) if labels is not None else values > values.max() / 2


def _open(path: Path) -> nib.Nifti1Image:
    try:
        image = nib.funcs.squeeze_image(nib.Nifti1Image.from_filename(path))  # a volume of a series of one
    except (OSError, nib.filebasedimages.ImageFileError) as error:
        raise SystemExit(f"{path} cannot be read: {error}") from error
    if len(image.shape) != 3:
        raise SystemExit(f"{path} has {len(image.shape)} dimensions, where a volume has 3")
    return image


def _on_grid_of(image: nib.Nifti1Image, path: Path) -> nib.Nifti1Image:
    """Open a mask with the image's order of axes."""
    mask = _open(path)
    orientations = [nib.io_orientation(one.affine) for one in (mask, image)]
    mask = mask.as_reoriented(nib.orientations.ornt_transform(*orientations))
    ends = np.vstack([np.array(image.shape) - 1, [0, 0, 0], np.diag(np.array(image.shape) - 1)])
    there, here = (nib.affines.apply_affine(one.affine, ends) for one in (mask, image))
    if mask.shape != image.shape or np.abs(there - here).max() > _APART_MM:
        raise SystemExit(f"{path} lies on another grid than its image: resample it to that first")
    return mask


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
