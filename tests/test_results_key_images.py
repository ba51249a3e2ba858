"""Pictures of lesions: where the lesion is, how large it is, on which side of the patient, in which colour."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from rano.lesion import Lesion
from rano.measuring import measure
from results.key_images import _FINER, FIELD_MM, SIZE, _finer, coloured, key_images, picture_of
from results.palette import rgb
from tests import factory
from tests.factory import HEAD_CENTRE_LPS, Sphere


def case(plane="axial", lesions=factory.LESIONS, **changes):
    """Return a series of a phantom, its label map, and its lesions as they are measured."""
    series = factory.series(factory.volume(plane, lesions=lesions, **changes))
    label_map = factory.label_map(series.volume, lesions).astype(np.int32)
    measured = measure(label_map, series.volume.affine)
    return series, label_map, [Lesion(f"GTV_MetIA_{m.label}", f"2.25.{m.label}", m, m.label) for m in measured]


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def drawn(series, label_map, lesions):
    """Give the pixels of each lesion's picture, in its colour, by label."""
    numbers = {one.measurement.label: one.number for one in lesions}
    return {
        label: pixels(coloured(png, numbers[label])) for label, png in key_images(series, label_map, lesions).items()
    }


def inked(picture, label):
    """Return where a picture has the lesion's colour, undiluted."""
    return np.abs(picture - np.array(rgb(label))).max(-1) < 8


