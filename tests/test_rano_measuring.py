"""Measurements of digital reference objects, against the truth by formula.

Objects of every kind, at least two and a half slices thick, turned at random, in voxels of 0.5-1 x 0.5-1 x 1-3 mm of
axial, sagittal, coronal and oblique series; each from its partial volumes as a probability map, and from the mask.
"""

import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rano.confidence import confidence
from rano.lesion import Measurement
from rano.measuring import measure
from tests.reference_objects import (
    ReferenceObject,
    ellipsoid,
    grid,
    occupancy,
    ring,
    sphere,
    touching_spheres,
    tube,
)

# Directions of the slice, row and column axes (columns of each matrix), in LPS.
AXIAL = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], float)
SAGITTAL = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)
CORONAL = np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]], float)
ROUNDS = 4
ISOTROPIC = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Case:
    orientation: str
    truth: ReferenceObject
    spacing: tuple[float, float, float]
    measured: Measurement

    @property
    def half_diagonal(self) -> float:
        return float(np.linalg.norm(self.spacing)) / 2

    @property
    def error(self) -> float:
        return self.measured.longest.length_mm - self.truth.longest_mm

    def __str__(self) -> str:
        spacing = " x ".join(f"{s:.2f}" for s in self.spacing)
        return f"{self.truth.name} in {spacing} mm, {self.orientation}"


def _objects(rng: np.random.Generator, slice_mm: float) -> list[ReferenceObject]:
    rotation = Rotation.random(rng=rng).as_matrix()
    thin = rng.uniform(2.5 * slice_mm, 2.5 * slice_mm + 8)
    length, width = thin * rng.uniform(1, 2, 2)
    return [
        sphere(thin),
        ellipsoid((length, width, thin), rotation),
        ring(thin + 2 * slice_mm + 6, thin),
        tube(thin * rng.uniform(1.5, 2.5), thin, rotation[:, 0]),
        touching_spheres(thin, thin * rng.uniform(1, 1.5), rotation[:, 0]),
    ]


def _cases(*, with_probability: bool) -> list[Case]:
    rng = np.random.default_rng(20)
    cases = []
    for _ in range(ROUNDS):
        frames = {
            "axial": Rotation.from_rotvec([0, 0, rng.uniform(0, 2 * np.pi)]).as_matrix() @ AXIAL,
            "sagittal": SAGITTAL,
            "coronal": CORONAL,
            "oblique": Rotation.random(rng=rng).as_matrix(),
        }
        for orientation, frame in frames.items():
            spacing = (rng.uniform(1, 3), rng.uniform(0.5, 1), rng.uniform(0.5, 1))
            for truth in _objects(rng, spacing[0]):
                shape, affine = grid(spacing, frame, rng.uniform(-0.5, 0.5, 3), truth.radius_mm)
                filled = occupancy(shape, affine, truth.contains)
                (measured,) = measure((filled >= 0.5).astype(np.int32), affine, filled if with_probability else None)
                cases.append(Case(orientation, truth, spacing, measured))
    return cases


@pytest.fixture(scope="module")
def partial_volumes() -> list[Case]:
    return _cases(with_probability=True)


@pytest.fixture(scope="module")
def masks() -> list[Case]:
    return _cases(with_probability=False)


@pytest.fixture(params=["partial_volumes", "masks"])
def cases(request) -> list[Case]:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(("cases", "allowed"), [("partial_volumes", 1), ("masks", 1.3)], indirect=["cases"])
def test_longest_diameter_is_within_half_a_voxel_diagonal_for_every_object(cases, allowed):
    """A mask alone comes a little less close; two balls that touch in a point are its worst."""
    wrong = [f"{c}: {c.error:+.2f} mm" for c in cases if abs(c.error) > allowed * c.half_diagonal]
    assert not wrong, "\n".join(wrong)


def test_perpendicular_is_within_half_a_voxel_diagonal_for_every_object(cases):
    known = [
        (c, c.measured.perpendicular.length_mm - c.truth.perpendicular_mm) for c in cases if c.truth.perpendicular_mm
    ]
    wrong = [f"{c}: {error:+.2f} mm" for c, error in known if abs(error) > c.half_diagonal]
    assert len(known) == 3 * len(cases) / 5
    assert not wrong, "\n".join(wrong)


