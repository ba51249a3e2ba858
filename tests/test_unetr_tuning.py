"""Each pair of threshold and peak is scored as the model would be with it, and the right one is chosen."""

import functools
from dataclasses import replace
from itertools import product
from math import isnan
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rano.components import label_lesions
from tests import factory
from tests.tiny_model import tiny_bundle
from unetr.__main__ import main
from unetr.bundle import Postprocessing
from unetr.commands import tune
from unetr.components import label
from unetr.metrics import Score, ScoredLesion, score
from unetr.predictor import Answer, Predictor, load_predictor
from unetr.tuning import PEAKS, THRESHOLDS, NothingFoundError, OperatingPoint, choose, operating_points, try_points

POINT = OperatingPoint(0.5, 0.5, sensitivity=0.9, sensitivity_small=0.2, false_lesions=0.4, dice=0.8)


@pytest.fixture(scope="module")
def raw_predictor(tiny_model) -> Predictor:
    return load_predictor(tiny_model, "cpu")


def cube(shape: tuple[int, int, int], start: tuple[int, int, int], edge: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(s, s + edge) for s in start)] = True
    return mask


def answer(probability: np.ndarray) -> Answer:
    """Of a network whose grid is the volume's."""
    return Answer(torch.from_numpy(probability), torch.clone, "few voxels")


@pytest.fixture
def volume() -> tuple[Answer, np.ndarray]:
    """Two lesions, of 8 and 3.7 mm, seen with 0.95 and 0.72; something else is seen with 0.8."""
    shape = (40, 40, 40)
    large, small, other = cube(shape, (4, 4, 4), 7), cube(shape, (24, 24, 24), 3), cube(shape, (4, 28, 4), 4)
    probability = np.full(shape, 0.05, np.float32)
    for mask, value in ((large, 0.95), (small, 0.72), (other, 0.8)):
        probability[mask] = value
    return answer(probability), large | small


def test_a_peak_keeps_what_is_sure(volume):
    tried = dict(try_points(volume[0], volume[1], 1.0, 10))
    assert set(tried) == {(threshold, peak) for threshold in THRESHOLDS for peak in PEAKS}
    found = {peak: [lesion[1] for lesion in tried[0.5, peak].lesions] for peak in PEAKS}
    assert found[0.7] == [True, True]
    assert found[0.75] == [True, False]
    assert [len(tried[0.5, peak].false_lesions_mm) for peak in (0.75, 0.8, 0.85)] == [1, 1, 0]


def test_a_voxel_of_just_the_threshold_is_lesion_and_needs_the_peak_as_well():
    probability = np.full((4, 4, 4), 0.25, np.float32)
    for peak, lesion in ((0.5, True), (0.6, False)):
        assert (answer(probability.copy()).read(0.25, peak, 0).mask == lesion).all()


def test_what_is_too_small_is_no_lesion(volume):
    tried = dict(try_points(volume[0], volume[1], 1.0, 30))
    assert [lesion[1] for lesion in tried[0.5, 0.5].lesions] == [True, False]


def test_what_is_just_large_enough_is_a_lesion_however_its_grid_is_rounded(volume):
    minimum = 27.0  # voxels of the smaller one
    turned = Rotation.from_euler("x", np.arange(0, 30, 0.5)[:, None], degrees=True).as_matrix().astype(np.float32)
    voxels = np.abs(np.linalg.det(turned.astype(float)))
    assert voxels.min() < 1 < voxels.max()
    kept = replace(volume[0], probability=volume[0].probability.clone()).read(0.5, 0.5, minimum)
    for voxel, axes in zip(voxels, turned, strict=True):
        affine = np.eye(4)
        affine[:3, :3] = axes
        assert label_lesions(kept.mask, affine, kept.minimum_volume_mm3).max() == 3
        assert np.count_nonzero(np.bincount(label(kept.mask).ravel())[1:] * voxel >= kept.minimum_volume_mm3) == 3
    tried = dict(try_points(volume[0], volume[1], voxels.min(), minimum))
    assert [lesion[1] for lesion in tried[0.5, 0.5].lesions] == [True, True]


