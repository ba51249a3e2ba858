"""Synthetic heads: the same seed gives the same head, and its lesions are as large and lie where they are said to."""

import math
from collections import Counter
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from unetr.components import label
from unetr.synthesis import anatomy as anatomy_module
from unetr.synthesis import generator, lesions
from unetr.synthesis.acquisition import acquire
from unetr.synthesis.anatomy import CHANNELS, ORIGIN, SHAPE, Anatomy, mni152
from unetr.synthesis.fields import Rng, blur, towards
from unetr.synthesis.generator import SyntheticVolume, synthesize
from unetr.synthesis.head import _vessel, make_head
from unetr.synthesis.lesions import LesionShape, draw_lesions, paint
from unetr.synthesis.pool import PoolError, case_names, is_written, read_case, read_cases, write_case

SLAB = (184, 36, 36)
"""A grid from ear to ear through the middle of the head: brain, skull and air in few voxels."""


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return mni152()


@pytest.fixture(scope="module")
def whole(anatomy: Anatomy) -> SyntheticVolume:
    return synthesize(anatomy, 3, lesions=8, stripped=False, grid=SLAB)


def at(anatomy: Anatomy, name: str, mni: tuple[float, float, float]) -> float:
    x, y, z = (round(a - o) for a, o in zip(mni, ORIGIN, strict=True))
    return float(anatomy.maps[CHANNELS.index(name), x, y, z])


def test_the_anatomy_is_where_it_is_known_to_be(anatomy):
    assert anatomy.maps.shape == (len(CHANNELS), *SHAPE)
    assert anatomy.maps.dtype == torch.float32
    assert torch.isfinite(anatomy.maps).all()
    assert at(anatomy, "depth", (0, -20, 10)) > 30
    assert at(anatomy, "depth", (0, -20, 95)) < -10
    assert at(anatomy, "white", (26, -20, 28)) > 0.8
    assert at(anatomy, "t1", (26, -20, 28)) == pytest.approx(1.0, abs=0.1)
    assert at(anatomy, "ventricles", (8, -2, 18)) == 1
    assert at(anatomy, "ventricles", (26, -20, 28)) == 0
    assert at(anatomy, "sinuses", (0, 58, 22)) == 0
    assert at(anatomy, "arteries", (0, -32, -50)) == 0
    assert at(anatomy, "choroid", (25, -42, 10)) == 0
    assert at(anatomy, "falx", (0, -20, 50)) == 0
    assert at(anatomy, "falx", (13, -20, 50)) == 13
    for name in ("sinuses", "veins", "arteries", "choroid", "tentorium", "falx"):
        distance = anatomy.maps[CHANNELS.index(name)]
        assert (float(distance.min()), float(distance.max())) == (0, 20)


def test_distances_and_depth_are_those_of_the_whole_grid(monkeypatch):
    monkeypatch.setattr(anatomy_module, "SHAPE", (50, 60, 70))
    structure = np.zeros((50, 60, 70), bool)
    structure[0, 40:43, 20] = structure[12, 30, 18:22] = True
    whole_grid = ndimage.distance_transform_edt(~structure)
    clipped = anatomy_module._clipped_distance(~structure)
    np.testing.assert_array_equal(clipped, np.minimum(whole_grid, 20).astype(np.float32))
    ball = ndimage.binary_dilation(structure, iterations=6)
    depth = ndimage.distance_transform_edt(ball) - ndimage.distance_transform_edt(~ball)
    np.testing.assert_array_equal(anatomy_module._depth(ball), depth)


def test_the_same_seed_gives_the_same_volume(anatomy, whole):
    again = synthesize(anatomy, 3, lesions=8, stripped=False, grid=SLAB)
    assert torch.equal(again.image, whole.image)
    assert torch.equal(again.fraction, whole.fraction)
    assert torch.equal(again.label_map, whole.label_map)
    assert again.lesions == whole.lesions
    other = synthesize(anatomy, 4, lesions=8, stripped=False, grid=SLAB)
    assert not torch.equal(other.image, whole.image)
    assert other.lesions != whole.lesions


