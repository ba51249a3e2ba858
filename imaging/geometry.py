"""From planes in any order to one regular stack, or a refusal that names the numbers.

Tolerances, chosen so that what scanners and archives round passes and what moves a lesion does not:

* one orientation: direction cosines within 0.001 (0.06 degrees, the tolerance of the OHIF viewer);
* two slices are at one position when less than 0.02 mm apart along the normal;
* each gap is within 0.035 mm or 1 % of the usual one (positions rounded to 0.01 mm in three coordinates may be
  0.035 mm off), and no slice is further than 0.1 mm or 5 % of a gap from where an even spacing would have it;
* no tilt: slices shift sideways by at most 0.05 mm plus 0.2 % of their distance (0.1 degrees);
* pixel spacing alike within 0.1 %;
* echo time, inversion time and b-value alike within 1 %.

Limits, for a few kilobytes can announce any number of voxels, and any distance between them:

* 600 million voxels: 2.4 GB as float32, of which there are several copies; a head in voxels of 0.3 mm has 210 million;
* 0.6 cubic metres, as many voxels on a network's grid of 1 mm: a whole body of 2 m x 0.55 m x 0.55 m;
* 2.5 m along each axis.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence

import highdicom as hd
import numpy as np

from imaging import errors
from imaging.planes import Plane

ORIENTATION_TOLERANCE = 1e-3
DUPLICATE_MM = 0.02
GAP_TOLERANCE_MM, GAP_TOLERANCE_RELATIVE = 0.035, 0.01
GRID_TOLERANCE_MM, GRID_TOLERANCE_RELATIVE = 0.1, 0.05
TILT_TOLERANCE_MM, TILT_TOLERANCE_RELATIVE = 0.05, 0.002
PIXEL_SPACING_TOLERANCE_RELATIVE = 1e-3
CONTRAST_TOLERANCE_RELATIVE = 0.01
MINIMUM_SLICES = 3
LARGEST, LONGEST_MM = 600_000_000, 2500.0
"""Voxels, or cubic millimetres; and along each axis."""


def arrange(planes: Sequence[Plane]) -> tuple[list[Plane], hd.VolumeGeometry]:
    """Sort planes along their normal and return them with their geometry.

    Parameters
    ----------
    planes
        In any order.

    Returns
    -------
    list of Plane, hd.VolumeGeometry
        Axis 0 goes along the normal in highdicom's direction, so that (slice, row, column) is right-handed: the
        slices of an axial head run from head to feet. Affine: 0-based index to patient LPS in mm.

    Raises
    ------
    GeometryError
        One of its kinds, when the planes are not one regular volume.
    """
    frame_of_reference = _one_frame_of_reference(planes)
    right, down = _one_orientation(planes)
    rows, columns, pixel_spacing = _one_matrix(planes)
    if len(planes) < MINIMUM_SLICES:
        raise errors.TooFewSlicesError(
            f"{len(planes)} slice(s) of {pixel_spacing[0] * rows:.0f} x {pixel_spacing[1] * columns:.0f} mm: a volume "
            f"needs at least {MINIMUM_SLICES}. Choose a series that covers the head."
        )
    normal = hd.spatial.get_normal_vector((*right, *down), index_convention="DR")
    heights = np.array([plane.position @ normal for plane in planes])
    order = np.argsort(heights, kind="stable")
    stack = [planes[k] for k in order]
    spacing = _one_spacing(stack, heights[order])
    _no_tilt(stack, normal)
    _one_contrast(stack)
    geometry = hd.VolumeGeometry.from_attributes(
        image_position=stack[0].position.tolist(),
        image_orientation=[*right, *down],
        rows=rows,
        columns=columns,
        pixel_spacing=pixel_spacing.tolist(),
        spacing_between_slices=spacing,
        number_of_frames=len(stack),
        coordinate_system="PATIENT",
        frame_of_reference_uid=frame_of_reference,
    )
    _no_giant(geometry)
    return stack, geometry


def _no_giant(geometry: hd.VolumeGeometry) -> None:
    slices, rows, columns = geometry.spatial_shape
    extent = [float(step) * number for step, number in zip(geometry.spacing, geometry.spatial_shape, strict=True)]
    if max(math.prod(geometry.spatial_shape), math.prod(extent)) > LARGEST or max(extent) > LONGEST_MM:
        raise errors.TooLargeError(
            f"{slices} slices of {rows} x {columns} pixels, {' x '.join(f'{one:.0f}' for one in extent)} mm: that is "
            f"more than a volume may have ({LARGEST / 1e6:.0f} million voxels, {LARGEST / 1e9:g} cubic metres, "
            f"{LONGEST_MM:.0f} mm along each axis). Choose a series of the head."
        )


def _one_matrix(planes: Sequence[Plane]) -> tuple[int, int, np.ndarray]:
    matrices = sorted({(int(plane.dataset.Rows), int(plane.dataset.Columns)) for plane in planes})
    if len(matrices) > 1:
        sizes = ", ".join(f"{rows} x {columns}" for rows, columns in matrices)
        raise errors.MixedMatrixError(
            f"Slices of {sizes} pixels are mixed in this series. Choose a series of one size."
        )
    spacings = np.array([plane.pixel_spacing for plane in planes])
    low, high = spacings.min(axis=0), spacings.max(axis=0)
    if (low <= 0).any():
        raise errors.NoGeometryError(f"A PixelSpacing of {low[0]:.3f} x {low[1]:.3f} mm is not possible.")
    if (high - low > PIXEL_SPACING_TOLERANCE_RELATIVE * low).any():
        raise errors.MixedMatrixError(
            f"Pixel spacings from {low[0]:.3f} x {low[1]:.3f} mm to {high[0]:.3f} x {high[1]:.3f} mm are mixed in this "
            "series. Choose a series of one pixel spacing."
        )
    return (*matrices[0], spacings[0])


def _one_frame_of_reference(planes: Sequence[Plane]) -> str:
    frames = {str(plane.dataset.get("FrameOfReferenceUID") or "") for plane in planes}
    if len(frames) > 1:
        span = np.ptp([plane.position for plane in planes], axis=0)
        raise errors.MixedFrameOfReferenceError(
            f"{len(frames)} frames of reference are mixed in this series ({len(planes)} slices over "
            f"{np.linalg.norm(span):.1f} mm): the patient may have moved in between. Send each one as its own series."
        )
    return frames.pop()


def _one_orientation(planes: Sequence[Plane]) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vectors along which the column index and the row index grow."""
    cosines = np.array([plane.orientation for plane in planes])
    worst = int(np.abs(cosines - cosines[0]).max(axis=1).argmax())
    if np.abs(cosines[worst] - cosines[0]).max() > ORIENTATION_TOLERANCE:
        header, spacing = planes[0].dataset, planes[0].pixel_spacing
        reach_mm = max(header.Rows * spacing[0], header.Columns * spacing[1]) / 2
        turn = max(_angle(cosines[worst, :3], cosines[0, :3]), _angle(cosines[worst, 3:], cosines[0, 3:]))
        raise errors.InconsistentOrientationError(
            f"The slices are not turned alike: {planes[worst].name} and {planes[0].name} differ by "
            f"{np.rad2deg(turn):.2f} degrees, {2 * reach_mm * np.sin(turn / 2):.1f} mm at the edge of a slice. "
            "Choose a series of one orientation (this may be a localizer)."
        )
    return cosines[0, :3], cosines[0, 3:]