def test_diameter_in_space_is_within_half_a_voxel_diagonal_for_every_object(cases):
    errors = [(c, c.measured.diameter_3d_mm - c.truth.diameter_3d_mm) for c in cases]
    wrong = [f"{c}: {error:+.2f} mm" for c, error in errors if abs(error) > c.half_diagonal]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("cases", "allowed"), [("partial_volumes", 0.25), ("masks", 0.4)], indirect=["cases"])
def test_diameters_are_not_biased_by_the_orientation(cases, allowed):
    errors = defaultdict(list)
    for case in cases:
        errors[case.orientation].append(case.error)
    means = {orientation: float(np.mean(values)) for orientation, values in errors.items()}
    shown = ", ".join(f"{orientation} {mean:+.3f} mm" for orientation, mean in means.items())
    assert max(map(abs, means.values())) < allowed, f"mean signed error: {shown}"
    assert max(means.values()) - min(means.values()) < allowed, f"mean signed error: {shown}"


@pytest.mark.parametrize(("cases", "allowed"), [("partial_volumes", 0.02), ("masks", 0.12)], indirect=["cases"])
def test_volume_of_objects_above_10_mm(cases, allowed):
    errors = [(c, c.measured.volume_mm3 / c.truth.volume_mm3 - 1) for c in cases if c.truth.longest_mm >= 10]
    wrong = [f"{c}: {error:+.1%}" for c, error in errors if abs(error) > allowed]
    mean = np.mean([error for _, error in errors])
    assert len(errors) > 40
    assert not wrong, f"mean signed error {mean:+.2%}\n" + "\n".join(wrong)
    assert abs(mean) < allowed / 4


def test_every_measurement_is_sound(cases):
    for case in cases:
        m, direction = case.measured, []
        for chord in (m.longest, m.perpendicular):
            start, end = np.array(chord.start_lps_mm), np.array(chord.end_lps_mm)
            assert np.linalg.norm(end - start) == pytest.approx(chord.length_mm), case
            assert start[2] == pytest.approx(end[2], abs=1e-9), f"{case}: not in an axial plane"
            direction.append(end - start)
        assert direction[0] @ direction[1] == pytest.approx(0, abs=1e-6), case
        assert m.perpendicular.length_mm <= m.longest.length_mm + 1e-6 <= m.diameter_3d_mm + 2e-6, case
        assert m.perpendicular.start_lps_mm[2] == pytest.approx(m.longest.start_lps_mm[2]), case
        assert m.first_slice <= m.measured_slice <= m.last_slice, case
        assert m.plane == ("acquired" if case.orientation == "axial" else "reformatted"), case
    symmetrical = [c for c in cases if "touching" not in c.truth.name]
    assert all(np.linalg.norm(c.measured.centroid_lps_mm) < 0.6 * c.half_diagonal for c in symmetrical)


@pytest.mark.parametrize("frame", [AXIAL, SAGITTAL, CORONAL], ids=["axial", "sagittal", "coronal"])
@pytest.mark.parametrize("probability", [False, True])
def test_one_voxel(frame, probability):
    spacing = (3.0, 0.6, 0.8)
    affine = np.eye(4)
    affine[:3, :3] = frame * spacing
    affine[:3, 3] = [10, -20, 30]
    labels = np.zeros((5, 6, 7), np.int16)
    labels[2, 3, 4] = 1
    (m,) = measure(labels, affine, labels.astype(np.float32) if probability else None)
    centre = (affine @ [2, 3, 4, 1])[:3]
    assert m.volume_mm3 == pytest.approx(3 * 0.6 * 0.8)
    assert m.centroid_lps_mm == pytest.approx(tuple(centre))
    # The diagonal of the voxel's axial face is the truth.
    face = [length for length, axis in zip(spacing, frame.T, strict=True) if not axis[2]]
    assert abs(m.longest.length_mm - np.linalg.norm(face)) <= np.linalg.norm(spacing) / 2
    assert (m.first_slice, m.last_slice, m.measured_slice) == (2, 2, 2)
    assert not m.measurable


