"""Synthetic volumes on disk, as NIfTI, so that training and generating need not share the processor.

A case is three files: ``NAME_image.nii`` (int16 with a scale), ``NAME_brain.nii`` (uint8, 1 = brain) and
``NAME_fraction.nii`` (uint8, 255 = all lesion). The last says in its header (``descrip``) what it was made with.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from zlib import crc32

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from unetr.errors import told
from unetr.synthesis.generator import SyntheticVolume
from unetr.unreadable import UNREADABLE
from unetr.volume_error import VolumeError

_IMAGE_SCALE = 1000.0
_ROOM = 79
"""Bytes of a header's description."""


class PoolError(VolumeError):
    """A folder of training volumes that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Case:
    """A training volume in memory, all of one shape: float16 image, uint8 fraction (255 = all lesion), uint8 brain."""

    name: str
    image: np.ndarray
    fraction: np.ndarray
    brain: np.ndarray


def write_case(folder: Path, name: str, volume: SyntheticVolume, made_with: str = "") -> None:
    """Write one volume; the fraction last, so that a case without one is known to be unfinished.

    ``made_with`` names the options that make it what it is: see :func:`is_written`.
    """
    image = nib.Nifti1Image(np.round(volume.image.cpu().numpy() * _IMAGE_SCALE).astype(np.int16), volume.affine)
    image.header.set_slope_inter(1 / _IMAGE_SCALE, 0)
    _save(image, folder / f"{name}_image.nii")
    brain = nib.Nifti1Image(volume.brain.cpu().numpy().astype(np.uint8), volume.affine)
    _save(brain, folder / f"{name}_brain.nii")
    fraction = np.round(volume.fraction.cpu().numpy() * 255).astype(np.uint8)
    lesions = nib.Nifti1Image(fraction, volume.affine)
    lesions.header["descrip"] = _short(made_with)
    _save(lesions, folder / f"{name}_fraction.nii")


def _save(image: nib.Nifti1Image, path: Path) -> None:
    """Write a file beside its place, and rename it: whatever has its name is whole, also after a power cut."""
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as file:
        image.to_stream(file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def is_written(folder: Path, name: str, made_with: str) -> bool:
    """Tell whether a volume is there, made with these options; one that does not say with which is taken as it is.

    Raises
    ------
    PoolError
        When it was made with others, or one of its files is damaged.
    """
    path = folder / f"{name}_fraction.nii"
    if not path.exists():
        return False
    before = _open(path, name).header["descrip"].item()
    if before and before != _short(made_with):
        made = before.decode(errors="replace")
        raise PoolError(f"{path} was made with {made}, where {made_with} is asked for: use another folder.")
    paths = _paths(folder, name)
    return all(path.exists() for path in paths) and all(_open(path, name) for path in paths)


def _short(made_with: str) -> bytes:
    """What there is room for; what is cut off still tells by a number of the whole that it differs."""
    whole = made_with.encode()
    number = f" {crc32(whole):08x}".encode()
    return whole if len(whole) <= _ROOM else whole[: _ROOM - len(number)] + number


def case_names(folder: Path) -> list[str]:
    """The volumes of a folder; what begins with a dot is what a kill left of one, or what a Mac writes beside it."""
    fractions = (path.name for path in folder.glob("*_fraction.nii"))
    return sorted(name.removesuffix("_fraction.nii") for name in fractions if not name.startswith("."))


def read_cases(folder: Path) -> Iterator[Case]:
    for name in case_names(folder):
        yield read_case(folder, name)


def read_case(folder: Path, name: str) -> Case:
    """Read one volume.

    Raises
    ------
    PoolError
        When one of its files is damaged, or missing: made by an older version, or taken away.
    """
    paths = _paths(folder, name)
    missing = next((path for path in paths if not path.is_file()), None)
    if missing:
        raise PoolError(f"{missing} is missing: make the volumes of {folder} again, in an empty folder.")
    image, fraction, brain = (_open(path, name) for path in paths)
    return Case(
        name,
        image.get_fdata(dtype=np.float32).astype(np.float16),
        np.asarray(fraction.dataobj),
        np.asarray(brain.dataobj),
    )


def _paths(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}_{part}.nii" for part in ("image", "fraction", "brain")]


def _open(path: Path, name: str) -> nib.Nifti1Image:
    """Open one of a volume's files and map its voxels, which takes no time, and fails where some are cut off."""
    try:
        image = nib.Nifti1Image.from_filename(path)
        cast(ArrayProxy, image.dataobj).get_unscaled()
    except UNREADABLE as error:
        advice = f"remove {name}_*.nii of {path.parent} and make that volume again"
        raise PoolError(f"{path} cannot be read ({told(error)}): {advice}.") from error
    return image