def _one_spacing(stack: Sequence[Plane], heights: np.ndarray) -> float:
    gaps = np.diff(heights)
    if (gaps < DUPLICATE_MM).any():
        raise errors.DuplicateSliceError(_tell_duplicates(stack, heights, gaps))
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])  # the lower median: of two gaps, the one with no slice missing
    limit = max(GAP_TOLERANCE_MM, GAP_TOLERANCE_RELATIVE * usual)
    worst = int(np.abs(gaps - usual).argmax())
    between = f"between {stack[worst].name} and {stack[worst + 1].name} at {_place(stack[worst].position)}"
    if abs(gaps[worst] - usual) > limit:
        times = round(gaps[worst] / usual)
        if times >= 2 and abs(gaps[worst] - times * usual) <= max(limit, 0.1 * usual):
            lacking = int(sum(round(gap / usual) - 1 for gap in gaps))
            raise errors.MissingSliceError(
                f"A slice gap of {gaps[worst]:.2f} mm {between} (expected {usual:.2f} mm): {lacking} slice(s) missing. "
                "Send the whole series again."
            )
        raise errors.InconsistentSpacingError(
            f"A slice gap of {gaps[worst]:.2f} mm {between} (expected {usual:.2f} mm, gaps from {gaps.min():.2f} to "
            f"{gaps.max():.2f} mm). Choose a series of even spacing."
        )
    spacing = float(heights[-1] - heights[0]) / len(gaps)
    off = np.abs(heights - heights[0] - spacing * np.arange(len(heights)))
    if off.max() > max(GRID_TOLERANCE_MM, GRID_TOLERANCE_RELATIVE * spacing):
        raise errors.InconsistentSpacingError(
            f"The slice gaps drift from {gaps.min():.3f} to {gaps.max():.3f} mm: {stack[int(off.argmax())].name} lies "
            f"{off.max():.2f} mm off an even spacing of {spacing:.3f} mm. Choose a series of even spacing."
        )
    return spacing


