"""Visits registered to each other: known motions found again, and what can't be registered said to be so."""

import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from scipy import ndimage
from scipy.spatial.transform import Rotation

from imaging.volume import read_series
from rano.reduced import HEAD_BYTES, ReducedVolume, average_blocks, grid_of, reduce_volume
from rano.registration import place, register
from rano.rigid import RigidTransform

HEAD = Path(__file__).parents[2] / "shared" / "data" / "structural-t1-dicom.tar.xz"
AXIAL = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


def grid(shape, spacing, centre):
    """An axial grid of (slice, row, column) around a point."""
    affine = AXIAL @ np.diag([*spacing, 1])
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def motion(degrees, shift, about, seed):
    rng = np.random.default_rng(seed)
    axis, direction = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(axis * np.radians(degrees)).as_matrix()
    matrix[:3, 3] = about + direction * shift - matrix[:3, :3] @ about
    return RigidTransform(matrix)


def rescanned(array, affine, moved, shape, spacing, noise, seed, about):
    """The same head after a motion, on another grid, with Rician noise of its own."""
    onto = grid(shape, spacing, moved.apply(about))
    to_index = np.linalg.inv(affine) @ moved.inverse().matrix @ onto
    image = ndimage.affine_transform(array, to_index, output_shape=shape, order=1)
    error = np.random.default_rng(seed).normal(0, noise, (2, *shape)).astype(np.float32)
    return reduce_volume(np.hypot(image + error[0], error[1]), onto)


def brain_points(centre):
    steps = np.stack(np.meshgrid(*[np.linspace(-1, 1, 15)] * 3), axis=-1).reshape(-1, 3)
    return steps[np.linalg.norm(steps, axis=1) <= 1] * [65, 80, 55] + centre


def errors(found, moved, points):
    return np.linalg.norm(found.apply(points) - moved.apply(points), axis=1)


@pytest.fixture(scope="module")
def phantom():
    """A head of 1.5 mm voxels: scalp, dark skull, a nose, and a brain of two tissues in folds."""
    shape = (110, 140, 110)
    affine = grid(shape, (1.5, 1.5, 1.5), [0, 0, 0])
    points = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    radius = np.linalg.norm(points / [70, 88, 75], axis=-1)
    nose = np.linalg.norm((points - [0, -90, -20]) / [12, 14, 20], axis=-1)
    folds = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=shape), 4)
    image = np.where((radius < 1) | (nose < 1), 150.0, 0)
    image[radius < 0.95] = 40
    image[radius < 0.9] = np.where(folds > 0, 180, 60)[radius < 0.9]
    return image.astype(np.float32), affine


@pytest.fixture(scope="module")
def head():
    if not HEAD.exists():
        pytest.skip(f"{HEAD} is not there")
    with tarfile.open(HEAD) as tar:
        files = [tar.extractfile(member) for member in tar if member.isfile() and member.name.endswith(".dcm")]
        volume = read_series([dcmread(BytesIO(file.read())) for file in files if file]).volume
    return volume.array, volume.affine


@pytest.mark.parametrize(("degrees", "shift"), [(15, 20), (25, 40)])
def test_a_known_motion_of_a_phantom_is_found(phantom, degrees, shift):
    array, affine = phantom
    moved = motion(degrees, shift, np.zeros(3), seed=degrees)
    later = rescanned(array, affine, moved, (90, 190, 190), (2.0, 1.0, 1.0), 10, 1, np.zeros(3))
    found = register(reduce_volume(array, affine), later)
    assert found.ok, found.reason
    assert errors(found.transform, moved, brain_points(np.zeros(3))).max() < 0.5
    assert found.edge_correlation > 0.8


@pytest.mark.parametrize("slices", [6, 8, 12])
def test_a_few_thick_slices_are_registered_to_the_whole_head(phantom, slices):
    array, affine = phantom
    moved = motion(5, 10, np.zeros(3), seed=1)
    slab = rescanned(array, affine, moved, (slices, 190, 190), (5.0, 1.2, 1.2), 10, 1, np.array([0, 0, 10.0]))
    found = register(slab, reduce_volume(array, affine))
    points = np.array([0, 0, 10.0]) + np.random.default_rng(0).uniform(-1, 1, (200, 3)) * [50, 65, 2.5 * slices]
    assert errors(found.transform, moved.inverse(), moved.apply(points)).max() < 1
    assert found.ok, found.reason
    assert found.overlap > 0.9


@pytest.mark.parametrize(("degrees", "shift", "spacing"), [(15, 20, (1.2, 1.0, 1.0)), (10, 15, (3.0, 0.8, 0.8))])
def test_a_real_head_moved_and_scanned_again_is_found_to_half_a_millimetre(head, degrees, shift, spacing):
    array, affine = head
    about = np.array([0, 0, 20.0])  # in the middle of its brain
    moved = motion(degrees, shift, about, seed=7)
    shape = tuple(np.ceil([220 / spacing[0], 240 / spacing[1], 190 / spacing[2]]).astype(int))
    later = rescanned(array, affine, moved, shape, spacing, 4, 2, about - [0, 0, 30])
    found = register(reduce_volume(array, affine), later)
    assert found.ok, found.reason
    assert errors(found.transform, moved, brain_points(about)).max() < 0.5
    assert "overlap of the heads 0.9" in found.reason


def test_noise_is_not_registered(phantom):
    here = reduce_volume(*phantom)
    rng = np.random.default_rng(0)
    noise = ReducedVolume(rng.integers(0, 256, here.array.shape).astype(np.uint8), here.affine)
    clouds = reduce_volume(ndimage.gaussian_filter(rng.normal(size=here.array.shape), 5), here.affine)
    for other in (noise, clouds):
        found = register(here, other)
        assert not found.ok
        assert found.reason.startswith("Registration failed: ")
        assert "correlation of their edges" in found.reason


