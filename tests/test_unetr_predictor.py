"""From array and affine to a mask that lies on the lesion, the same every time."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.utils._python_dispatch import TorchDispatchMode

from rano.components import label_lesions
from settings import load_settings
from tests import factory
from tests.tiny_model import DEFINITION, tiny_bundle, tiny_weights
from unetr.engines import memory
from unetr.engines.engine import Engine
from unetr.errors import ModelError
from unetr.predictor import Answer, Predictor, _smoothed, _without_faint, centred, load_predictor, open_model
from unetr.preprocessing import PRESETS
from unetr.slices import average_slices
from unetr.training.export import write_bundle

SHAPE, SPACING = (40, 44, 42), (2.0, 2.0, 2.0)


@pytest.fixture(scope="module")
def predictor(tiny_model: Path) -> Predictor:
    return load_predictor(tiny_model, "cpu")


@pytest.fixture(scope="module")
def small():
    """A head in a few voxels, for what does not depend on its size."""
    return factory.volume(shape=SHAPE, spacing=SPACING)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_a_model_is_opened_as_the_settings_say(tiny_model, tmp_path):
    environ = {"MODEL_PATH": str(tiny_model), "ENGINE": "openvino-cpu", "VAR_DIR": str(tmp_path)}
    settings = load_settings(environ, env_file=None)
    opened = open_model(settings, device="cpu")
    assert (opened.info.path, opened.engine.name) == (tiny_model, "openvino-cpu")
    assert list(settings.engines_dir.glob("*.blob"))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("plane", factory.PLANES)
def test_the_mask_lies_on_the_lesions(predictor, plane, reverse):
    volume = factory.volume(plane, reverse=reverse)
    prediction = predictor.predict(volume.array, volume.affine)
    assert prediction.probability.shape == prediction.mask.shape == volume.spatial_shape
    assert (prediction.probability.dtype, prediction.mask.dtype) == (np.float32, bool)
    found = label_lesions(prediction.mask, volume.affine, prediction.minimum_volume_mm3)
    assert found.max() == len(factory.LESIONS)
    for number, lesion in enumerate(factory.LESIONS, start=1):  # both orders are by size
        truth = factory.sphere_mask(volume, lesion.centre_lps, lesion.radius_mm)
        assert dice(found == number, truth) > 0.95


@pytest.mark.parametrize(("shape", "spacing"), [((18, 100, 100), (5.0, 0.9, 0.9)), ((75, 43, 112), (1.2, 2.1, 0.8))])
def test_honours_anisotropic_voxels(predictor, shape, spacing):
    lesion = factory.LESIONS[0]
    volume = factory.volume(shape=shape, spacing=spacing, lesions=[lesion])
    prediction = predictor.predict(volume.array, volume.affine)
    assert dice(prediction.mask, factory.sphere_mask(volume, lesion.centre_lps, lesion.radius_mm)) > 0.9


def test_two_runs_agree_in_every_bit(predictor, tiny_model, small):
    first, again, other = (
        one.predict(small.array, small.affine) for one in (predictor, predictor, load_predictor(tiny_model, "cpu"))
    )
    for second in (again, other):
        np.testing.assert_array_equal(first.probability, second.probability)
        np.testing.assert_array_equal(first.mask, second.mask)


def test_the_image_stays_as_it_is(predictor, small):
    image = small.array.astype(np.float32)
    predictor.predict(image, np.diag([-1.0, -1.0, 1.0, 1.0]))  # the network's own axes and spacing: nothing is turned
    np.testing.assert_array_equal(image, small.array)


def test_nothing_is_found_where_nothing_is(predictor):
    volume = factory.volume(lesions=(), shape=SHAPE, spacing=SPACING)
    assert not predictor.predict(volume.array, volume.affine).mask.any()


def test_progress_grows_to_one(predictor):
    volume = factory.volume()
    seen: list[float] = []
    predictor.predict(volume.array, volume.affine, seen.append)
    assert len(seen) > 4
    assert seen[0] > 0
    assert (np.diff(seen) > 0).all()
    assert seen[-1] == 1.0


def test_progress_grows_to_one_in_a_volume_smaller_than_the_window(predictor, small):
    seen: list[float] = []
    predictor.predict(small.array[15:25, 15:25, 15:25], small.affine, seen.append)
    assert seen == [1.0]


def test_the_surface_is_smoothed_and_stays_where_it_is(predictor, tmp_path):
    volume = factory.volume(shape=(80, 88, 84), spacing=(1.0, 1.0, 1.0), lesions=factory.LESIONS[:1])
    smoothing = load_predictor(tiny_bundle(tmp_path, smoothing=0.8), "cpu")
    sharp, smooth = (one.predict(volume.array, volume.affine) for one in (predictor, smoothing))
    np.testing.assert_allclose(smooth.probability, ndimage.gaussian_filter(sharp.probability, 0.8), atol=5e-3)
    assert smooth.mask.sum() == pytest.approx(sharp.mask.sum(), rel=0.03)


class LopsidedEngine:
    """Its logit is an odd function of how far right a voxel lies, whatever the image shows."""

    name, device, batch = "lopsided", torch.device("cpu"), 1

    def run(self, windows: torch.Tensor) -> torch.Tensor:
        return torch.linspace(-3, 3, windows.shape[2]).reshape(1, 1, -1, 1, 1).expand(windows.shape)


class SureEngine(LopsidedEngine):
    def run(self, windows: torch.Tensor) -> torch.Tensor:
        return torch.full_like(windows, 50.0)


def test_no_probability_is_more_than_one(tmp_path):
    image = np.random.default_rng(0).uniform(0.5, 1.5, (64, 64, 64)).astype(np.float32)
    info = load_predictor(tiny_bundle(tmp_path, smoothing=0.7, threshold=0.55), "cpu").info
    probability = Predictor(info, SureEngine()).predict(image, np.eye(4)).probability
    assert probability.max() == pytest.approx(1, abs=1e-6)


class BrokenEngine(LopsidedEngine):
    """Answers as float16 does that has run over."""

    def run(self, windows: torch.Tensor) -> torch.Tensor:
        answer = torch.zeros_like(windows)
        answer[:, :, 3] = torch.nan
        return answer


def test_an_answer_of_no_numbers_is_not_taken_for_no_lesion(tmp_path):
    image = np.random.default_rng(0).uniform(0.5, 1.5, (64, 64, 64)).astype(np.float32)
    info = load_predictor(tiny_bundle(tmp_path), "cpu").info
    with pytest.raises(ModelError, match="values that are no numbers: set ENGINE=torch-cpu"):
        Predictor(info, BrokenEngine()).predict(image, np.eye(4))


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_a_slab_thinner_than_a_block_is_segmented(predictor, slices):
    image = np.random.default_rng(0).uniform(0.5, 1.5, (slices, 60, 60)).astype(np.float32)
    assert predictor.predict(image, np.eye(4)).mask.shape == image.shape


@pytest.mark.parametrize("mirror", [False, True])
def test_mirrored_windows_are_averaged(tmp_path, mirror):
    image = np.random.default_rng(0).uniform(0.5, 1.5, (64, 64, 64)).astype(np.float32)
    info = load_predictor(tiny_bundle(tmp_path, mirror=mirror), "cpu").info
    probability = Predictor(info, LopsidedEngine()).predict(image, np.diag([-1.0, -1.0, 1.0, 1.0])).probability
    if mirror:
        np.testing.assert_allclose(probability, 0.5, atol=1e-6)
    else:
        assert probability[0].max() < 0.1 < 0.9 < probability[-1].min()


def test_left_and_right_are_exchanged_wherever_the_preset_has_them(tmp_path):
    """With "metia" they lie along the second axis, as columns do."""

    class Sideways(LopsidedEngine):
        def run(self, windows: torch.Tensor) -> torch.Tensor:
            return super().run(windows.transpose(2, 3)).transpose(2, 3)

    image = np.random.default_rng(0).uniform(0.5, 1.5, (64, 64, 64)).astype(np.float32)
    info = replace(load_predictor(tiny_bundle(tmp_path, mirror=True), "cpu").info, preprocessing="metia")
    affine = np.eye(4)[[2, 1, 0, 3]]
    np.testing.assert_allclose(Predictor(info, Sideways()).predict(image, affine).probability, 0.5, atol=1e-6)


class StopError(Exception):
    """Raised by a callback."""


def test_what_progress_raises_ends_the_prediction(predictor):
    volume = factory.volume()
    seen: list[float] = []

    def stop(fraction: float) -> None:
        seen.append(fraction)
        if len(seen) == 2:
            raise StopError

    with pytest.raises(StopError):
        predictor.predict(volume.array, volume.affine, stop)
    assert len(seen) == 2


def test_air_around_the_head_costs_and_changes_nothing(predictor, small):
    wide = np.pad(small.array, 30)
    affine = small.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [30, 30, 30]
    seen: list[list[float]] = [[], []]
    expected = predictor.predict(small.array, small.affine, seen[0].append)
    padded = predictor.predict(wide, affine, seen[1].append)
    inside = padded.mask[30:-30, 30:-30, 30:-30]
    np.testing.assert_array_equal(inside, expected.mask)
    assert padded.mask.sum() == inside.sum()
    assert len(seen[1]) == len(seen[0])


@pytest.mark.parametrize("value", [0, np.nan])
def test_nothing_to_segment(predictor, value):
    with pytest.raises(ValueError, match="the image holds no"):
        predictor.predict(np.full((20, 20, 20), value, np.float32), np.eye(4))


def test_the_threshold_becomes_one_half(tmp_path, predictor, small):
    loose = load_predictor(tiny_bundle(tmp_path, threshold=0.1), "cpu").predict(small.array, small.affine)
    plain = predictor.predict(small.array, small.affine)
    p = plain.probability.astype(float)
    np.testing.assert_array_equal(loose.mask, plain.probability >= 0.1)
    np.testing.assert_allclose(loose.probability, 9 * p / (9 * p + 1 - p), atol=1e-6)
    assert loose.mask.sum() > plain.mask.sum() > 0


def test_a_lesion_reaches_the_peak_or_is_none(tmp_path, predictor):
    volume = factory.volume(lesions=[factory.LESIONS[0]])
    array = volume.array.astype(np.float32)
    faint = factory.sphere_mask(volume, factory.LESIONS[1].centre_lps, 6.0)
    tissue = np.median(array[array > 200])
    array[faint] = 1.8 * tissue
    without = predictor.predict(array, volume.affine)
    assert ndimage.label(without.mask)[1] == 2
    with_peak = load_predictor(tiny_bundle(tmp_path, peak=0.95), "cpu").predict(array, volume.affine)
    assert not with_peak.mask[faint].any()
    np.testing.assert_array_equal(with_peak.mask & ~faint, without.mask & ~faint)
    assert (with_peak.probability <= without.probability).all()
    np.testing.assert_array_equal(with_peak.probability[with_peak.mask], without.probability[with_peak.mask])


def test_a_small_lesion_does_not_lose_its_peak_to_thick_slices(tmp_path, predictor):
    """On the network's grid it is sure; averaged into the acquired slices it is not."""
    volume = factory.volume(lesions=[replace(factory.LESIONS[0], radius_mm=3.0)])
    thick, affine = average_slices(volume.array.astype(np.float32), volume.affine, 4.0)
    without = predictor.predict(thick, affine)
    assert without.mask.any()
    assert without.probability.max() < 0.8
    with_peak = load_predictor(tiny_bundle(tmp_path, peak=0.9), "cpu").predict(thick, affine)
    np.testing.assert_array_equal(with_peak.mask, without.mask)


