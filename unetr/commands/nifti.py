"""NIfTI files: reading images, and masks on their grid, and their axes; writing what was found on that grid."""

import gzip
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np

from unetr.errors import some_of, told
from unetr.unreadable import UNREADABLE
from unetr.volume_error import VolumeError

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI's world coordinates to DICOM's."""
_APART_MM = 0.1
"""A mask whose corners lie this far from its image's is on another grid: programs round what they write."""
_BELOW = 0.1
"""What lies below 0, as a share of what lies above: resampling leaves a little, a z-score as much."""
_SMALLEST_BRAIN_LITRES, _LARGEST_BRAIN_LITRES = 0.5, 2.5
"""Adults have 1 to 2, their fluid included; a head has twice as much, and with the air's noise all of its image."""
_KINDS = {"c": "complex", "V": "colours (RGB)"}
"""What numpy calls kinds of values that are no numbers."""
_VOXEL_MM = (0.1, 20.0)
"""Edges that an image's voxels may have: those of a head scanned by another unit than mm are far outside."""
_THINNEST_MM = 20.0
"""What is thinner, along any axis, is a slice or two and no volume; a series of thick slices is 100 and more."""
_APART = 1e-3
"""A label may be stored this far from its whole number: as a scale times an integer, which is rounded."""
_AT_ONCE = 1 << 20
"""Bytes of a packed file that are looked at together."""


def check(images: Iterable[Path], *masks: str | None) -> None:
    """Look at every file's head before hours are spent on the first ones: see :func:`read_image`, :func:`read_lesions`.

    Raises
    ------
    VolumeError
        Also when one mask lies beside several images.
    """
    marked: dict[Path, Path] = {}
    for path in images:
        image = _open(path)
        _check_extent(image, path)
        for mask in filter(None, masks):
            _on_grid_of(image, path.parent / mask)
            other = marked.setdefault((path.parent / mask).resolve(), path)
            if other != path:
                raise VolumeError(
                    f"{path.parent / mask} lies beside both {other.name} and {path.name}: put each image into a folder "
                    "of its own, with its mask"
                )


def read_stripped(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A skull-stripped image, as :func:`read_image` gives it.

    Raises
    ------
    VolumeError
        As there, and when more is above 0 than a brain can be.
    """
    values, affine = read_image(path)
    litres = _litres(values > 0, affine)
    if litres > _LARGEST_BRAIN_LITRES:
        raise VolumeError(
            f"{path} looks like a whole head: give --brain; {litres:.1f} litres of it are above 0, where a brain has "
            f"{_LARGEST_BRAIN_LITRES} at most"
        )
    return values, affine


def _litres(where: np.ndarray, affine: np.ndarray) -> float:
    return float(np.count_nonzero(where) * abs(np.linalg.det(affine[:3, :3])) / 1e6)


def read_image(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """An image, float32, and its affine from index to patient LPS mm.

    What is no finite number in it, as around a brain, is 0.

    Raises
    ------
    VolumeError
        When the file is missing, damaged, no NIfTI, not three-dimensional, nowhere above 0, as much below it as a
        z-score leaves it, the same everywhere, too thin for a head, or does not say where its voxels lie.
    """
    image = _open(path)
    _check_extent(image, path)
    values = _values(image, path)
    if values.max(initial=0) <= 0:
        raise VolumeError(f"{path} is nowhere above 0: there is nothing to see in it")
    if values.min() == values.max():
        raise VolumeError(f"{path} is {values.max():g} everywhere: there is nothing to see in it")
    if -values.sum(where=values < 0, dtype=float) > _BELOW * values.sum(where=values > 0, dtype=float):
        raise VolumeError(
            f"{path} goes down to {values.min():g}, as after a z-score, where darkest is 0: half of a brain would be "
            "taken for air; give it as it was acquired, or add to it what makes the air 0"
        )
    return values, RAS_TO_LPS @ image.affine


def _check_extent(image: nib.Nifti1Image, path: Path) -> None:
    voxel = nib.affines.voxel_sizes(image.affine)
    if not ((voxel >= _VOXEL_MM[0]) & (voxel <= _VOXEL_MM[1])).all():
        sizes = " x ".join(f"{edge:.3g}" for edge in voxel)
        raise VolumeError(
            f"{path} has voxels of {sizes} mm, where a head has {_VOXEL_MM[0]} to {_VOXEL_MM[1]:g}: are these mm?"
        )
    edges = voxel * image.shape
    thin = int(np.argmin(edges))
    if edges[thin] < _THINNEST_MM:
        raise VolumeError(f"{path} is {edges[thin]:.3g} mm thick ({image.shape[thin]} slices): too little of a head")


def read_lesions(path: Path, image: Path, labels: Sequence[int] | None = None) -> np.ndarray:
    """Where a mask has one of the labels; without labels, where it is not 0.

    Returns
    -------
    numpy.ndarray
        bool, as the image is stored, in whatever order of axes the mask is.

    Raises
    ------
    VolumeError
        When a file is missing, damaged or no NIfTI, when the mask lies on another grid than the image, or holds values
        that are no whole numbers.
    """
    values = _read_labels(path, image)
    return values != 0 if labels is None else np.isin(values, labels)


def _read_labels(path: Path, image: Path) -> np.ndarray:
    stored = _values(_on_grid_of(_open(image), path), path)
    values = np.round(stored)
    between = stored[np.abs(stored - values) > _APART]
    if between.size:
        raise VolumeError(f"{path} holds {between[0]:g}, where labels are whole numbers: cut it at a threshold first")
    return values


def check_labels(images: Iterable[Path], mask: str, labels: Sequence[int]) -> None:
    """Look into the masks, until one has one of the labels: a wrong label would make healthy heads of all of them.

    One that holds others alone is of a head without lesions.

    Raises
    ------
    VolumeError
        When some of the masks hold something, and all of those others than the labels.
    """
    others: dict[Path, list[int]] = {}
    for image in images:
        path = image.parent / mask
        try:
            values = np.unique(_read_labels(path, image)).astype(int)
        except VolumeError:  # it is named, and left out, when its turn comes
            continue
        if np.isin(values, labels).any():
            return
        if values.any():
            others[path] = values[values != 0].tolist()
    if others:
        path, held = next(iter(others.items()))
        asked = " or ".join(map(str, labels))
        raise VolumeError(f"{path} holds {some_of(held)}, and no mask {asked}: name the lesions' values with --labels")


def read_brain(path: Path, image: Path) -> np.ndarray:
    """Where a brain's mask is more than half of its largest value: it may be a probability.

    Returns and raises as :func:`read_lesions` does, and a ``VolumeError`` when that is more or less than a brain.
    """
    mask = _on_grid_of(_open(image), path)
    values = _values(mask, path)
    brain = values > max(0, values.max() / 2)
    litres = _litres(brain, mask.affine)
    if not _SMALLEST_BRAIN_LITRES <= litres <= _LARGEST_BRAIN_LITRES:
        raise VolumeError(
            f"{path} marks {litres:.2g} litres as brain, where a brain has {_SMALLEST_BRAIN_LITRES} to "
            f"{_LARGEST_BRAIN_LITRES}"
        )
    return brain


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say of which file it is that something cannot be read."""
    try:
        yield
    except UNREADABLE as error:
        raise VolumeError(f"{path} cannot be read: {told(error)}") from error


def _open(path: Path) -> nib.Nifti1Image:
    with _named(path):
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image):  # NIfTI-2 is one of these too
            raise VolumeError(f"{path} cannot be read: it is no NIfTI file (.nii or .nii.gz)")
        if not np.isfinite(image.affine).all() or np.linalg.matrix_rank(image.affine[:3, :3]) < 3:
            affine = np.round(image.affine[:3], 3).tolist()
            raise VolumeError(f"{path} does not say where its voxels lie (affine {affine}): convert it anew")
        if image.get_data_dtype().kind not in "iuf":
            raise VolumeError(
                f"{path} cannot be read: its values are {_KINDS.get(image.get_data_dtype().kind, 'no numbers')}"
                ", where an image has one number a voxel"
            )
        if not (image.header["sform_code"] or image.header["qform_code"]):  # nibabel then makes an affine up
            raise VolumeError(
                f"{path} does not say where its voxels lie (sform and qform have code 0), nor which side is left: "
                "convert it from DICOM anew, or set its sform, as nibabel's set_sform does"
            )
        image = nib.funcs.squeeze_image(image)  # a volume of a series of one
    if len(image.shape) != 3:
        raise VolumeError(f"{path} has {len(image.shape)} dimensions, where a volume has 3")
    return image