def test_one_unlikely_voxel_in_an_oblique_series_is_still_measured():
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec([0.5, 0.4, 0.3]).as_matrix() @ AXIAL * [2.0, 0.7, 0.7]
    labels = np.zeros((3, 3, 3), int)
    labels[0, 0, 0] = 1
    for likely in (0.2, 0.5, 0.6):
        (m,) = measure(labels, affine, np.where(labels, likely, 0.1))
        assert 0 < m.longest.length_mm < 2


def test_a_box_on_the_voxel_grid_from_edge_to_edge_of_the_volume():
    """Along an axis a row of n voxels is n voxels long; the diagonal's ends are the middles of edges."""
    affine = np.eye(4)
    affine[:3, :3] = AXIAL * [2.0, 0.5, 1.0]
    (m,) = measure(np.ones((4, 20, 12), np.uint8), affine, np.ones((4, 20, 12)))
    assert m.volume_mm3 == pytest.approx(8 * 10 * 12)
    assert m.longest.length_mm == pytest.approx(np.hypot(9.5, 12), abs=0.6)
    assert m.longest.start_lps_mm[2] in (2, 4)  # of four equal slices one in the middle
    assert m.measured_slice in (1, 2)
    assert (m.first_slice, m.last_slice) == (0, 3)


@pytest.mark.parametrize("degrees", [0, 4.9, 5.1, 174.9, 175.1])
def test_slices_within_5_degrees_of_axial_are_measured_as_they_are(degrees):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec([np.radians(degrees), 0, 0]).as_matrix() @ AXIAL
    labels = np.zeros((9, 20, 20), int)
    labels[3:6, 5:15, 5:15] = 1
    (m,) = measure(labels, affine)
    assert m.plane == ("acquired" if min(degrees, 180 - degrees) < 5 else "reformatted")


def _slab(shape_mm: tuple[int, int, int]) -> Measurement:
    """Measure a box of 1 mm voxels from its partial volumes."""
    labels = np.pad(np.ones(shape_mm, int), 4)
    affine = np.eye(4)
    affine[:3, :3] = AXIAL
    (m,) = measure(labels, affine, labels.astype(np.float32))
    return m


@pytest.mark.parametrize(
    ("shape", "measurable", "words"),
    [
        ((2, 8, 8), True, r"Measurable: longest diameter 10\.\d\d mm \(at least 10 mm\), perpendicular 10\.\d\d mm"),
        ((2, 7, 7), False, r"Not measurable: longest diameter 9\.\d\d mm is below 10 mm\."),
        ((1, 8, 8), False, r"Not measurable: visible on 1 slice, fewer than 2\."),
        ((2, 4, 11), False, r"Not measurable: perpendicular 4\.\d\d mm is below 5 mm\."),
        ((1, 3, 4), False, r"longest diameter .* is below 10 mm; perpendicular .* is below 5 mm; visible on 1 slice"),
    ],
)
def test_measurable_and_why(shape, measurable, words):
    m = _slab(shape)
    assert m.measurable is measurable
    assert re.search(words, m.reason), m.reason


def _two_slices(length_mm: int, apart_mm: float) -> Measurement:
    """Measure a square block of 1 mm voxels, two slices thick."""
    labels = np.pad(np.ones((2, length_mm, length_mm), int), 4)
    affine = np.eye(4)
    affine[:3, :3] = AXIAL * [apart_mm, 1.0, 1.0]
    (m,) = measure(labels, affine, labels.astype(np.float32))
    return m


@pytest.mark.parametrize(
    ("length", "apart", "measurable", "words"),
    [
        # Diameters of 10.6 mm and 13.5 mm, and more.
        (8, 3.0, True, r"10\.\d\d mm \(at least 10 mm\), perpendicular"),
        (8, 5.0, True, r"10\.\d\d mm \(at least 10 mm\), perpendicular"),
        (8, 5.0000004, True, r"10\.\d\d mm \(at least 10 mm\), perpendicular"),  # 5 mm, from rounded positions
        (
            8,
            5.5,
            False,
            r"Not measurable: longest diameter 10\.\d\d mm is below 11 mm, 2 x the 5\.5 mm between slices\.",
        ),
        (10, 7.0, False, r"longest diameter 13\.\d\d mm is below 14 mm, 2 x the 7 mm between slices\."),
        (
            11,
            7.0,
            True,
            r"\(at least 14 mm, 2 x the 7 mm between slices\), perpendicular 1\d\.\d\d mm \(at least 5 mm\)",
        ),
    ],
)
def test_in_slices_more_than_5_mm_apart_twice_their_distance_is_measurable(length, apart, measurable, words):
    m = _two_slices(length, apart)
    assert m.measurable is measurable
    assert re.search(words, m.reason), m.reason