def test_what_just_reaches_threshold_and_peak_is_lesion():
    probability = torch.zeros(4, 4, 9)
    probability[1:3, 1:3, 1:3] = 0.5
    probability[1:3, 1:3, 6:8] = 0.5
    probability[1, 1, 1] = 0.75
    lesion = probability.numpy() > 0
    lesion[:, :, 6:8] = False  # that one has no peak
    answer = Answer(probability, torch.clone, "4 x 4 x 9 voxels")
    np.testing.assert_array_equal(answer.read(0.5, 0.75, 0).mask, lesion)


def test_what_is_thinner_than_the_smoothing_is_smoothed_as_with_nothing_around_it():
    slab = torch.rand(2, 9, 10, generator=torch.Generator().manual_seed(0))
    around = _smoothed(torch.nn.functional.pad(slab, [12] * 6), 1.5)[12:-12, 12:-12, 12:-12]
    torch.testing.assert_close(_smoothed(slab.clone(), 1.5), around)


def test_the_same_weights_in_another_network_are_kept_apart(tmp_path, monkeypatch):
    """What was compiled or measured of one is no answer for the other."""
    seen: set[str] = set()

    def choose(*_: object, identity: str, **__: object) -> Engine:
        seen.add(identity)
        return SureEngine()

    monkeypatch.setattr("unetr.predictor.choose_engine", choose)
    path = tiny_bundle(tmp_path) / "configs" / "inference.json"
    for heads in (2, 3, 2):
        inference = json.loads(path.read_text("utf-8"))
        inference["network_def"]["num_heads"] = heads
        path.write_text(json.dumps(inference), "utf-8")
        load_predictor(tmp_path, "cpu")
    assert len(seen) == 2