def _values(image: nib.Nifti1Image, path: Path) -> np.ndarray:
    with _named(path):
        _check_sum(path)
        return np.nan_to_num(image.get_fdata(dtype=np.float32), posinf=0, neginf=0)


def _check_sum(path: Path) -> None:
    """Read a .gz to its end, where its checksum lies: nibabel stops at the last voxel, and takes a turned bit for one.

    Raises
    ------
    OSError, EOFError, zlib.error
        When what is in the file is not what was packed.
    """
    if path.suffix.lower() == ".gz":
        with gzip.open(path) as packed:
            while packed.read(_AT_ONCE):
                pass


def _on_grid_of(image: nib.Nifti1Image, path: Path) -> nib.Nifti1Image:
    """Open a mask with the image's order of axes."""
    mask = _open(path)
    with _named(path):
        orientations = [nib.io_orientation(one.affine) for one in (mask, image)]
        mask = mask.as_reoriented(nib.orientations.ornt_transform(*orientations))
    ends = np.vstack([np.array(image.shape) - 1, [0, 0, 0], np.diag(np.array(image.shape) - 1)])
    there, here = (nib.affines.apply_affine(one.affine, ends) for one in (mask, image))
    if mask.shape != image.shape or np.abs(there - here).max() > _APART_MM:
        raise VolumeError(f"{path} lies on another grid than its image: resample it to that first")
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


def as_stored(array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Turn an array of :func:`as_axial` back to the axes that the affine is of, index to patient LPS mm."""
    stored = nib.io_orientation(RAS_TO_LPS @ affine)
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("IPL"), stored)
    return nib.orientations.apply_orientation(array, turn)


def write_on_grid_of(image: Path, values: np.ndarray, path: Path, described: str) -> None:
    """Write values on an image's grid, by sform and qform as it has them, and nothing else of its header.

    A qform that cannot be read is left out: the sform says where the voxels lie.

    Of ``described`` the header has room for 80 bytes.

    Raises
    ------
    VolumeError
        When the image cannot be read, or the file not be written.
    """
    grid = _open(image)
    written = nib.Nifti1Image(values, grid.affine)
    written.set_qform(*_qform(grid))
    written.set_sform(*grid.get_sform(coded=True))
    written.header.set_xyzt_units("mm")
    written.header["descrip"] = described.encode("ascii", "replace")[:80]
    try:
        nib.save(written, path)
    except OSError as error:
        raise VolumeError(f"{path} cannot be written: {error.strerror}") from error


def _qform(image: nib.Nifti1Image) -> tuple[np.ndarray | None, int]:
    """The affine and its code; none and 0 where it has none that can be read."""
    try:
        affine, code = image.get_qform(coded=True)
    except ValueError:  # a quaternion longer than 1, be it by a rounded bit
        return None, 0
    return (affine, code) if code and np.isfinite(affine).all() else (None, 0)
