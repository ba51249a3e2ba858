"""The "metia" preset against MONAI's own transforms, applied as the published system applied them."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirst, Orientation, ScaleIntensityRange, Spacing

from imaging.volume import read_series
from tests import factory
from unetr.preprocessing import PRESETS, NothingToSegmentError

AXIAL = np.array([[0, 0, 0.9, -80], [0, 0.9, 0, -90], [-3.0, 0, 0, 70], [0, 0, 0, 1]])
"""Slices from head to feet 3 mm apart, rows towards posterior, columns towards left: as a series is read."""

GEOMETRY = Compose(
    [
        EnsureChannelFirst(channel_dim="no_channel"),
        Orientation(axcodes="LAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
        Spacing(pixdim=(1.5, 1.5, 2.0), mode="bilinear"),
    ]
)
INTENSITY = ScaleIntensityRange(-200, 300, 0.0, 1.0, clip=True)


def published(stack: np.ndarray) -> torch.Tensor:
    """What MetIA's network saw of a stack (row, column, slice by InstanceNumber)."""
    scaled = stack.astype(np.float64) / stack.max() * 255
    return INTENSITY(GEOMETRY(MetaTensor(torch.from_numpy(scaled), affine=torch.eye(4, dtype=torch.float64))))[0]


def image(shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 150.0, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(22, 40, 33), (21, 41, 32), (20, 39, 31), (5, 38, 30), (3, 7, 4), (23, 64, 64)])
def test_the_network_sees_what_it_saw_at_metia(shape):
    array = image(shape)
    expected = published(array[::-1].transpose(1, 2, 0))  # numbered from feet to head
    prepared = PRESETS["metia"](array, AXIAL, "cpu")
    assert prepared.volume.dtype == torch.float32
    np.testing.assert_allclose(prepared.volume.numpy(), expected.numpy(), atol=2e-6)


@pytest.mark.parametrize("shape", [(22, 40, 33), (21, 41, 32), (3, 7, 4)])
def test_the_way_back_is_monais(shape):
    array = image(shape)
    stack = np.ascontiguousarray(array[::-1].transpose(1, 2, 0)).astype(np.float64)
    there = GEOMETRY(MetaTensor(torch.from_numpy(stack), affine=torch.eye(4, dtype=torch.float64)))
    probability = torch.rand(there.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    there.copy_(probability)
    expected = GEOMETRY.inverse(there).numpy()[0].transpose(2, 0, 1)[::-1]
    back = PRESETS["metia"](array, AXIAL, "cpu").back(probability[0].float())
    assert tuple(back.shape) == shape
    np.testing.assert_allclose(back.numpy(), expected, atol=2e-6)


def test_the_slices_of_a_series_stand_in_the_order_of_their_numbers():
    """From DICOM files numbered from feet to head, and stored in any order."""
    volume = factory.volume(shape=(24, 40, 36), spacing=(4.0, 3.0, 3.0))
    datasets = factory.series_datasets(volume)
    for number, dataset in enumerate(sorted(datasets, key=lambda ds: float(ds.ImagePositionPatient[2])), start=1):
        dataset.InstanceNumber = number
    stack = np.stack([ds.pixel_array for ds in sorted(datasets, key=lambda ds: int(ds.InstanceNumber))], axis=-1)
    series = read_series(datasets[::2] + datasets[1::2])
    prepared = PRESETS["metia"](series.volume.array, series.volume.affine, "cpu")
    np.testing.assert_allclose(prepared.volume.numpy(), published(stack).numpy(), atol=2e-6)


def test_a_volume_stored_the_other_way_round_looks_the_same():
    array = image((11, 14, 16))
    affine = AXIAL @ np.array([[-1, 0, 0, 10], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    one, other = PRESETS["metia"](array, AXIAL, "cpu"), PRESETS["metia"](array[::-1], affine, "cpu")
    torch.testing.assert_close(one.volume, other.volume, rtol=0, atol=0)
    torch.testing.assert_close(one.back(one.volume), other.back(one.volume).flip(0), rtol=0, atol=0)


def test_there_and_back_keeps_the_place():
    volume = factory.volume()
    prepared = PRESETS["metia"](volume.array, volume.affine, "cpu")
    back = prepared.back(prepared.volume).numpy()
    straight = 0.4 + 0.51 * volume.array / volume.array.max()
    middle = (slice(4, -4),) * 3

    def likeness(shift: int, axis: int) -> float:
        return np.corrcoef(back[middle].ravel(), np.roll(straight, shift, axis)[middle].ravel())[0, 1]

    for axis in range(3):
        assert likeness(0, axis) > max(likeness(-1, axis), likeness(1, axis)) + 0.005


def test_air_is_told_from_tissue():
    volume = factory.volume()
    prepared = PRESETS["metia"](volume.array, volume.affine, "cpu")
    head = factory.sphere_mask(volume, factory.HEAD_CENTRE_LPS, 30.0)
    tissue = prepared.back((prepared.volume > prepared.air).float()).numpy()
    assert prepared.air > 0.4
    assert tissue[head].mean() > 0.99
    assert tissue[0, 0, 0] == 0


@pytest.mark.parametrize("value", [0.0, -2.0, np.nan, np.inf])
def test_an_empty_image_is_refused(value):
    with pytest.raises(NothingToSegmentError):
        PRESETS["metia"](np.full((5, 6, 7), value, np.float32), AXIAL, "cpu")


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_it_says_which_axis_runs_between_left_and_right(axes):
    array = image((24, 36, 30))
    array[:, :, 15:] *= 4  # bright on the left
    affine = AXIAL.copy()
    affine[:, :3] = AXIAL[:, axes]
    prepared = PRESETS["metia"](np.ascontiguousarray(array.transpose(axes)), affine, "cpu")
    halves = [float((half := prepared.volume.movedim(axis, 0))[: len(half) // 2].mean()) for axis in range(3)]
    rest = [float((half := prepared.volume.movedim(axis, 0))[len(half) // 2 :].mean()) for axis in range(3)]
    differences = [abs(first - second) for first, second in zip(halves, rest, strict=True)]
    assert int(np.argmax(differences)) == prepared.left_right


@pytest.mark.parametrize("preset", PRESETS)
def test_the_way_back_goes_wherever_the_tensor_is(preset):
    """A probability that found no room on the GPU lies on the CPU; "meta" is another device that is always there."""
    affine = np.diag([0.8, 1.1, 2.0, 1.0])
    prepared = PRESETS[preset](image((20, 30, 25)), affine, "cpu")
    back = prepared.back(prepared.volume.to("meta"))
    assert (back.device.type, tuple(back.shape)) == ("meta", (20, 30, 25))