def test_the_smallest_lesion_comes_from_the_bundle(tmp_path, small):
    prediction = load_predictor(tiny_bundle(tmp_path, minimum_volume_mm3=33.0), "cpu").predict(
        small.array, small.affine
    )
    assert prediction.minimum_volume_mm3 == pytest.approx(33.0, rel=1e-3)


FULL = torch.OutOfMemoryError("CUDA out of memory")


class SmallCard:
    """Stands in for a GPU with little room; "meta" for its device, which every PyTorch has."""

    name = "torch-cuda"

    def __init__(self, engine: Engine, room: int = 4) -> None:
        self.device, self.batch, self.room = torch.device("cpu"), 4, room
        self.sizes: list[int] = []
        self._engine = engine

    def run(self, windows: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(windows))
        if len(windows) > self.room:
            raise FULL
        return self._engine.run(windows)


def test_the_batch_there_is_memory_for_is_remembered(predictor):
    volume, card = factory.volume(), SmallCard(predictor.engine, room=1)
    small = Predictor(predictor.info, card)
    first = small.predict(volume.array, volume.affine)
    assert card.sizes[:3] == [4, 2, 1]
    card.sizes.clear()
    second = small.predict(volume.array, volume.affine)
    assert set(card.sizes) == {1}
    assert card.batch == 1
    np.testing.assert_array_equal(first.probability, second.probability)


