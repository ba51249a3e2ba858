"""Every engine computes what torch computes in float32, and the choice between them holds whatever fails."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import UNETR
from torch import nn

from rano.components import label_lesions
from settings import ENGINES as SETTABLE
from settings import ROOT
from tests import factory
from unetr.bundle import read_bundle
from unetr.engines import choice, torch_engine
from unetr.engines.choice import AUTO, EngineError, choose_engine
from unetr.engines.engine import ENGINES, Engine, key_of
from unetr.engines.memory import keep_freed_memory
from unetr.engines.openvino_engine import OpenVinoEngine
from unetr.engines.torch_engine import TorchEngine
from unetr.loading.network import load_network
from unetr.network import FoldedSegResNet
from unetr.predictor import Predictor, load_predictor
from unetr.synthesis.anatomy import mni152
from unetr.synthesis.generator import synthesize

CPU = torch.device("cpu")
SHAPE = (1, 1, 32, 32, 32)
DEFAULT_MODEL = ROOT / "models" / "segresnet"

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "UNETR": lambda: UNETR(1, 2, 32, feature_size=4, hidden_size=24, mlp_dim=48, num_heads=2, dropout_rate=0.1),
    "FoldedSegResNet": lambda: FoldedSegResNet(1, 2, [32] * 3, init_filters=8),
}


def network(name: str) -> nn.Module:
    """A network of random weights, the same ones every time."""
    torch.manual_seed(0)
    return NETWORKS[name]().eval()


def windows(count: int = 1) -> torch.Tensor:
    return 2 * torch.rand((count, *SHAPE[1:]), generator=torch.Generator().manual_seed(1))


def error(logits: torch.Tensor, reference: torch.Tensor) -> float:
    return float((logits - reference).norm() / reference.norm())


def engine(name: str, kind: str, folder: Path) -> Engine:
    return choose_engine(lambda: network(kind), SHAPE, identity=kind, wanted=name, folder=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("name", ["torch-cpu", "openvino-cpu"])
def test_logits_are_those_of_torch_in_float32(name, kind, folder):
    with torch.inference_mode():
        reference = network(kind)(windows(3))
    made = engine(name, kind, folder)
    assert made.name == name
    assert made.device == CPU
    logits = made.run(windows(3)).clone()
    assert logits.dtype == torch.float32
    assert error(logits, reference) < 0.02
    assert torch.equal(made.run(windows(3)), logits)
    turned = windows(2).transpose(2, 4)
    assert error(made.run(turned), made.run(turned.contiguous()).clone()) < 1e-3


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_code_of_cuda_runs_on_any_device(precision):
    """All of it but the recorded graph: batches, half precision, fused attention."""
    with torch.inference_mode():
        reference = network("UNETR")(windows(4))
    made = TorchEngine(network("UNETR"), CPU, precision=precision, batch=4)
    assert made.batch == 4
    assert error(made.run(windows(4)), reference) < (1e-5 if precision == torch.float32 else 0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_computes_what_the_cpu_computes(tmp_path):
    with torch.inference_mode():
        reference = network("UNETR")(windows(4))
    made = engine("torch-cuda", "UNETR", tmp_path)
    for count in (4, 2, 4):
        logits = made.run(windows(4)[:count].cuda())
        assert error(logits.cpu(), reference[:count]) < 0.02


def recorded_by(monkeypatch: pytest.MonkeyPatch, record: Callable[..., Any]) -> TorchEngine:
    """An engine that takes its device for one that records."""
    monkeypatch.setattr(torch_engine, "_Graph", record)
    made = TorchEngine(network("FoldedSegResNet"), CPU, precision=torch.float32)
    made._recordable = True
    return made


def test_a_network_that_cannot_be_recorded_runs_all_the_same(monkeypatch, caplog):
    tried: list[int] = []

    def refuse(*_: object) -> None:
        tried.append(1)
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    made = recorded_by(monkeypatch, refuse)
    with torch.inference_mode():
        reference = network("FoldedSegResNet")(windows())
    for _ in range(2):
        assert error(made.run(windows()), reference) < 1e-5
    assert tried == [1]
    assert "runs unrecorded on the GPU, more slowly: CUDA error: operation not permitted" in caplog.text
    assert "more\n" not in caplog.text


def test_a_recording_that_runs_out_of_memory_is_tried_again_with_fewer(monkeypatch):
    class Recording:
        def __init__(self, forward: Callable[..., Any], example: torch.Tensor) -> None:
            if len(example) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.shape, self._forward = example.shape, forward

        def __call__(self, windows: torch.Tensor) -> torch.Tensor:
            assert windows.shape == self.shape, "it replays what it recorded"
            return self._forward(windows)

    made = recorded_by(monkeypatch, Recording)
    with pytest.raises(torch.OutOfMemoryError):
        made.run(windows(4))
    for count in (2, 1):
        assert made.run(windows(count)).shape == (count, 2, 32, 32, 32)


def test_a_window_that_fails_leaves_no_other_running(tmp_path):
    """The next batch would find its request busy: out of memory could not be followed by a smaller batch."""
    made = OpenVinoEngine(lambda: network("FoldedSegResNet"), SHAPE, tmp_path, "x")
    assert made.batch == min(2, os.cpu_count() or 1)
    expected = made.run(windows(2))
    whole, made._requests = made._requests, [Failing(request) for request in made._requests]
    for refuses in (False, True):
        made._requests[-1].refuses = refuses
        with pytest.raises(RuntimeError, match="bad_alloc"):
            made.run(windows(2))
    assert [request.waited for request in made._requests] == [2] * made.batch
    made._requests = whole
    assert torch.equal(made.run(windows(2)), expected)


class Failing:
    """A request of OpenVINO that runs out of memory."""

    def __init__(self, request: Any) -> None:
        self._request, self.waited, self.refuses = request, 0, False

    def start_async(self, *arguments: Any, **options: Any) -> None:
        if self.refuses:
            raise RuntimeError("std::bad_alloc")
        self._request.start_async(*arguments, **options)

    def wait(self) -> None:
        self._request.wait()
        self.waited += 1
        raise RuntimeError("std::bad_alloc")


def test_a_compiled_network_is_read_again_and_another_is_not_taken_for_it(tmp_path, caplog):
    def never() -> nn.Module:
        raise AssertionError("the network was loaded again")

    first = engine("openvino-cpu", "FoldedSegResNet", tmp_path).run(windows())
    (blob,) = tmp_path.glob("*.blob")
    os.utime(blob, (0, 0))
    again = choose_engine(never, SHAPE, identity="FoldedSegResNet", wanted="openvino-cpu", folder=tmp_path)
    assert torch.equal(again.run(windows()), first)
    assert blob.stat().st_mtime > time.time() - 3600
    with pytest.raises(AssertionError, match="loaded again"):  # by torch, once OpenVINO has given up
        choose_engine(never, SHAPE, identity="another", wanted="openvino-cpu", folder=tmp_path)

    blob.write_bytes(blob.read_bytes()[:1000])
    unused = blob.with_name(f"{key_of('the version before')}.blob")
    unused.write_bytes(b"")
    os.utime(unused, (0, 0))
    with caplog.at_level(logging.WARNING):
        repaired = engine("openvino-cpu", "FoldedSegResNet", tmp_path)
    assert "is made anew" in caplog.text
    assert repaired.name == "openvino-cpu"
    assert torch.equal(repaired.run(windows()), first)
    assert list(tmp_path.glob("*.blob")) == [blob]


class FakeEngine:
    """Stands in for OpenVINO: as fast, as wrong or as broken as wanted."""

    name, device, batch = "openvino-cpu", CPU, 2

    def __init__(self, factor: float = 1.0, failure: Exception | None = None) -> None:
        self._inner, self._factor, self._failure = TorchEngine(network("FoldedSegResNet"), CPU), factor, failure

    def run(self, windows: torch.Tensor) -> torch.Tensor:
        if self._failure:
            raise self._failure
        logits = self._inner.run(windows).clone()
        logits[-1] *= self._factor
        return logits


def choose(folder: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Engine], wanted: str = AUTO) -> Engine:
    monkeypatch.setattr(choice, "_openvino", make)
    return choose_engine(
        lambda: network("FoldedSegResNet"), SHAPE, identity="x", wanted=wanted, device="cpu", folder=folder
    )


def test_the_fastest_is_measured_once(tmp_path, monkeypatch, caplog):
    # torch 0.3 s, then OpenVINO 0.1 s for two
    clock = iter([0.0, 0.3, 1.0, 1.3, 2.0, 2.3, 3.0, 3.1, 4.0, 4.1, 5.0, 5.1])
    monkeypatch.setattr(choice.time, "perf_counter", lambda: next(clock))
    made: list[int] = []

    def openvino(*_: object) -> Engine:
        made.append(1)
        return FakeEngine()

    assert choose(tmp_path, monkeypatch, openvino).name == "openvino-cpu"
    (kept,) = tmp_path.glob("*.json")
    seconds = json.loads(kept.read_text("utf-8"))["seconds_per_window"]
    assert seconds == {"torch-cpu": pytest.approx(0.3), "openvino-cpu": pytest.approx(0.05)}
    assert choose(tmp_path, monkeypatch, openvino).name == "openvino-cpu"  # the clock has run out
    assert len(made) == 3

    kept.write_text(json.dumps({"seconds_per_window": {"torch-cpu": 0.1, "openvino-cpu": 0.3}}), "utf-8")
    assert choose(tmp_path, monkeypatch, openvino).name == "torch-cpu"
    assert len(made) == 3


@pytest.mark.parametrize("wanted", [AUTO, "openvino-cpu"])
@pytest.mark.parametrize(
    "failure", [ImportError("No module named 'openvino'"), RuntimeError("unsupported op\nat line 3"), OSError()]
)
def test_an_openvino_that_fails_costs_a_warning(tmp_path, monkeypatch, caplog, wanted, failure):
    def missing(*_: object) -> Engine:
        raise failure

    for make in (missing, lambda *_: FakeEngine(failure=failure)):
        caplog.clear()
        assert choose(tmp_path, monkeypatch, make, wanted).name == "torch-cpu"
        for kept in tmp_path.glob("*.json"):
            kept.unlink()
        (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert record.getMessage().startswith("openvino-cpu cannot run this network: ")
        assert "\n" not in record.getMessage()


@pytest.mark.parametrize("wanted", [AUTO, "openvino-cpu"])
@pytest.mark.parametrize("factor", [1.2, float("nan")])  # of the last window alone
def test_an_engine_that_computes_something_else_is_not_used(tmp_path, monkeypatch, caplog, factor, wanted):
    assert choose(tmp_path, monkeypatch, lambda *_: FakeEngine(factor), wanted).name == "torch-cpu"
    assert "does not compute this network as PyTorch does" in caplog.text


def test_the_engine_that_was_asked_for_is_used_though_another_is_faster(tmp_path, monkeypatch):
    assert choose(tmp_path, monkeypatch, lambda *_: FakeEngine(), "openvino-cpu").name == "openvino-cpu"
    (kept,) = tmp_path.glob("*.json")
    kept.write_text(json.dumps({"seconds_per_window": {"torch-cpu": 0.1, "openvino-cpu": 0.3}}), "utf-8")
    assert choose(tmp_path, monkeypatch, lambda *_: FakeEngine(), "openvino-cpu").name == "openvino-cpu"
    assert choose(tmp_path, monkeypatch, lambda *_: FakeEngine()).name == "torch-cpu"


def test_the_engine_that_was_asked_for_is_tried_again_though_it_failed_before(tmp_path, monkeypatch):
    assert choose(tmp_path, monkeypatch, lambda *_: FakeEngine(float("nan"))).name == "torch-cpu"
    assert choose(tmp_path, monkeypatch, lambda *_: FakeEngine(), "openvino-cpu").name == "openvino-cpu"


def test_what_was_measured_is_kept_apart_by_network_and_window():
    assert len({choice._key(*what) for what in (("x", SHAPE), ("another", SHAPE), ("x", (1, 1, 32, 32, 16)))}) == 3


def test_a_network_whose_numbers_overflow_is_left_to_torch(tmp_path, monkeypatch):
    broken = network("FoldedSegResNet")
    with torch.no_grad():
        next(iter(broken.parameters())).fill_(torch.inf)
    monkeypatch.setattr(choice, "_openvino", lambda *_: FakeEngine())
    assert choose_engine(lambda: broken, SHAPE, identity="x", device="cpu", folder=tmp_path).name == "torch-cpu"


def test_a_measurement_that_cannot_be_read_is_made_again(tmp_path, monkeypatch):
    choose(tmp_path, monkeypatch, lambda *_: FakeEngine(float("nan")))
    (kept,) = tmp_path.glob("*.json")
    for content in ("", "[]", '{"seconds_per_window": {}}', '{"seconds_per_window": {"openvino-cpu": null}}'):
        kept.write_text(content, "utf-8")
        assert choose(tmp_path, monkeypatch, lambda *_: FakeEngine(float("nan"))).name == "torch-cpu"
        assert json.loads(kept.read_text("utf-8"))["seconds_per_window"].keys() == {"torch-cpu"}


def test_without_a_folder_torch_runs():
    assert choose_engine(lambda: network("FoldedSegResNet"), SHAPE, identity="x").name.startswith("torch-")


def test_what_cannot_be_had_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="There is no CUDA device that PyTorch can use: set ENGINE=auto"):
        choose_engine(lambda: network("UNETR"), SHAPE, identity="x", wanted="torch-cuda")
    with pytest.raises(EngineError, match="There is no engine abacus; there is auto, torch-cuda"):
        choose_engine(lambda: network("UNETR"), SHAPE, identity="x", wanted="abacus")


def test_every_engine_can_be_set():
    assert set(SETTABLE) == {AUTO, *ENGINES}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_kept():
    """In a process of its own: a large block that is freed and asked for again needs no new pages."""
    code = """