def test_a_volume_is_what_it_says(whole):
    assert whole.image.shape == whole.fraction.shape == whole.brain.shape == whole.label_map.shape == SLAB
    assert whole.brain.dtype == torch.bool
    assert whole.brain[70:110, 8:28, 8:28].all()
    assert not whole.brain[:3].any()
    assert torch.isfinite(whole.image).all()
    assert len(whole.lesions) == 8
    assert all(2 <= diameter <= 40 for _, diameter in whole.lesions)
    assert (float(whole.fraction.min()), float(whole.fraction.max())) == (0, 1)
    torch.testing.assert_close(whole.label_map > 0, whole.fraction >= 0.5)
    np.testing.assert_allclose(whole.affine @ [91.5, 17.5, 17.5, 1], [0, 0, 0, 1])


def test_a_whole_head_has_tissue_outside_the_brain_and_a_stripped_one_nothing(anatomy, whole):
    stripped = synthesize(anatomy, 3, lesions=0, stripped=True, grid=SLAB)
    for end in (slice(3), slice(-3, None)):
        assert not stripped.image[end].any()
        assert whole.image[end].any()
    middle = stripped.image[70:110, 8:28, 8:28]
    assert 0.3 < float(middle.median()) < 1.5


def test_a_head_without_lesions_has_no_label(anatomy):
    volume = synthesize(anatomy, 5, lesions=0, grid=SLAB)
    assert volume.lesions == []
    assert not volume.label_map.any()
    assert not volume.fraction.any()


def test_lesions_lie_inside_the_brain(anatomy):
    rng = Rng(11)
    head = make_head(anatomy, rng, SLAB)
    depth, image = head.maps["depth"], head.image
    shapes = draw_lesions(head, rng, 60)
    centres = torch.tensor([shape.centre for shape in shapes]).long().T
    assert (depth[tuple(centres)] > -3).all()  # they are drawn in blocks of 4 voxels
    assert float((depth[tuple(centres)] > 0).float().mean()) > 0.9
    inside = torch.sigmoid(3 * depth)
    for shape in shapes[:15]:
        fraction = paint(image, inside, shape, rng)
        assert float(fraction[depth <= 0].sum()) == 0
    assert {shape.kind for shape in shapes} > {"solid", "ring"}
    assert sum(shape.diameter_mm < 12 for shape in shapes) > 30