class Elsewhere:
    """An engine whose windows are to lie on another device than the one that the volume fell back to."""

    name, device, batch = "torch-cuda", torch.device("meta"), 2

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, windows: torch.Tensor) -> torch.Tensor:
        assert windows.device == self.device
        return self._engine.run(torch.full(windows.shape, 1.9))  # what they hold is not known there


def test_a_volume_without_room_on_the_gpu_is_prepared_on_the_cpu(monkeypatch, predictor, small, caplog):
    tried: list[str] = []

    def prepare(image, affine, where):
        tried.append(torch.device(where).type)
        if tried[-1] == "meta":
            raise FULL
        return PRESETS["ras-1mm"](image, affine, where)

    monkeypatch.setattr("unetr.predictor.PRESETS", {"ras-1mm": prepare})
    prediction = Predictor(predictor.info, Elsewhere(predictor.engine)).predict(small.array, small.affine)
    assert tried == ["meta", "cpu"]
    assert prediction.mask.any()
    assert "out of memory: preparing 40 x 44 x 42 voxels is done on the CPU" in caplog.text


def fail_once_on_the_gpu(monkeypatch, nth: int) -> list[str]:
    """Take the device of each step of the way back for a GPU that the n-th step finds no room on."""
    steps: list[str] = []

    def with_room(do, device, what):
        if not what.startswith(("smoothing", "bringing back")):
            return memory.with_room(do, device, what)
        steps.append(what)

        def full_on_the_gpu(where):
            if where.type == "meta":
                raise FULL
            return do(where)

        return memory.with_room(full_on_the_gpu, torch.device("meta") if len(steps) == nth else device, what)

    monkeypatch.setattr("unetr.predictor.with_room", with_room)
    return steps


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_the_way_back_goes_on_on_the_cpu_with_the_same_result(monkeypatch, tmp_path, caplog, step):
    loaded = load_predictor(tiny_bundle(tmp_path, smoothing=0.7, threshold=0.4, peak=0.95), "cpu")
    head = factory.volume(shape=SHAPE, spacing=SPACING, lesions=factory.LESIONS[:2])
    array = head.array.astype(np.float32)
    array[factory.sphere_mask(head, factory.LESIONS[2].centre_lps, 7.0)] = 1.77 * np.median(array[array > 200])
    expected = loaded.predict(array, head.affine)
    assert expected.mask.any()
    assert loaded.ask(array, head.affine).read(0.4, 0.5, 0).mask.sum() > expected.mask.sum(), "none is faint"
    steps = fail_once_on_the_gpu(monkeypatch, step)
    prediction = loaded.predict(array, head.affine)
    assert steps == [f"{what} 40 x 44 x 42 voxels" for what in ("smoothing", *["bringing back"] * 3)]
    assert f"out of memory: {steps[step - 1]} is done on the CPU" in caplog.text
    np.testing.assert_array_equal(prediction.probability, expected.probability)


