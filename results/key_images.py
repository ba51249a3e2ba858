"""A small picture of each lesion where it was measured: the plane of its longest diameter, outline and diameters drawn.

The plane is seen as radiologists see it: the patient's left on the right, the front up. A picture is drawn and kept as
a PNG of some kilobytes without colour: 64 greys in 4 steps towards one. Who shows it gives it the lesion's
(``coloured``, ``picture_of``).
"""

import io
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from contourpy import contour_generator
from highdicom import Volume
from PIL import Image, ImageDraw
from scipy import ndimage

from imaging.volume import Series
from rano.lesion import Chord, Lesion
from results.common import LabelMap
from results.palette import Colour, rgb

SIZE = 192
"""Rows and columns of a picture."""
FIELD_MM = 80.0
"""What a picture shows at least, from edge to edge."""
DIAMETERS = 2.0
"""It also shows at least so many times the lesion's diameter."""

Floats = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]
"""Red, green and blue, shape (SIZE, SIZE, 3)."""

_GREYS, _STEPS = 64, 4
_FINER = 4  # lines are drawn so much finer, and then reduced
_OUTLINE, _DIAMETER = 6, 4  # widths of the lines, in these finer pixels
_WINDOW = (1.0, 99.8)  # percentiles of the series that are black and, at least, white


def key_images(series: Series, label_map: LabelMap, lesions: Sequence[Lesion]) -> dict[int, bytes]:
    """Draw every lesion, as yet without colour.

    Parameters
    ----------
    series
        The series it was measured in.
    label_map
        Shape (slice, row, column) of the series' volume; 0 background, n = lesion n.
    lesions
        Of the label map, in any order.

    Returns
    -------
    dict
        Label -> PNG.
    """
    return {label: _png(Image.fromarray(indices)) for label, indices in _draw(series.volume, label_map, lesions)}


def coloured(png: bytes, number: int) -> bytes:
    """Give a picture that ``key_images`` has drawn (PNG), outline and diameters in the colour of lesion ``number``."""
    image = Image.fromarray(_indices(png), "P")
    image.putpalette(_palette(rgb(number)).tobytes())
    return _png(image)


def picture_of(png: bytes, number: int) -> Picture:
    """Give the same as an array."""
    return _palette(rgb(number))[_indices(png)]


def _indices(png: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image)  # of one that was kept with a palette, too


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _palette(colour: Colour) -> npt.NDArray[np.uint8]:
    """Give the colour of each index, shape (256, 3): the greys, then the greys with ever more of the colour."""
    greys = np.linspace(0, 255, _GREYS)[None, :, None]
    share = np.linspace(0, 1, _STEPS)[:, None, None]
    colours: Picture = np.rint((1 - share) * greys + share * np.array(colour)).astype(np.uint8)
    return colours.reshape(-1, 3)


def _draw(
    volume: Volume, label_map: LabelMap, lesions: Sequence[Lesion]
) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Give each lesion's label, and its picture as indices of the palette."""
    if not lesions:
        return
    black, white = np.percentile(volume.array[::3, ::3, ::3], _WINDOW)
    white = max(white, float(np.median(volume.array[label_map > 0])))  # where nothing else is as bright as lesions
    boxes = ndimage.find_objects(label_map)
    for lesion in lesions:
        label = lesion.measurement.label
        plane = _Plane(lesion, volume.affine)
        grey = plane.section(volume.array, (0, 0, 0))
        grey = np.clip((grey - black) / max(white - black, 1e-6), 0, 1) * (_GREYS - 1)
        box = boxes[label - 1]
        inside = plane.section((label_map[box] == label).astype(np.float32), [span.start for span in box])
        ink = np.rint(plane.lines(inside) * (_STEPS - 1))
        yield label, (np.rint(grey) + _GREYS * ink).astype(np.uint8)


class _Plane:
    """The plane in which a lesion was measured, and the square of it that is shown."""

    def __init__(self, lesion: Lesion, affine: Floats) -> None:
        m = lesion.measurement
        self.chords: tuple[Chord, ...] = (m.longest, m.perpendicular)
        self.to_index = np.linalg.inv(affine)
        normal = np.array([0.0, 0.0, 1.0])
        if m.plane == "acquired":
            normal = np.cross(affine[:3, 1], affine[:3, 2])
            normal *= np.copysign(1 / np.linalg.norm(normal), normal[2])
        right = np.array([1.0, 0.0, 0.0]) - normal[0] * normal
        self.right = right / np.linalg.norm(right)
        self.down = np.cross(normal, self.right)
        self.pixel_mm = max(FIELD_MM, DIAMETERS * m.diameter_3d_mm) / SIZE
        self.centre = np.mean([m.longest.start_lps_mm, m.longest.end_lps_mm], axis=0)

    def section(self, array: npt.NDArray[np.floating], first: Sequence[int]) -> Floats:
        """Give the values of a box of voxels on the square; ``first`` is the index of the box's first voxel."""
        offsets = (np.arange(SIZE) - (SIZE - 1) / 2) * self.pixel_mm
        points = self.centre + offsets[:, None, None] * self.down + offsets[:, None] * self.right
        index = points @ self.to_index[:3, :3].T + self.to_index[:3, 3] - np.asarray(first)
        # Nothing around the box, not beyond its outermost centres: a lesion in the first or last slice lies on these.
        mode = "grid-constant"
        return np.asarray(ndimage.map_coordinates(array, np.moveaxis(index, -1, 0), np.float64, order=1, mode=mode))

    def lines(self, inside: Floats) -> Floats:
        """Give how much of each pixel the outline and the diameters cover, 0 to 1."""
        image = Image.new("L", (_FINER * SIZE, _FINER * SIZE))
        pen = ImageDraw.Draw(image)
        for outline in contour_generator(z=inside).lines(0.5):
            pen.line(_finer(np.asarray(outline)), 255, _OUTLINE, "curve")
        for chord in self.chords:
            ends = np.array([chord.start_lps_mm, chord.end_lps_mm]) - self.centre
            pen.line(
                _finer(ends @ np.column_stack([self.right, self.down]) / self.pixel_mm + (SIZE - 1) / 2), 255, _DIAMETER
            )
        return np.asarray(image.reduce(_FINER), np.float64) / 255


def _finer(points: Floats) -> list[tuple[float, float]]:
    """Give points (column, row), 0-based, as (x, y) of the finer pixels."""
    return [(x, y) for x, y in ((points + 0.5) * _FINER - 0.5).tolist()]