def test_a_real_head_is_not_registered_to_its_mirror_image_or_a_phantom(head, phantom):
    here = reduce_volume(*head)
    mirrored = ReducedVolume(here.array[::-1].copy(), here.affine)
    assert not register(here, mirrored).ok
    assert not register(here, reduce_volume(*phantom)).ok


@pytest.mark.parametrize(("larger", "doubtful"), [(1.0, False), (1.06, True)])
def test_a_head_of_another_size_is_registered_in_doubt(phantom, larger, doubtful):
    array, affine = phantom
    other = np.diag([larger, larger, larger, 1.0]) @ affine
    moved = motion(5, 10, np.zeros(3), seed=1)
    later = rescanned(array, other, moved, (90, 110, 110), (2.0, 2.0, 2.0), 10, 1, np.zeros(3))
    found = register(reduce_volume(array, affine), later)
    assert found.ok, found.reason
    assert found.doubt == (
        f"correlation of the heads' edges {found.edge_correlation:.2f} is below 0.8" if doubtful else ""
    )


def test_nothing_to_see(phantom):
    found = register(reduce_volume(*phantom), ReducedVolume(np.zeros((40, 40, 40), np.uint8), np.eye(4)))
    assert (found.ok, found.reason) == (False, "Registration failed: no head is seen.")


def test_a_visit_is_placed_through_the_first_volume_that_it_can_be_registered_to(phantom):
    array, affine = phantom
    here = reduce_volume(array, affine)
    moved = motion(5, 5, np.zeros(3), 1)
    later = rescanned(array, affine, moved, (90, 100, 90), (2, 2, 2), 5, 1, np.zeros(3))
    empty = ReducedVolume(np.zeros((40, 40, 40), np.uint8), np.eye(4))
    to_common = motion(8, 30, np.zeros(3), 2)

    def placed():
        yield empty, RigidTransform.identity()
        yield here, to_common
        raise AssertionError("no more are needed")

    found = place(later, placed())
    points = brain_points(np.zeros(3))
    assert found.ok
    assert errors(moved.then(found.transform), to_common, points).max() < 0.5
    again = place(ReducedVolume.from_bytes(later.to_bytes()), [(here, to_common)])
    assert errors(again.transform, found.transform, points).max() < 1e-3
    alone = place(later, [])
    assert alone.ok
    assert np.array_equal(alone.transform.matrix, np.eye(4))
    assert not place(later, [(empty, to_common)]).ok


def test_a_volume_is_reduced_to_about_2_mm_without_moving():
    rng = np.random.default_rng(1)
    shape, spacing = (21, 64, 61), (3.0, 0.5, 0.7)
    affine = motion(20, 30, np.zeros(3), 4).matrix @ grid(shape, spacing, [5, -10, 30])
    spot = np.zeros(shape, np.float32)
    spot[8:12, 20:36, 21:36] = 1000 + rng.normal(size=(4, 16, 15))
    reduced = reduce_volume(spot - 300, affine)
    assert reduced.array.shape == (21, 16, 20)
    assert (reduced.array.min(), reduced.array.max()) == (0, 255)
    assert np.linalg.norm(reduced.affine[:3, :3], axis=0) == pytest.approx([3, 2, 2.1])
    before, after = (
        m[:3, :3] @ ndimage.center_of_mass(a) + m[:3, 3] for a, m in ((spot, affine), (reduced.array, reduced.affine))
    )
    assert before == pytest.approx(after, abs=0.05)


def test_a_block_is_the_mean_of_its_voxels_at_its_centre():
    array = np.arange(2 * 3 * 5, dtype=np.int16).reshape(2, 3, 5)
    means, affine = average_blocks(array, np.eye(4), (1, 3, 2))
    assert means.tolist() == [[[5.5, 7.5]], [[20.5, 22.5]]]
    assert affine[:3, 3].tolist() == [0, 1, 0.5]


def test_a_constant_volume_is_reduced_without_complaint():
    assert reduce_volume(np.full((3, 4, 5), 7.0), np.eye(4)).array.max() == 0


def test_a_reduced_volume_survives_being_stored(phantom):
    reduced = reduce_volume(*phantom)
    stored = reduced.to_bytes()
    again = ReducedVolume.from_bytes(stored)
    assert np.array_equal(again.array, reduced.array)
    assert np.array_equal(again.affine, reduced.affine)
    grid = grid_of(stored[:HEAD_BYTES])
    assert np.array_equal(grid.affine, reduced.affine)
    assert grid.shape == reduced.array.shape
    for wrong in (
        b"",
        b"{}",
        stored[:-9],
        b"\x89PNG\r\n\x1a\n",
        b"[1]\n",
        stored.replace(b'"format": 1', b'"format": 9'),
    ):
        with pytest.raises(ValueError, match="reduced volume"):
            ReducedVolume.from_bytes(wrong)
        if wrong != stored[:-9]:
            with pytest.raises(ValueError, match="reduced volume"):
                grid_of(wrong)


def test_motions_follow_each_other_and_turn_back():
    first, second = motion(20, 5, np.zeros(3), 1), motion(30, 7, np.ones(3), 2)
    points = np.random.default_rng(0).normal(size=(4, 2, 3))
    assert first.then(second).apply(points) == pytest.approx(second.apply(first.apply(points)))
    assert first.inverse().apply(first.apply(points)) == pytest.approx(points)


@pytest.mark.parametrize("matrix", [np.eye(3), 2 * np.eye(4), np.diag([1, 1, -1, 1]), np.zeros((4, 4))])
def test_what_is_not_rigid_is_refused(matrix):
    with pytest.raises(ValueError, match="only turns and shifts"):
        RigidTransform(matrix)