def test_thick_sagittal_slices_are_no_thinner_for_being_resampled_to_axial_planes():
    labels = np.pad(np.ones((2, 11, 9), int), 4)
    affine = np.eye(4)
    affine[:3, :3] = SAGITTAL * [8.0, 1.0, 1.0]
    (m,) = measure(labels, affine, labels.astype(np.float32))
    assert m.plane == "reformatted"
    assert "16 mm, 2 x the 8 mm between slices" in m.reason


def test_a_row_of_ten_voxels_of_1_mm_is_10_mm_in_spite_of_rounding():
    """A plus sign of 10 x 10 voxels: from corner to corner of two opposite ends."""
    labels = np.zeros((4, 20, 20), int)
    labels[1:3, 5:15, 9:11] = labels[1:3, 9:11, 5:15] = 1
    affine = np.eye(4)
    affine[:3, :3] = AXIAL
    affine[:3, 3] = [0.1, 0.2, 0.3]
    (m,) = measure(labels, affine, labels.astype(np.float32))
    assert m.longest.length_mm == pytest.approx(np.hypot(10, 1), abs=1e-6)
    assert m.measurable


@pytest.mark.parametrize(
    ("row_mm", "column_mm", "failed"),
    [
        (1.0, 1.0, ""),
        (0.9996, 0.9992, ""),  # 9.996 mm and 4.996 mm are printed as 10.00 and 5.00
        (0.999, 1.0, "Not measurable: longest diameter 9.99 mm is below 10 mm."),
        (1.0, 0.998, "Not measurable: perpendicular 4.99 mm is below 5 mm."),
    ],
)
def test_diameters_of_just_what_is_wanted_are_enough(row_mm, column_mm, failed):
    """A cross with arms one voxel wide, 10 rows by 5 columns: its diameters run along them."""
    labels = np.zeros((4, 20, 20), int)
    labels[1:3, 5:15, 9] = labels[1:3, 9, 7:12] = 1
    affine = np.eye(4)
    affine[:3, :3] = AXIAL * [1.0, row_mm, column_mm]
    (m,) = measure(labels, affine, labels.astype(np.float32))
    assert m.measurable is not bool(failed)
    assert m.reason.endswith(failed), m.reason


@pytest.mark.parametrize("frame", [SAGITTAL, CORONAL, Rotation.from_rotvec([0.5, 0.4, 0.3]).as_matrix() @ AXIAL])
def test_a_lesion_that_fills_its_volume_is_measured_to_its_corners(frame):
    """As with room around it: the planes that are resampled reach to where it ends."""
    affine = np.eye(4)
    affine[:3, :3] = frame * [2.0, 0.5, 0.5]
    block = np.ones((1, 20, 24))
    (filling,), (amid,) = (measure(one.astype(int), affine, one) for one in (block, np.pad(block, 5)))
    assert filling.longest.length_mm == pytest.approx(amid.longest.length_mm, abs=1e-6)
    assert filling.diameter_3d_mm == pytest.approx(amid.diameter_3d_mm, abs=1e-6)


def test_a_lesion_seen_on_one_sagittal_slice_is_not_measurable_however_large():
    affine = np.eye(4)
    affine[:3, :3] = SAGITTAL * [8.0, 0.5, 0.5]
    labels = np.zeros((5, 60, 60), int)
    labels[2, 15:45, 15:45] = 1
    (m,) = measure(labels, affine)
    assert m.longest.length_mm > 10
    assert "visible on 1 slice" in m.reason