import resource, torch
from unetr.engines.memory import keep_freed_memory
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def cost():
    before = faults()
    for _ in range(20):
        torch.ones(16 << 20, dtype=torch.uint8)
    return faults() - before
plain = cost()
assert keep_freed_memory()
cost()
print(plain, cost())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    plain, kept = map(int, done.stdout.split())
    assert keep_freed_memory()
    assert kept < plain / 10


def test_openvino_reports_nothing_to_anybody(tmp_path):
    code = f"""
import pathlib, sys, torch
from unetr.engines.choice import choose_engine
from torch import nn
def load():
    torch.manual_seed(0)
    return nn.Conv3d(1, 2, 3, padding=1).eval()
engine = choose_engine(load, (1, 1, 8, 8, 8), identity="x",
                       wanted="openvino-cpu", folder=pathlib.Path({str(tmp_path)!r}) / "engines")
assert engine.name == "openvino-cpu"
assert not [name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module]
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "MPLCONFIGDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    assert not (home / "intel").exists()


def agree(reference: Predictor, other: Predictor, image: np.ndarray, affine: np.ndarray) -> int:
    """Both predictions are as good as one; gives the number of lesions."""
    a, b = (predictor.predict(image, affine) for predictor in (reference, other))
    assert (a.mask == b.mask).mean() >= 0.999
    assert 2 * (a.mask & b.mask).sum() >= 0.995 * (a.mask.sum() + b.mask.sum())
    ours, theirs = (label_lesions(p.mask, affine, p.minimum_volume_mm3) for p in (a, b))
    assert ours.max() == theirs.max()
    for number in range(1, ours.max() + 1):
        assert len(np.unique(theirs[(ours == number) & (theirs > 0)])) == 1
    return int(ours.max())


def in_float32(path: Path) -> Predictor:
    info = read_bundle(path)
    return Predictor(info, TorchEngine(load_network(info), CPU, precision=torch.float32))


@pytest.fixture(scope="module", params=["torch-cpu", "openvino-cpu"])
def tiny(request, tiny_model, folder) -> tuple[Predictor, Predictor]:
    other = load_predictor(tiny_model, "cpu", engine=request.param, engines_dir=folder)
    assert other.engine.name == request.param
    return in_float32(tiny_model), other


def test_the_same_lesions_in_a_phantom(tiny):
    volume = factory.volume()
    assert agree(tiny[0], tiny[1], volume.array, volume.affine) == len(factory.LESIONS)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_lesions_in_random_volumes(tiny, seed):
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.gamma(4, 0.25, (6, 7, 5)).astype(np.float32))[None, None]
    field = torch.nn.functional.interpolate(coarse, size=(60, 70, 50), mode="trilinear")[0, 0].numpy()
    image = 300 + 600 * np.clip(4 * (field - 1.3), 0, 1) + rng.normal(0, 5, field.shape)  # blobs of any shape
    assert agree(tiny[0], tiny[1], image.astype(np.float32), np.eye(4)) > 0


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """The middle of a synthetic head: brain with lesions."""
    volume = synthesize(mni152(), 3, lesions=8, stripped=False)
    middle = [int(centre) for centre in np.argwhere(volume.brain.numpy()).mean(0)]
    return volume.image[tuple(slice(centre - 46, centre + 46) for centre in middle)].numpy()


@pytest.mark.parametrize("name", ["torch-cpu", "openvino-cpu"])
def test_the_same_lesions_with_the_shipped_weights(name, head, folder):
    other = load_predictor(DEFAULT_MODEL, "cpu", engine=name, engines_dir=folder)
    assert other.engine.name == name
    assert agree(in_float32(DEFAULT_MODEL), other, head, np.diag([-1.0, -1.0, 1.0, 1.0])) > 0


class FakeCard:
    """Has room for so many windows at a time, if it can run any."""

    name = "torch-cuda"

    def __init__(self, device: str = "cpu", batch: int = 4, room: int = 4, trouble: Exception | None = None) -> None:
        self.device, self.batch, self.room, self.trouble = torch.device(device), batch, room, trouble

    def run(self, windows: torch.Tensor) -> torch.Tensor:
        if self.trouble:
            raise self.trouble
        if len(windows) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return windows


@pytest.mark.parametrize(("room", "batch"), [(4, 4), (3, 2), (1, 1)])
def test_a_small_gpu_runs_fewer_windows_at_a_time(monkeypatch, room, batch):
    monkeypatch.setattr(choice, "TorchEngine", lambda *_: FakeCard(room=room))
    assert choose_engine(lambda: network("UNETR"), SHAPE, identity="x", device="cpu").batch == batch


def test_a_gpu_without_room_for_a_window_is_an_error_where_it_was_asked_for(monkeypatch):
    monkeypatch.setattr(choice, "TorchEngine", lambda *_: FakeCard(room=0))
    with pytest.raises(torch.OutOfMemoryError):
        choose_engine(lambda: network("UNETR"), SHAPE, identity="x", device="cpu")