def _tell_duplicates(stack: Sequence[Plane], heights: np.ndarray, gaps: np.ndarray) -> str:
    first = int((gaps < DUPLICATE_MM).argmax())
    one, other = stack[first], stack[first + 1]
    positions = 1 + int((gaps >= DUPLICATE_MM).sum())
    marks = one.marks()
    differing = [
        f"{key} ({marks[key]} and {value})" for key, value in other.marks().items() if marks.get(key, value) != value
    ]
    message = (
        f"{len(stack)} slices lie at only {positions} positions: {one.name} and {other.name} are both at "
        f"{_place(one.position)}, {gaps[first]:.3f} mm apart along {heights[-1] - heights[0]:.1f} mm."
    )
    if differing:
        message += f" They differ in {', '.join(differing[:3])}: {_MIXED}"
    return message + " Send each volume as its own series."


_MIXED = "several volumes (echoes, time points, diffusion weightings, or magnitude and phase) are mixed in this series."


def _one_contrast(stack: Sequence[Plane]) -> None:
    """Refuse a stack that the slices of two volumes make together: one could lie between those of the other."""
    contrasts = [plane.contrast() for plane in stack]
    for key in dict.fromkeys(key for contrast in contrasts for key in contrast):
        counts = Counter(contrast[key] for contrast in contrasts if key in contrast)
        if not _alike(counts):
            values = ", ".join(
                f"{value if isinstance(value, str) else format(value, 'g')} in {count} slices"
                for value, count in counts.most_common(4)
            )
            raise errors.MixedSeriesError(f"{key} is {values}: {_MIXED} Send each volume as its own series.")


def _alike(values: Collection[float | str]) -> bool:
    """Whether different values of one attribute differ by no more than rounding; words are never rounded."""
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        return len(values) == 1
    return max(numbers) - min(numbers) <= CONTRAST_TOLERANCE_RELATIVE * abs(max(numbers))


def _no_tilt(stack: Sequence[Plane], normal: np.ndarray) -> None:
    steps = np.array([plane.position - stack[0].position for plane in stack])
    along = steps @ normal
    sideways = np.linalg.norm(steps - np.outer(along, normal), axis=1)
    excess = sideways - (TILT_TOLERANCE_MM + TILT_TOLERANCE_RELATIVE * along)
    worst = int(excess.argmax())
    if excess[worst] > 0:
        raise errors.GantryTiltError(
            f"The slices shift sideways by {sideways[worst]:.2f} mm over {along[worst]:.2f} mm, a tilt of "
            f"{np.rad2deg(np.arctan2(sideways[worst], along[worst])):.1f} degrees: the stack is not a box. "
            "Choose a series without tilt, or resample it on the scanner."
        )


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.arccos(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1.0, 1.0)))


def _place(position: np.ndarray) -> str:
    return "({:.1f}, {:.1f}, {:.1f}) mm LPS".format(*position)
