"""A visit's volume, small enough to keep: all that is needed to register another visit to it."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rano.coverage import Grid

Floats = npt.NDArray[np.float64]

SPACING_MM = 2.0
_FORMAT = 1
SAME_MM = 0.01
SAME_GREY = 1
"""So far may lie apart, and so many grey levels differ, what two machines make of the same images."""
HEAD_BYTES = 1024
"""So many of the first bytes of a stored volume hold its grid."""


@dataclass(frozen=True, eq=False)
class ReducedVolume:
    """A coarse copy of a volume.

    Attributes
    ----------
    array
        uint8, shape (slices, rows, columns); 0 is the darkest, 255 the brightest, but for 1 % at either end.
    affine
        4x4, index (slice, row, column) to patient LPS in mm.
    """

    array: npt.NDArray[np.uint8]
    affine: Floats

    @property
    def grid(self) -> Grid:
        """What it covers."""
        return Grid(self.affine, self.array.shape)

    def difference(self, other: "ReducedVolume") -> str:
        """Say in words how another volume is not this one; empty where both show the same at the same place.

        It takes what is kept for the whole: what changes within a block alone, and means less than ``SAME_GREY``, does
        not count, nor does a brightness that is scaled as a whole. Lesions lie where they lay then.
        """
        if self.array.shape != other.array.shape:
            return "their voxels are others in number or in size"
        apart = float((np.abs(other.affine - self.affine)[:3] @ [*self.array.shape, 1]).max())
        if apart > SAME_MM:
            return f"they lie up to {apart:.1f} mm from where they lay"
        if (np.abs(other.array.astype(np.int16) - self.array) > SAME_GREY).any():
            return "they show other grey values"
        return ""

    def to_bytes(self) -> bytes:
        """Return it as bytes, half a megabyte or so for a head."""
        head = json.dumps({"format": _FORMAT, "shape": self.array.shape, "affine": self.affine.tolist()}).encode()
        assert len(head) < HEAD_BYTES, "the grid can be read without the image"
        # Level 6 takes ten times as long, and saves 7 % of a noisy image.
        return head + b"\n" + zlib.compress(self.array.tobytes(), 1)

    @classmethod
    def from_bytes(cls, stored: bytes) -> "ReducedVolume":
        """Return what ``to_bytes`` stored.

        Raises
        ------
        ValueError
            When the bytes are something else.
        """
        grid = grid_of(stored)
        try:
            array = np.frombuffer(zlib.decompress(stored.partition(b"\n")[2]), np.uint8).reshape(grid.shape)
        except (ValueError, TypeError, zlib.error) as error:
            raise ValueError("these bytes are no reduced volume") from error
        return cls(array, grid.affine)


def grid_of(stored: bytes) -> Grid:
    """Return the grid of a stored volume from its first ``HEAD_BYTES`` bytes, or more of them.

    Raises
    ------
    ValueError
        When the bytes are something else.
    """
    try:
        known = json.loads(stored.partition(b"\n")[0])
        if known["format"] == _FORMAT:
            return Grid(np.array(known["affine"], np.float64), tuple(known["shape"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("these bytes are no reduced volume") from error
    raise ValueError(f"a reduced volume of format {known['format']} can't be read, only {_FORMAT}")


def reduce_volume(array: npt.NDArray[Any], affine: npt.NDArray[np.floating]) -> ReducedVolume:
    """Average blocks of voxels to about 2 mm, and keep 256 grey levels.

    Parameters
    ----------
    array
        Shape (slices, rows, columns), any real values.
    affine
        4x4, index (slice, row, column) to patient LPS in mm.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    block = np.clip(np.round(SPACING_MM / spacing), 1, array.shape).astype(int).tolist()
    means, to_lps = average_blocks(array, affine, block)
    darkest, brightest = np.percentile(means, [1, 99])
    grey = np.rint((means - darkest) * (255 / max(float(brightest - darkest), 1e-6)))
    return ReducedVolume(np.clip(grey, 0, 255).astype(np.uint8), to_lps)


def average_blocks(
    array: npt.NDArray[Any], affine: npt.NDArray[np.floating], block: Sequence[int]
) -> tuple[npt.NDArray[np.float32], Floats]:
    """Average blocks of voxels; what does not fill a block at the end of an axis is left out.

    Parameters
    ----------
    array
        Shape (slices, rows, columns).
    affine
        4x4, index to patient LPS in mm.
    block
        Voxels along each axis, no more than there are.

    Returns
    -------
    tuple
        The means, and their affine: a block lies at its centre.
    """
    means = array
    for axis, size in enumerate(block):
        if size > 1:
            count = means.shape[axis] // size
            kept = means[tuple(slice(count * size) if other == axis else slice(None) for other in range(3))]
            shape = (*kept.shape[:axis], count, size, *kept.shape[axis + 1 :])
            means = kept.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    to_index = np.diag([*block, 1.0])
    to_index[:3, 3] = (np.array(block) - 1) / 2
    return means.astype(np.float32, copy=False), np.asarray(affine @ to_index, np.float64)