def test_a_lesion_in_one_axial_plane_is_not_measurable_on_however_many_sagittal_slices():
    affine = np.eye(4)
    affine[:3, :3] = SAGITTAL
    labels = np.zeros((30, 30, 30), int)
    labels[5:20, 10, 5:20] = 1
    (m,) = measure(labels, affine)
    assert m.longest.length_mm > 10
    assert "visible on 1 slice" in m.reason


def test_a_ring_is_measured_from_rim_to_rim_but_its_core_has_no_volume():
    truth = ring(20, 12)
    shape, affine = grid(ISOTROPIC, AXIAL, np.zeros(3), truth.radius_mm)
    filled = occupancy(shape, affine, truth.contains)
    (m,) = measure((filled >= 0.5).astype(int), affine, filled)
    assert m.volume_mm3 == pytest.approx(truth.volume_mm3, rel=0.02)
    assert m.longest.length_mm == pytest.approx(20, abs=0.5)
    assert m.perpendicular.length_mm == pytest.approx(20, abs=0.5)


def test_the_perpendicular_of_a_crescent_does_not_cross_its_bay():
    labels = np.zeros((4, 40, 40), int)
    row, column = np.mgrid[:40, :40]
    radius = np.hypot(row - 2, column - 20)
    labels[1:3, (radius < 17) & (radius > 13) & (row > 2)] = 1
    affine = np.eye(4)
    affine[:3, :3] = AXIAL
    (m,) = measure(labels, affine, labels.astype(float))
    assert m.longest.length_mm == pytest.approx(33, abs=1.5)
    assert m.perpendicular.length_mm < 13  # the hull is 15 mm deep


def test_islands_of_one_lesion_in_a_plane_are_measured_together():
    """A U standing upright: its arms meet only in the lowest slice."""
    labels = np.zeros((8, 30, 30), int)
    labels[1:7, 10:14, 5:9] = labels[1:7, 10:14, 21:25] = labels[1, 10:14, 5:25] = 1
    affine = np.eye(4)
    affine[:3, :3] = AXIAL
    (m,) = measure(labels, affine, labels.astype(float))
    assert m.longest.length_mm == pytest.approx(np.hypot(20, 3), abs=0.1)


def test_the_perpendicular_is_the_longest_of_all_islands():
    """A small island and a large one, joined by a bridge in the plane below."""
    labels = np.zeros((4, 30, 30), int)
    labels[1, 13:17, 5:9] = labels[1, 10:20, 15:19] = labels[2, 14:16, 7:17] = 1
    affine = np.eye(4)
    affine[:3, :3] = AXIAL
    (m,) = measure(labels, affine, labels.astype(float))
    assert m.longest.length_mm > 14
    assert m.perpendicular.length_mm > 8


def test_lesions_that_touch_are_measured_as_if_the_other_were_not_there():
    """Two halves of one block: neither takes volume or length from the other, and none is lost between them."""
    labels = np.zeros((8, 12, 30), int)
    labels[2:6, 3:9, 5:15] = 1
    labels[2:6, 3:9, 15:25] = 2
    affine = np.eye(4)
    affine[:3, :3] = AXIAL
    probability = np.where(labels, 0.9, 0.05)
    first, second = measure(labels, affine, probability)
    assert first.volume_mm3 == pytest.approx(second.volume_mm3)
    for lesion, label in ((first, 1), (second, 2)):
        (alone,) = measure((labels == label).astype(int), affine, np.where(labels == label, 0.9, 0.05))
        assert abs(lesion.longest.length_mm - alone.longest.length_mm) < 0.1
    # A background voxel that both border on is shared, so that the sum is that of the whole.
    gap = labels.copy()
    gap[:, :, 14:16] = 0
    gap[2:6, 3:9, 15] = 2
    between = np.where(gap, 1.0, 0.0)
    between[2:6, 3:9, 14] = 0.4
    left, right = measure(gap, affine, between)
    assert left.volume_mm3 + right.volume_mm3 == pytest.approx(between.sum())
    assert measure((gap == 1).astype(int), affine)[0].longest.length_mm < 12