@pytest.mark.parametrize(("threshold", "peak"), [(0.3, 0.6), (0.3, 0.95), (0.5, 0.95), (0.6, 0.5)])
def test_the_model_does_the_same_with_those_values(tmp_path, raw_predictor, threshold, peak):
    head = factory.volume(shape=(40, 44, 42), spacing=(2.0, 2.0, 2.0), lesions=factory.LESIONS[:2])
    image = head.array.astype(np.float32)
    faint = factory.sphere_mask(head, factory.LESIONS[2].centre_lps, 7.0)
    image[faint] = 1.77 * np.median(image[image > 200])
    reference = np.zeros(image.shape, bool)
    reference[10:12, 10:12, 10:12] = True
    raw = raw_predictor.ask(image, head.affine)
    tried = dict(try_points(raw, reference, 8.0, 0.0))

    bundle = tiny_bundle(tmp_path / "bundle", threshold=threshold, peak=peak, minimum_volume_mm3=0.0)
    mask = load_predictor(bundle, "cpu").predict(image, head.affine).mask
    assert tried[threshold, peak] == score("", reference, mask, 8.0)


def test_volumes_are_put_together(volume):
    probability, reference = volume
    scored = [dict(try_points(probability, truth, 1.0, 10)) for truth in (reference, np.zeros_like(reference))]
    point = next(p for p in operating_points(scored) if (p.threshold, p.peak) == (0.5, 0.75))
    assert (point.sensitivity, point.sensitivity_small, point.false_lesions) == (1.0, 0.0, 1.5)
    assert point.dice == pytest.approx(2 * 343 / (343 + 64 + 343 + 27))


def test_the_smallest_lesions_are_in_neither_share():
    lesions = tuple(ScoredLesion(diameter, diameter >= 3, 1.0) for diameter in (2.9, 3.0, 4.9, 5.0))
    scored = dict.fromkeys(product(THRESHOLDS, PEAKS), Score("", 1.0, lesions, (), 0.0, 1.0, 1.0))
    assert {(point.sensitivity_small, point.sensitivity) for point in operating_points([scored])} == {(1.0, 1.0)}


def test_the_most_sensitive_with_few_false_lesions_is_chosen():
    worse, false, better = replace(POINT, sensitivity=0.8), replace(POINT, false_lesions=0.6), replace(POINT, dice=0.9)
    sensitive = replace(false, sensitivity=0.99)
    assert choose([worse, POINT, better, sensitive], most_false=0.5) == better
    assert choose([worse, POINT, better, sensitive], most_false=0.6) == sensitive


def test_where_none_has_so_few_the_fewest_are_chosen():
    assert choose([POINT, replace(POINT, false_lesions=2.0, sensitivity=1.0)], most_false=0.1) == POINT


def test_where_no_pair_finds_a_lesion_there_is_nothing_to_choose():
    blind = replace(POINT, sensitivity=0.0, sensitivity_small=float("nan"), dice=0.0)
    with pytest.raises(NothingFoundError, match="no pair finds a lesion"):
        choose([blind, replace(blind, peak=0.9)], most_false=0.5)


@pytest.fixture
def no_volumes(monkeypatch):
    """The command, without the model and the volumes that its table comes from."""
    for name in ("load_settings", "labelled_volumes", "measure_each", "operating_points"):
        monkeypatch.setattr(tune, name, MagicMock())
    predictor = MagicMock()
    predictor.info.postprocessing = Postprocessing()
    monkeypatch.setattr(tune, "open_model", lambda *_: predictor)
    return functools.partial(monkeypatch.setattr, tune, "operating_points")


def test_that_no_pair_has_so_few_is_said(no_volumes, capsys):
    no_volumes(lambda _: [POINT])
    for most, said in (("0.3", True), ("0.5", False)):
        main(["tune", "model", "--synthetic", "1", "--most-false", most])
        assert ("no pair has at most 0.3 false lesions" in capsys.readouterr().out) == said


def test_a_model_that_finds_nothing_is_no_success(no_volumes):
    no_volumes(lambda _: [replace(POINT, sensitivity=0.0, sensitivity_small=0.0, dice=0.0)])
    with pytest.raises(SystemExit, match="no pair finds a lesion: nothing to choose"):
        main(["tune", "model", "--synthetic", "1"])


@pytest.mark.parametrize("most", ["-1", "nan", "few"])
def test_so_few_is_a_number_of_0_or_more(most, capsys):
    with pytest.raises(SystemExit):
        main(["tune", "model", "--synthetic", "1", f"--most-false={most}"])
    assert f"{most} is no number of 0 or more" in capsys.readouterr().err


def test_volumes_without_lesions_are_judged_by_what_is_false_alone():
    empty = np.zeros((20, 20, 20), bool)
    points = operating_points(
        [dict(try_points(answer(cube((20, 20, 20), (4, 4, 4), 5) * np.float32(0.7)), empty, 1.0, 10))]
    )
    assert all(isnan(point.sensitivity) and isnan(point.dice) for point in points)
    assert choose(points, most_false=0.5).false_lesions == 0
