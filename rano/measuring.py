"""From a label map to what RANO-BM wants of each lesion: diameters, volume, and whether it is measurable.

The longest diameter is the largest distance between two points of the lesion within one axial plane of the patient,
over all axial planes; a lesion cut into islands by the plane is measured across them. The perpendicular is the longest
line at 90 degrees to it, in the same plane, that stays within one outer outline: it may cross a core that the mask
leaves out, but not healthy tissue in the bay of a crescent. Where a lesion ends is decided in ``outline``.

How true it is, on 400 digital reference objects (``tests/reference_objects.py``) of 3-38 mm and at least two and a
half slices thick, turned at random, in voxels of 0.5-1 x 0.5-1 x 1-3 mm of axial, sagittal, coronal and oblique series:

==================  ======================  ====================  ======================  ===================
measured from       longest diameter error  mean per orientation  worst case             volume error, 10 mm up
                    (mean, s)               (of series)           (of voxel diagonal)    (mean, worst)
==================  ======================  ====================  ======================  ===================
partial volumes     -0.01 mm, 0.19 mm       -0.09 to +0.08 mm     0.27                   0.0 %, 0.3 %
the mask alone      -0.09 mm, 0.37 mm       -0.25 to +0.10 mm     0.60 (2 of 400 > 0.5)  -0.8 %, 9.5 %
==================  ======================  ====================  ======================  ===================

A lesion thinner than that may be off by a whole voxel diagonal. The voxels of a mask can't tell a volume better than
their size allows: a ball of 10 mm in slices of 3 mm is up to 7 % off by where the slices happen to lie.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from rano.calipers import longest_chord, longest_diameter, longest_distance
from rano.confidence import confidence
from rano.lesion import Chord, Measurement, Point
from rano.outline import LEVEL, MARGIN, from_mask, from_probability, outlines, surface_points

Floats = npt.NDArray[np.float64]

AXIAL_WITHIN_DEGREES = 5.0
"""Acquired slices tilted no more than this against the patient's axial plane are measured as they are."""

MINIMUM_LONGEST_MM = 10.0
MINIMUM_SLICE_DISTANCES = 2
"""Of the distance between slices, gaps included: that long is the longest diameter at least. Above 5 mm that is more
than 10 mm (Lin et al., Lancet Oncol 2015;16:e270-8)."""
MINIMUM_PERPENDICULAR_MM = 5.0
MINIMUM_SLICES = 2


def measure(
    label_map: npt.NDArray[np.integer],
    affine: npt.NDArray[np.floating],
    probability: npt.NDArray[np.floating] | None = None,
) -> list[Measurement]:
    """Measure every lesion of a label map.

    Parameters
    ----------
    label_map
        Shape (slices, rows, columns), 0 background, n = lesion n.
    affine
        4x4, index (slice, row, column) to patient LPS in mm; its axes at right angles.
    probability
        The same shape, 0 to 1: how likely each voxel is lesion, the label map's border being where it is 0.5. Without
        it the mask alone is measured.

    Returns
    -------
    list of Measurement
        In the order of the labels.

    Raises
    ------
    ValueError
        When the arrays' shapes differ or are not three-dimensional.
    """
    if label_map.ndim != 3 or (probability is not None and probability.shape != label_map.shape):
        shapes = f"{label_map.shape} and {None if probability is None else probability.shape}"
        raise ValueError(f"a label map and its probability map must be volumes of one shape, not {shapes}")
    index_to_lps: Floats = np.array(affine, np.float64)
    return [
        _measure_lesion(label, box, label_map, index_to_lps, probability)
        for label, box in enumerate(ndimage.find_objects(label_map), start=1)
        if box is not None
    ]


def _measure_lesion(
    label: int,
    box: tuple[slice, ...],
    label_map: npt.NDArray[np.integer],
    affine: Floats,
    probability: npt.NDArray[np.floating] | None,
) -> Measurement:
    # One voxel of nothing all around: a lesion at the volume's edge ends there.
    crop = tuple(slice(max(span.start - MARGIN, 0), span.stop + MARGIN) for span in box)
    labels = label_map[crop]
    to_lps = affine @ _translation([span.start - 1 for span in crop])
    if probability is None:
        inside = np.pad(labels == label, 1)
        share = inside.astype(np.float64)
        full = from_mask(inside, np.linalg.norm(affine[:3, :3], axis=0))
    else:
        share = full = np.pad(from_probability(labels, label, probability[crop]), 1)

    centroid = _transform(to_lps, np.array(ndimage.center_of_mass(share)))
    acquired = _is_axial(affine)
    axial, axial_to_lps = (full, to_lps) if acquired else _reformat(full, to_lps)
    longest, perpendicular = _chords(axial, axial_to_lps, centroid)

    first_slice, last_slice = box[0].start, box[0].stop - 1
    middle = np.mean([longest.start_lps_mm, longest.end_lps_mm], axis=0)
    nearest = round(float(_transform(np.linalg.inv(affine), middle)[0]))
    # Reformatting adds planes but no evidence: a lesion on one sagittal slice has been seen once.
    visible = min(last_slice - first_slice + 1, int((axial > LEVEL).any(axis=(1, 2)).sum()))
    # The acquired slices, also where the axial planes were resampled: these are no sharper than what they come from.
    apart = float(np.linalg.norm(affine[:3, 0]))
    measurable, reason = _judge(longest.length_mm, perpendicular.length_mm, visible, apart)
    sure = None if probability is None else confidence(probability[crop][labels == label])
    return Measurement(
        label=label,
        volume_mm3=float(share.sum() * abs(np.linalg.det(affine[:3, :3]))),
        longest=longest,
        perpendicular=perpendicular,
        diameter_3d_mm=max(longest_distance(_transform(to_lps, surface_points(full))), longest.length_mm),
        centroid_lps_mm=_point(centroid),
        first_slice=first_slice,
        last_slice=last_slice,
        measured_slice=min(max(nearest, first_slice), last_slice),
        plane="acquired" if acquired else "reformatted",
        measurable=measurable,
        reason=reason,
        confidence=sure,
    )