def test_a_faint_lesion_is_not_smaller_for_being_faint():
    labels = np.pad(np.ones((10, 10, 10), int), 4)
    affine = np.eye(4)
    (clear,) = measure(labels, affine, labels * 1.0)
    (faint,) = measure(labels, affine, labels * 0.7 + (labels == 0) * 0.3)
    assert faint.volume_mm3 == pytest.approx(clear.volume_mm3, rel=0.1)
    assert faint.longest.length_mm == pytest.approx(clear.longest.length_mm, abs=0.5)


def test_terraces_of_thick_sagittal_slices_are_smoothed_as_far_as_they_are_wide():
    """A ball's mask: as it is 2 mm too long on average, smoothed 0.7 mm; further would eat into the ball."""
    truth, errors = sphere(20), []
    for beside in np.linspace(-0.4, 0.4, 5):
        shape, affine = grid((3.0, 0.7, 0.7), SAGITTAL, np.array([beside, beside / 2, 0]), truth.radius_mm)
        index = np.moveaxis(np.indices(shape), 0, -1)
        (m,) = measure(truth.contains(index @ affine[:3, :3].T + affine[:3, 3]).astype(int), affine)
        errors.append(m.longest.length_mm - truth.longest_mm)
    assert np.mean(errors) == pytest.approx(0.72, abs=0.1)


def test_of_a_faint_lesion_that_the_volume_cuts_in_half_half_is_measured():
    labels = np.pad(np.ones((10, 10, 10), int), 4)
    probability = np.where(labels, 0.7, 0.3)
    (whole,) = measure(labels, np.eye(4), probability)
    for half in (np.s_[9:], np.s_[:9], np.s_[:, 9:], np.s_[:, :, :9]):
        (cut,) = measure(labels[half], np.eye(4), probability[half])
        assert cut.volume_mm3 == pytest.approx(whole.volume_mm3 / 2)


def test_each_lesion_is_as_sure_as_its_own_voxels():
    labels = np.zeros((6, 10, 10), int)
    labels[1:3, 1:4, 1:4], labels[4, 6:9, 6:9] = 1, 2
    probability = np.choose(labels, [0.25, 0.875, 0.625])
    first, second = measure(labels, np.eye(4), probability)
    assert first.confidence == confidence(np.array([0.875]))
    assert second.confidence == confidence(np.array([0.625]))
    assert all(m.confidence is None for m in measure(labels, np.eye(4)))


def test_labels_are_kept_in_order_and_may_have_gaps():
    labels = np.zeros((6, 10, 10), np.uint16)
    labels[1:3, 1:3, 1:3] = 5
    labels[4, 6:9, 6:9] = 2
    assert [m.label for m in measure(labels, np.eye(4))] == [2, 5]
    assert measure(np.zeros((3, 3, 3), int), np.eye(4)) == []


def test_a_reversed_or_left_handed_grid_gives_the_same_lesion():
    truth = ellipsoid((14.0, 9.0, 7.0), Rotation.from_rotvec([0.3, 0.8, 0.2]).as_matrix())
    shape, affine = grid((1.5, 0.7, 0.9), AXIAL, np.array([0.2, 0.1, -0.3]), truth.radius_mm)
    filled = occupancy(shape, affine, truth.contains)
    (one,) = measure((filled >= 0.5).astype(int), affine, filled)
    flipped = affine.copy()
    flipped[:3, 0] *= -1
    flipped[:3, 3] += affine[:3, 0] * (shape[0] - 1)
    (other,) = measure((filled[::-1] >= 0.5).astype(int), flipped, filled[::-1])
    assert other.longest.length_mm == pytest.approx(one.longest.length_mm)
    ends = [sorted([m.longest.start_lps_mm, m.longest.end_lps_mm]) for m in (one, other)]
    assert np.allclose(ends[0], ends[1])
    assert other.volume_mm3 == pytest.approx(one.volume_mm3)
    assert other.measured_slice == shape[0] - 1 - one.measured_slice


@pytest.mark.parametrize("shapes", [((4, 4), None), ((4, 4, 4), (4, 4, 5))])
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match="volumes of one shape"):
        measure(np.zeros(shapes[0], int), np.eye(4), None if shapes[1] is None else np.zeros(shapes[1]))
