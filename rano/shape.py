"""Where a lesion lies and how it is shaped, compact enough to keep for as long as the patient is followed.

With these and the transforms between visits, lesions are matched without the images or the label maps.
"""

import struct
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float64]

CELLS = 200
"""About so many cells make up a lesion, unless that would make them larger or smaller than these."""
SMALLEST_CELL_MM = 0.5
LARGEST_CELL_MM = 2.0

_HEAD = struct.Struct("<B8d3H")  # format; volume, cell, origin, centroid; shape
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class LesionShape:
    """A lesion as cubic cells, in the LPS coordinates of its own visit.

    Attributes
    ----------
    cells
        Which cells of a box the lesion fills; shape (x, y, z), along the axes of LPS.
    origin_lps_mm
        Centre of the box's first cell.
    cell_mm
        Edge of a cell.
    centroid_lps_mm, volume_mm3
        Of the lesion's voxels, exactly.
    """

    cells: npt.NDArray[np.bool_]
    origin_lps_mm: Floats
    cell_mm: float
    centroid_lps_mm: Floats
    volume_mm3: float

    @property
    def points(self) -> Floats:
        """The cells' centres, shape (n, 3), LPS mm."""
        return self.origin_lps_mm + np.argwhere(self.cells) * self.cell_mm

    def to_bytes(self) -> bytes:
        """Return it as bytes: some 150 for a small lesion, a few hundred for a large one."""
        numbers = (self.volume_mm3, self.cell_mm, *self.origin_lps_mm.tolist(), *self.centroid_lps_mm.tolist())
        return _HEAD.pack(_FORMAT, *numbers, *self.cells.shape) + zlib.compress(np.packbits(self.cells).tobytes(), 9)

    @classmethod
    def from_bytes(cls, stored: bytes) -> "LesionShape":
        """Return what ``to_bytes`` stored.

        Raises
        ------
        ValueError
            When the bytes are something else.
        """
        try:
            known, volume, cell, *rest = _HEAD.unpack_from(stored)
            shape = tuple(rest[6:])
            bits = np.unpackbits(np.frombuffer(zlib.decompress(stored[_HEAD.size :]), np.uint8), count=np.prod(shape))
            cells = bits.reshape(shape).astype(bool)
        except (struct.error, zlib.error, ValueError) as error:
            raise ValueError("these bytes are no lesion's shape") from error
        if known != _FORMAT:
            raise ValueError(f"a lesion's shape of format {known} can't be read, only {_FORMAT}")
        return cls(cells, np.array(rest[:3]), cell, np.array(rest[3:6]), volume)


def lesion_shapes(label_map: npt.NDArray[np.integer], affine: npt.NDArray[np.floating]) -> list[LesionShape]:
    """Return the shape of every lesion of a label map.

    Parameters
    ----------
    label_map
        Shape (slices, rows, columns), 0 background, n = lesion n.
    affine
        4x4, index (slice, row, column) to patient LPS in mm.

    Returns
    -------
    list of LesionShape
        In the order of the labels.
    """
    to_lps = np.array(affine, np.float64)
    return [
        _shape(label_map[box] == label, to_lps @ _first_voxel(box))
        for label, box in enumerate(ndimage.find_objects(label_map), start=1)
        if box is not None
    ]


def _first_voxel(box: tuple[slice, ...]) -> Floats:
    matrix = np.eye(4)
    matrix[:3, 3] = [span.start for span in box]
    return matrix


def _shape(mask: npt.NDArray[np.bool_], to_lps: Floats) -> LesionShape:
    voxels = np.argwhere(mask) @ to_lps[:3, :3].T + to_lps[:3, 3]
    centroid = voxels.mean(axis=0)
    volume = len(voxels) * float(abs(np.linalg.det(to_lps[:3, :3])))
    cell = float(np.clip(np.cbrt(volume / CELLS), SMALLEST_CELL_MM, LARGEST_CELL_MM))
    # The grid passes through a voxel's centre, so that it can't miss a lesion of one voxel.
    half_voxel = np.abs(to_lps[:3, :3]).sum(axis=1) / 2
    before = np.ceil((voxels[0] - voxels.min(axis=0) + half_voxel) / cell)
    after = np.ceil((voxels.max(axis=0) - voxels[0] + half_voxel) / cell)
    origin = voxels[0] - before * cell
    grid = np.moveaxis(np.indices((before + after + 1).astype(int)), 0, -1) * cell + origin
    to_index = np.linalg.inv(to_lps)
    index = np.rint(grid @ to_index[:3, :3].T + to_index[:3, 3]).astype(int)
    inside = ((index >= 0) & (index < mask.shape)).all(axis=-1)
    filled = np.zeros(inside.shape, bool)
    filled[inside] = mask[tuple(index[inside].T)]
    (box,) = ndimage.find_objects(filled.view(np.uint8))
    origin += cell * np.array([span.start for span in box])
    return LesionShape(filled[box], origin, cell, centroid, volume)