@given(
    diameter=st.floats(4.0, 30.0),
    offset=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    kind=st.sampled_from(["solid", "ring", "partial", "mixed", "faint"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_a_sphere_has_its_volume_and_place(diameter, offset, kind, seed):
    grid = (44, 46, 48)
    centre = tuple(n / 2 + d for n, d in zip(grid, offset, strict=True))
    fraction = paint(torch.ones(grid), torch.ones(grid), LesionShape(centre, diameter, kind), Rng(seed))
    truth = math.pi / 6 * diameter**3
    # The fraction falls from 1 to 0 along 1 mm across the surface: in a small sphere more of that lies outside. Voxels
    # sample it: of a sphere below 6 mm that is centred on their grid, up to 3.8 % too much or too little.
    assert float(fraction.sum()) == pytest.approx(truth * (1 + 1 / diameter**2), rel=0.05 if diameter < 6 else 0.02)
    if diameter > 8:
        assert float(fraction.sum()) == pytest.approx(truth, rel=0.03)
        assert float((fraction >= 0.5).sum()) == pytest.approx(truth, rel=0.08)
    for axis, where in enumerate(centre):
        other = [a for a in range(3) if a != axis]
        profile = fraction.sum(other)
        seen = float((profile * torch.arange(grid[axis])).sum() / profile.sum())
        assert seen == pytest.approx(where, abs=0.05)


@given(st.floats(8.0, 20.0), st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_an_ellipsoid_keeps_the_volume_of_its_sphere(diameter, seed):
    grid = (44, 46, 48)
    shape = LesionShape((22, 23, 24), diameter, elongation=0.28)
    fraction = paint(torch.ones(grid), torch.ones(grid), shape, Rng(seed))
    assert float(fraction.sum()) == pytest.approx(math.pi / 6 * diameter**3, rel=0.03)


def painted(shape: LesionShape, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.ones(48, 48, 48)
    return image, paint(image, torch.ones_like(image), shape, Rng(seed))


ROUGH = [
    LesionShape((20.0, 20.0, 20.0), diameter, kind, roughness=0.32, elongation=0.28, oedema_mm=oedema)
    for diameter, kind, oedema in ((4.0, "solid", 0.0), (16.0, "solid", 3.0), (18.0, "ring", 0.0))
]
"""Of their kinds, those whose bumps come off most often."""


def rough(shape: LesionShape, seed: int) -> tuple[torch.Tensor, torch.Tensor, Rng]:
    """Image and fraction of one lesion, and the random numbers that come next."""
    rng, image = Rng(seed), torch.ones(40, 40, 40)
    return image, paint(image, torch.ones_like(image), shape, rng), rng


def as_it_came_off(shape: LesionShape, seed: int) -> tuple[torch.Tensor, torch.Tensor, Rng]:
    """The same, of a lesion whose bumps are left where they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesions, "_in_one_piece", lambda depth: depth)
        return rough(shape, seed)


def test_a_rough_lesion_is_one_and_shows_as_one():
    strewn = 0
    for seed, shape in enumerate(ROUGH * 5):
        image, fraction, _ = rough(shape, seed)
        before = as_it_came_off(shape, seed)[1]
        for level in (0.5, 1e-6):
            assert label((fraction >= level).numpy()).max() == 1
        gone = (before >= 0.5) & (fraction < 0.5)
        assert (image[gone] < 1.05).all()
        strewn += bool(gone.any())
    assert strewn >= 5


def test_only_what_came_off_is_taken_away():
    same = 0
    for seed, shape in enumerate(ROUGH * 5):
        image, fraction, rng = rough(shape, seed)
        image_before, before, rng_before = as_it_came_off(shape, seed)
        assert torch.equal(rng.white((9,)), rng_before.white((9,)))
        assert rng.uniform(0, 1) == rng_before.uniform(0, 1)
        pieces = torch.from_numpy(label((before >= 0.5).numpy()))
        largest = pieces == 1 + int(pieces[pieces > 0].bincount()[1:].argmax())
        assert torch.equal(fraction >= 0.5, largest)
        assert torch.equal(fraction[largest], before[largest])
        assert torch.equal(image[largest], image_before[largest])
        assert (fraction <= before).all()
        same += torch.equal(image, image_before)
    assert 0 < same < 15


def test_a_lesion_that_the_brain_cuts_in_two_keeps_both_halves():
    image, inside = torch.ones(48, 48, 48), torch.ones(48, 48, 48)
    inside[23:26] = 0
    fraction = paint(image, inside, LesionShape((24, 24, 24), 20, roughness=0.1), Rng(0))
    sizes = np.bincount(label((fraction >= 0.5).numpy()).ravel())[1:]
    assert len(sizes) == 2
    assert sizes.min() > 1000


def test_heads_with_smooth_lesions_need_no_mending(anatomy, monkeypatch):
    def smooth(head, rng, count):
        return [replace(shape, roughness=0.0) for shape in draw_lesions(head, rng, count)]

    monkeypatch.setattr(generator, "draw_lesions", smooth)
    mended = synthesize(anatomy, 3, lesions=8, grid=SLAB)
    monkeypatch.setattr(lesions, "_in_one_piece", lambda depth: depth)
    plain = synthesize(anatomy, 3, lesions=8, grid=SLAB)
    assert torch.equal(mended.image, plain.image)
    assert torch.equal(mended.fraction, plain.fraction)
    assert torch.equal(mended.label_map, plain.label_map)


def test_kinds_look_like_what_they_are():
    centre = (24.0, 24.0, 24.0)
    solid, fraction = painted(LesionShape(centre, 16, "solid", enhancement=2.0))
    assert float(solid[fraction > 0.9].mean()) == pytest.approx(2.0, abs=0.2)
    ring, _ = painted(LesionShape(centre, 16, "ring", enhancement=2.0))
    assert float(ring[24, 24, 24]) < 1.3
    assert float(ring[24, 24, 24 + 7]) > 1.6
    swollen, fraction = painted(LesionShape(centre, 16, "solid", enhancement=2.0, oedema_mm=6))
    assert float(swollen[24, 24, 24 + 11]) < 0.97
    assert float(swollen[0].mean()) == pytest.approx(1.0, abs=1e-3)
    assert not fraction[24, 24, 24 + 11]


def test_a_lesion_is_cut_off_at_the_brains_surface():
    image = torch.ones(48, 48, 48)
    inside = torch.zeros_like(image)
    inside[:24] = 1
    fraction = paint(image, inside, LesionShape((23.5, 24, 24), 16), Rng(0))
    assert not fraction[24:].any()
    assert (image[24:] == 1).all()
    assert float(fraction.sum()) == pytest.approx(math.pi / 12 * 16**3, rel=0.05)


def test_a_lesion_outside_the_grid_paints_nothing():
    image = torch.ones(32, 32, 32)
    assert not paint(image, image.clone(), LesionShape((90, 16, 16), 8), Rng(0)).any()
    assert (image == 1).all()


def test_stripping_takes_the_outside_away():
    depth = 12 - (torch.arange(40.0) - 20).abs()[:, None, None].expand(40, 30, 30)
    image = acquire(torch.ones(40, 30, 30), depth, Rng(2), stripped=True)
    assert not image[depth < -4].any()
    assert (image[depth > 6] > 0).all()


def test_the_random_numbers_are_what_is_asked_for():
    rng = Rng(0)
    assert {rng.integer(2, 4) for _ in range(60)} == {2, 3, 4}
    assert all(0.5 <= rng.log_uniform(0.5, 8) <= 8 for _ in range(60))
    drawn = Counter(rng.choice({"a": 0.7, "b": 0.3, "never": 0.0}) for _ in range(400))
    assert drawn["never"] == 0
    assert drawn["a"] / 400 == pytest.approx(0.7, abs=0.1)
    assert {rng.pick(torch.tensor([0.0, 2.0, 0.0, 1.0])) for _ in range(60)} == {1, 3}
    turn = rng.rotation()
    torch.testing.assert_close(turn @ turn.T, torch.eye(3), atol=1e-5, rtol=0)
    assert float(torch.linalg.det(turn)) == pytest.approx(1)
    field = rng.smooth((30, 40, 50), 10)
    assert field.shape == (30, 40, 50)
    assert float(field.std()) == pytest.approx(1, abs=1e-3)
    assert float((field[1:] - field[:-1]).std()) < 0.3
    assert rng.white((20, 20, 20)).std() == pytest.approx(1, abs=0.05)


def test_blur_spreads_and_keeps_the_sum():
    point = torch.zeros(21, 21, 21)
    point[10, 10, 10] = 1
    blurred = blur(point, (2.0, 0.1, 1.0))
    assert float(blurred.sum()) == pytest.approx(1)
    assert not blurred[:, :10].any()  # 0.1 is skipped
    along = blurred.sum((1, 2))
    assert float((along * (torch.arange(21) - 10) ** 2).sum().sqrt()) == pytest.approx(2.0, abs=0.15)
    torch.testing.assert_close(blur(torch.full((9, 9, 9), 3.0), (1, 1, 1)), torch.full((9, 9, 9), 3.0))


def test_towards_blends():
    assert towards(torch.tensor([1.0, 1.0]), 3.0, torch.tensor([0.0, 0.25])).tolist() == [1.0, 1.5]


@pytest.mark.parametrize("radius", [0.6, 1.8, 5.0])
def test_a_vessel_is_uneven_and_never_in_pieces(radius):
    shape = (90, 25, 25)
    across = torch.hypot(*torch.meshgrid(torch.arange(25.0) - 12, torch.arange(25.0) - 12, indexing="ij"))
    for seed in range(20):
        painted = _vessel(torch.ones(shape), across.expand(shape), radius, 2.0, Rng(seed))
        assert painted[:, 12, 12].min() > 1.6
        volume = (painted - 1).sum((1, 2))
        assert volume.max() > 1.2 * volume.min()
        assert painted[:, 0].max() < 1.01


def test_cases_on_disk(tmp_path, whole):
    for name in ("b", "a"):
        write_case(tmp_path, name, whole)
    (tmp_path / "c_image.nii").touch()  # was being written when it was stopped
    assert case_names(tmp_path) == ["a", "b"]
    assert [case.name for case in read_cases(tmp_path)] == ["a", "b"]
    case = read_case(tmp_path, "a")
    np.testing.assert_allclose(case.image, whole.image.numpy(), atol=0.003)
    np.testing.assert_allclose(case.fraction / 255, whole.fraction.numpy(), atol=0.002)
    np.testing.assert_array_equal(case.brain, whole.brain.numpy())
    assert (case.image.dtype, case.fraction.dtype, case.brain.dtype) == (np.float16, np.uint8, np.uint8)
    np.testing.assert_allclose(nib.Nifti1Image.from_filename(tmp_path / "a_image.nii").affine, whole.affine)
    assert not list(tmp_path.glob(".*"))
    assert is_written(tmp_path, "a", "two lesions")  # it does not say
    assert not is_written(tmp_path, "c", "two lesions")


@pytest.mark.parametrize("part", ["image", "brain", "fraction"])
@pytest.mark.parametrize("kept", [0, 300, 5000])
def test_a_file_that_is_cut_off_is_named_and_its_volume_not_taken_as_written(tmp_path, whole, part, kept):
    write_case(tmp_path, "a", whole, "two lesions")
    path = tmp_path / f"a_{part}.nii"
    path.write_bytes(path.read_bytes()[:kept])
    said = rf"a_{part}\.nii cannot be read \(.*\): remove a_\*\.nii of .* and make that volume again"
    with pytest.raises(PoolError, match=said):
        read_case(tmp_path, "a")
    with pytest.raises(PoolError, match=said):
        is_written(tmp_path, "a", "two lesions")
    path.unlink()
    assert not is_written(tmp_path, "a", "two lesions")


def test_a_volume_whose_writing_is_cut_short_has_no_place_yet(tmp_path, whole, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("no space left on device")))
    with pytest.raises(OSError, match="no space left"):
        write_case(tmp_path, "a", whole)
    assert not list(tmp_path.glob("a_*"))


def test_what_begins_with_a_dot_is_no_volume(tmp_path):
    for name in (".a", "._b", "b"):  # being written when it was killed; what a Mac writes beside b
        (tmp_path / f"{name}_fraction.nii").touch()
    assert case_names(tmp_path) == ["b"]


def test_a_case_made_otherwise_is_not_taken_for_the_one_asked_for(tmp_path, whole):
    long = "two lesions " * 20
    write_case(tmp_path, "a", whole, "two lesions")
    write_case(tmp_path, "b", whole, long)
    assert is_written(tmp_path, "a", "two lesions")
    assert is_written(tmp_path, "b", long)
    with pytest.raises(PoolError, match=r"b_fraction\.nii was made with two lesions two"):
        is_written(tmp_path, "b", f"{long} and a third")
    with pytest.raises(PoolError, match=r"a_fraction\.nii was made with two lesions, where no lesions is asked for"):
        is_written(tmp_path, "a", "no lesions")