def _is_axial(affine: Floats) -> bool:
    normal = np.cross(affine[:3, 1], affine[:3, 2])
    return bool(abs(normal[2]) >= math.cos(math.radians(AXIAL_WITHIN_DEGREES)) * np.linalg.norm(normal))


def _reformat(full: Floats, to_lps: Floats) -> tuple[Floats, Floats]:
    """Resample a lesion's box to the patient's axial planes, isotropic at the finest acquired spacing."""
    spacing = np.linalg.norm(to_lps[:3, :3], axis=0).min()
    corners = _transform(to_lps, np.argwhere(np.ones((2, 2, 2))) * (np.array(full.shape) - 1))
    # The grid passes through the fullest voxel's centre, so that it can't miss a lesion of one voxel.
    fullest = _transform(to_lps, np.array(np.unravel_index(np.argmax(full), full.shape)))
    before = np.ceil((fullest - corners.min(axis=0)) / spacing) + 1
    after = np.ceil((corners.max(axis=0) - fullest) / spacing) + 1
    axial_to_lps = np.eye(4)
    axial_to_lps[:3, :3] = np.eye(3)[::-1] * spacing  # index (slice, row, column) runs along (z, y, x)
    axial_to_lps[:3, 3] = fullest - before * spacing
    shape = tuple((before + after + 1)[::-1].astype(int).tolist())
    resampled = ndimage.affine_transform(full, np.linalg.inv(to_lps) @ axial_to_lps, output_shape=shape, order=1)
    return resampled, axial_to_lps


def _chords(axial: Floats, to_lps: Floats, centroid: Floats) -> tuple[Chord, Chord]:
    """Return the longest diameter over a stack of axial planes and its perpendicular.

    Of planes with the same diameter, to the micrometre, the one nearest to the centroid is taken.
    """
    spacing = np.linalg.norm(to_lps[:3, 1:3], axis=0)
    central = _transform(np.linalg.inv(to_lps), centroid)[0]

    def polygons(plane: int) -> list[Floats]:
        return [polygon * spacing for polygon in outlines(axial[plane])]

    def in_lps(plane: int, start: Floats, end: Floats) -> Chord:
        ends = _transform(to_lps, np.column_stack([[plane, plane], np.array([start, end]) / spacing]))
        return Chord(float(np.linalg.norm(end - start)), _point(ends[0]), _point(ends[1]))

    planes = np.flatnonzero((axial > LEVEL).any(axis=(1, 2))).tolist()
    diameters = {plane: longest_diameter(np.concatenate(polygons(plane))) for plane in planes}

    def rank(plane: int) -> tuple[float, float]:
        start, end = diameters[plane]
        return round(float(np.linalg.norm(end - start)), 3), -abs(plane - central)

    widest = max(diameters, key=rank)
    start, end = diameters[widest]
    direction = np.array([start[1] - end[1], end[0] - start[0]])
    across = [in_lps(widest, *longest_chord(polygon, direction)) for polygon in polygons(widest)]
    return in_lps(widest, start, end), max(across, key=lambda chord: chord.length_mm)


def _judge(longest_mm: float, perpendicular_mm: float, slices: int, apart_mm: float) -> tuple[bool, str]:
    """Say whether RANO-BM calls a lesion measurable, and why; lengths count to 0.01 mm, as they are printed.

    Parameters
    ----------
    longest_mm, perpendicular_mm
        The diameters.
    slices
        On how many the lesion is visible.
    apart_mm
        From the middle of one slice to that of the next: the thickness, and the gap if there is one.
    """
    apart = round(apart_mm, 2)
    least_longest = max(MINIMUM_LONGEST_MM, round(MINIMUM_SLICE_DISTANCES * apart, 2))
    longest_words = f"{least_longest:g} mm"
    if least_longest > MINIMUM_LONGEST_MM:
        longest_words += f", {MINIMUM_SLICE_DISTANCES} x the {apart:g} mm between slices"
    checks = [
        ("longest diameter", round(longest_mm, 2), least_longest, longest_words),
        ("perpendicular", round(perpendicular_mm, 2), MINIMUM_PERPENDICULAR_MM, f"{MINIMUM_PERPENDICULAR_MM:g} mm"),
    ]
    failed = [f"{name} {value:.2f} mm is below {words}" for name, value, least, words in checks if value < least]
    if slices < MINIMUM_SLICES:
        failed.append(f"visible on {slices} slice, fewer than {MINIMUM_SLICES}")
    if failed:
        return False, "Not measurable: " + "; ".join(failed) + "."
    met = [f"{name} {value:.2f} mm (at least {words})" for name, value, _, words in checks]
    return True, "Measurable: " + ", ".join([*met, f"visible on {slices} slices (at least {MINIMUM_SLICES})"]) + "."


def _translation(offset: Sequence[float]) -> Floats:
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    return matrix


def _transform(matrix: npt.NDArray[np.floating], points: npt.NDArray[np.floating]) -> Floats:
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def _point(position: Floats) -> Point:
    x, y, z = position.tolist()
    return x, y, z