@pytest.mark.parametrize(
    "step", [lambda p: _smoothed(p, 0.7), lambda p: _without_faint(p, 0.3, 0.9), lambda p: centred(p, 0.3)]
)
def test_a_step_that_finds_no_room_has_changed_nothing(monkeypatch, step):
    """It is taken again, elsewhere: what is done in place must not be done twice."""
    probability = 0.2 * torch.rand(8, 9, 10)
    probability[2:4, 2:4, 2:4], probability[6, 6, 6] = 0.4, 0.99
    before = probability.clone()

    class NoRoom(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            result = function(*arguments, **(options or {}))
            new = isinstance(result, torch.Tensor) and result.shape == before.shape
            if new and result.untyped_storage().data_ptr() != probability.untyped_storage().data_ptr():
                raise FULL
            return result

    with pytest.raises(torch.OutOfMemoryError), NoRoom():
        step(probability)
    assert torch.equal(probability, before)


def test_with_no_room_for_the_volume_a_sentence_says_so(monkeypatch, predictor, small):
    def prepare(*_):
        raise MemoryError

    monkeypatch.setattr("unetr.predictor.PRESETS", {"ras-1mm": prepare})
    with pytest.raises(memory.NotEnoughMemoryError, match="preparing 40 x 44 x 42 voxels does not fit into memory"):
        predictor.predict(small.array, small.affine)


def two_outputs(folder: Path, outputs: tuple[str, ...], other_bias: float = 0.0) -> Predictor:
    """Load the tiny model with a second output that is ``other_bias`` everywhere."""
    weights = tiny_weights()
    kernel, bias = (weights[f"out.conv.conv.{part}"] for part in ("weight", "bias"))
    parts = {"lesion": (kernel, bias), "other": (0 * kernel, torch.full_like(bias, other_bias))}
    for index, name in enumerate(("weight", "bias")):
        weights[f"out.conv.conv.{name}"] = torch.cat([parts[output][index] for output in outputs])
    metadata = {"name": "two", "version": "1", "statement": "For tests, not a medical device."}
    write_bundle(folder, weights, DEFINITION | {"out_channels": 2}, metadata)
    return load_predictor(folder, "cpu")


def test_the_second_output_says_where_the_brain_is(tmp_path, predictor, small):
    alone = predictor.predict(small.array, small.affine).probability
    inside = two_outputs(tmp_path / "a", ("lesion", "other"), 3.0).predict(small.array, small.affine)
    np.testing.assert_allclose(inside.probability, alone, atol=1e-6)
    outside = two_outputs(tmp_path / "b", ("lesion", "other"), -6.0).predict(small.array, small.affine)
    np.testing.assert_allclose(outside.probability, alone * 2 / (1 + np.exp(6)), atol=1e-4)
    assert not outside.mask.any()


def test_of_several_lesion_outputs_the_union_counts(tmp_path, predictor, small):
    two_outputs(tmp_path, ("other", "lesion"), -6.0)
    path = tmp_path / "configs" / "metadata.json"
    metadata = json.loads(path.read_text("utf-8"))
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"] = {"0": "necrosis", "1": "enhancing tumour"}
    path.write_text(json.dumps(metadata), "utf-8")
    union, alone = (one.predict(small.array, small.affine) for one in (load_predictor(tmp_path, "cpu"), predictor))
    np.testing.assert_allclose(union.probability, np.maximum(alone.probability, 1 / (1 + np.exp(6))), atol=5e-3)
    np.testing.assert_array_equal(union.mask, alone.mask)


def test_of_several_lesion_classes_the_sum_counts(predictor, small):
    class Undecided(LopsidedEngine):
        def run(self, windows: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(windows), 3, *windows.shape[2:])

    channels = {"0": "background", "1": "necrosis", "2": "enhancing tumour"}
    pred = {"activation": "softmax", "channel_def": channels}
    network = predictor.info.network | {"out_channels": 3}
    info = replace(predictor.info, network=network, metadata={"network_data_format": {"outputs": {"pred": pred}}})
    prediction = Predictor(info, Undecided()).predict(small.array, small.affine)
    assert prediction.probability.max() == pytest.approx(2 / 3, abs=1e-5)


def test_dim_tissue_is_not_taken_for_air(predictor):
    image = np.zeros((200, 64, 64), np.float32)
    image[:100], image[150:190] = 1.0, 0.3
    probability = Predictor(predictor.info, SureEngine()).predict(image, np.eye(4)).probability
    assert probability[185, 32, 32] == pytest.approx(1, abs=1e-3)


def test_a_network_with_an_output_for_the_background(tmp_path, predictor, small):
    """Logits of background and lesion, of which one in all is true: the same answer as the lesion's alone."""
    two_outputs(tmp_path, ("other", "lesion"))
    path = tmp_path / "configs" / "metadata.json"
    metadata = json.loads(path.read_text("utf-8"))
    pred = metadata["network_data_format"]["outputs"]["pred"]
    del pred["activation"]
    pred["channel_def"] = {"0": "background", "1": "brain metastasis"}
    path.write_text(json.dumps(metadata), "utf-8")
    softmax = load_predictor(tmp_path, "cpu").predict(small.array, small.affine).probability
    np.testing.assert_allclose(softmax, predictor.predict(small.array, small.affine).probability, atol=1e-5)