@pytest.mark.parametrize("plane", factory.PLANES)
@pytest.mark.parametrize("reverse", [False, True])
def test_outline_and_diameters_are_where_and_as_large_as_the_lesion(plane, reverse):
    series, label_map, lesions = case(plane, reverse=reverse)
    shown = drawn(series, label_map, lesions)
    assert list(shown) == [1, 2, 3]
    for lesion in lesions:
        picture = shown[lesion.measurement.label]
        assert picture.shape == (SIZE, SIZE, 3)
        rows, columns = np.nonzero(inked(picture, lesion.measurement.label))
        pixel_mm = FIELD_MM / SIZE
        widest = max(np.hypot(rows - r, columns - c).max() for r, c in zip(rows, columns, strict=True)) * pixel_mm
        assert widest == pytest.approx(lesion.measurement.longest.length_mm, abs=1.2)
        assert rows.mean() == pytest.approx((SIZE - 1) / 2, abs=4)
        assert columns.mean() == pytest.approx((SIZE - 1) / 2, abs=4)
        centre = picture[SIZE // 2 - 4 : SIZE // 2 + 4, SIZE // 2 - 4 : SIZE // 2 + 4]
        assert centre[~inked(centre, lesion.measurement.label)].mean() > 1.5 * picture[picture > 20].mean()


@pytest.mark.parametrize("plane", factory.PLANES)
@pytest.mark.parametrize("reverse", [False, True])
def test_the_patients_left_is_on_the_right_and_the_front_is_up(plane, reverse):
    x, y, z = HEAD_CENTRE_LPS
    left_and_behind = Sphere((x + 22, y + 22, z), 6)
    series, label_map, lesions = case(plane, [left_and_behind], reverse=reverse)
    picture = drawn(series, label_map, lesions)[1]
    head = picture.min(-1) > 40
    halves = [head[:, : SIZE // 2], head[:, SIZE // 2 :], head[: SIZE // 2], head[SIZE // 2 :]]
    left, right, up, down = (int(half.sum()) for half in halves)
    assert left > 1.3 * right, "the rest of the head lies towards the patient's right, the picture's left"
    assert up > 1.3 * down


@pytest.mark.parametrize("diameter", ["longest", "perpendicular"])
def test_both_diameters_are_drawn_where_they_were_measured(diameter):
    series, label_map, lesions = case(lesions=[Sphere(HEAD_CENTRE_LPS, 12)])
    m = lesions[0].measurement
    ends, middle = getattr(m, diameter), np.mean([m.longest.start_lps_mm, m.longest.end_lps_mm], axis=0)
    quarter = 0.75 * np.array(ends.start_lps_mm) + 0.25 * np.array(ends.end_lps_mm) - middle
    column, row = np.rint((SIZE - 1) / 2 + quarter[:2] * SIZE / FIELD_MM).astype(int)
    around = drawn(series, label_map, lesions)[1][row - 1 : row + 2, column - 1 : column + 2]
    assert (around[..., 0] - around[..., 1]).max() > 80, "red among greys"


def test_the_centre_of_a_pixel_is_that_of_the_finer_ones_it_is_made_of():
    fine = np.zeros((_FINER * SIZE, _FINER * SIZE), np.uint8)
    ((x, y),) = _finer(np.array([[5.0, 8.0]]))
    fine[int(y) : int(y) + 2, int(x) : int(x) + 2] = 255  # the four around a corner of them
    assert np.argwhere(np.asarray(Image.fromarray(fine).reduce(_FINER))).tolist() == [[8, 5]]
    assert (x % _FINER, y % _FINER) == ((_FINER - 1) / 2, (_FINER - 1) / 2)


def test_beside_a_small_bright_lesion_the_brain_is_not_white():
    series, label_map, lesions = case(lesions=[Sphere(HEAD_CENTRE_LPS, 3.5)])
    grey = pixels(key_images(series, label_map, lesions)[1])[..., 2]
    assert np.median(grey[grey > 20]) < 150


def test_a_large_lesion_is_seen_whole():
    series, label_map, lesions = case(lesions=[Sphere(HEAD_CENTRE_LPS, 26)])
    rows, columns = np.nonzero(inked(drawn(series, label_map, lesions)[1], 1))
    assert np.ptp(rows) < 0.6 * SIZE
    assert np.ptp(columns) == pytest.approx(SIZE / 2, abs=6)


def test_a_long_and_narrow_lesion_is_seen_whole():
    series, label_map, _ = case()
    middle, _, column = (size // 2 for size in label_map.shape)
    label_map[:] = 0
    label_map[middle, 6:-6, column : column + 3] = 1
    (m,) = measure(label_map, series.volume.affine)
    assert m.longest.length_mm > FIELD_MM / 2 > 5 * m.perpendicular.length_mm
    rows, _ = np.nonzero(inked(drawn(series, label_map, [Lesion("one", "2.25.1", m, 1)])[1], 1))
    assert np.ptp(rows) == pytest.approx(SIZE / 2, abs=6)


def test_a_lesion_of_one_voxel_at_the_edge():
    series, label_map, _ = case()
    label_map[:] = 0
    label_map[0, 0, 0] = 1
    (m,) = measure(label_map, series.volume.affine)
    assert inked(drawn(series, label_map, [Lesion("one", "2.25.1", m, 1)])[1], 1).any()


@pytest.mark.parametrize("end", [0, -1])
@pytest.mark.parametrize("plane", ["axial", "oblique3"])
def test_the_first_and_the_last_slice_are_shown_as_any_other(plane, end):
    """Rounding puts half of what is looked up there a hair's breadth outside of the volume."""
    series, label_map, _ = case(plane, spacing=(1.1, 1.5, 1.75))
    label_map[:] = 0
    label_map[end, 24:32, 24:32] = 1
    (m,) = measure(label_map, series.volume.affine)
    (picture,) = drawn(series, label_map, [Lesion("one", "2.25.1", m, 1)]).values()
    middle = (SIZE - 1) / 2
    outline = np.linalg.norm(np.argwhere(inked(picture, 1)) - middle, axis=1)
    assert outline.max() * FIELD_MM / SIZE == pytest.approx(m.longest.length_mm / 2, abs=1.0)
    assert (picture[50:-50, 50:-50].max(-1) > 0).mean() > 0.95


def test_without_lesions_there_are_no_pictures():
    series, label_map, _ = case()
    assert key_images(series, np.zeros_like(label_map), []) == {}


def test_some_kilobytes_and_the_same_every_time():
    series, label_map, lesions = case()
    first = key_images(series, label_map, lesions)
    assert all(500 < len(png) < 20_000 for png in first.values())
    assert key_images(series, label_map, lesions) == first


def test_a_picture_has_no_colour_of_its_own_until_it_is_shown():
    series, label_map, lesions = case()
    png = key_images(series, label_map, lesions)[2]
    assert png == key_images(series, label_map, [replace(lesions[1], number=7)])[2]
    shown = {number: pixels(coloured(png, number)) for number in (2, 4)}
    assert np.array_equal(inked(shown[4], 4), inked(shown[2], 2))
    assert inked(shown[2], 2).any()
    for number, picture in shown.items():
        assert np.array_equal(picture_of(png, number), picture)


def test_one_that_was_kept_in_a_colour_is_shown_in_another():
    series, label_map, lesions = case()
    png = key_images(series, label_map, lesions)[2]
    assert coloured(coloured(png, 2), 4) == coloured(png, 4)
