"""A GPU is used only in a way that computes what the CPU computes; PyTorch on the CPU stands in for the card."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from unetr.engines import cuda
from unetr.engines.choice import choose_engine
from unetr.engines.engine import Engine, EngineError
from unetr.engines.torch_engine import TorchEngine
from unetr.errors import ModelError

SHAPE = (1, 1, 8, 8, 8)
BF16, BF16_PLAIN, FP16, FP32 = "bfloat16 recorded", "bfloat16 step by step", "float16 recorded", "float32 step by step"
EVERY = [BF16, BF16_PLAIN, FP16, FP32]

Fault = Callable[[torch.Tensor], torch.Tensor]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv3d(1, 2, 3, padding=1).eval()


class OnCard:
    """An engine that computes on the CPU, and then spoils its logits."""

    name, device = "torch-cuda", torch.device("cpu")

    def __init__(self, network: nn.Module, fault: Fault | None) -> None:
        self._inner, self._fault, self.batch = TorchEngine(network, self.device, precision=torch.float32), fault, 4

    def run(self, windows: torch.Tensor) -> torch.Tensor:
        logits = self._inner.run(windows)
        return self._fault(logits) if self._fault else logits


class Card:
    """A machine's GPU: which ways of running a network on it go wrong, and which were tried."""

    def __init__(self, folder: Path | None) -> None:
        self.faults: dict[str, Fault] = {}
        self.tried: list[str] = []
        self.folder = folder

    def engine(
        self, network: nn.Module, device: torch.device, *, precision: torch.dtype, recorded: bool = True
    ) -> Engine:
        if device.type == "cpu":
            return TorchEngine(network, device, precision=precision)
        way = str(cuda.Way(precision, recorded))
        self.tried.append(way)
        return OnCard(network, self.faults.get(way))

    def choose(self, wanted: str = "auto", load: Callable[[], nn.Module] = network, **options: str) -> Engine:
        self.tried.clear()
        return choose_engine(load, SHAPE, identity="x", wanted=wanted, folder=self.folder, **options)

    @property
    def kept(self) -> list[dict]:
        assert self.folder
        contents = [json.loads(path.read_text("utf-8")) for path in self.folder.glob("*.json")]
        return [content for content in contents if "way" in content]


@pytest.fixture
def card(monkeypatch, tmp_path):
    made = Card(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "_card", lambda: "NVIDIA Abacus")
    monkeypatch.setattr(cuda, "fastest_precision", lambda device: torch.bfloat16)
    monkeypatch.setattr(cuda, "TorchEngine", made.engine)
    return made


def stale() -> Fault:
    """What a recording does that always gives what it gave first of so many windows."""
    first: dict[int, torch.Tensor] = {}

    def fault(logits: torch.Tensor) -> torch.Tensor:
        return first.setdefault(len(logits), logits.clone())

    return fault


def one_window_of_the_batch(logits: torch.Tensor) -> torch.Tensor:
    logits = logits.clone()
    logits[-1] = 0
    return logits


def two_windows_at_a_time(logits: torch.Tensor) -> torch.Tensor:
    return 0 * logits if len(logits) == 2 else logits


def broken(_: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("CUDA error: no kernel image is available\nmore")


def helpless(_: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("Unable to find an engine to execute this computation")  # or there was no room for one


def full(_: torch.Tensor) -> torch.Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory")


def wrong(logits: torch.Tensor) -> torch.Tensor:
    return 1.2 * logits


def no_numbers(logits: torch.Tensor) -> torch.Tensor:
    return logits * float("nan")


def test_a_card_that_computes_rightly_runs_the_fastest_way(card, caplog):
    with caplog.at_level(logging.INFO):
        assert card.choose().name == "torch-cuda"
    assert card.tried == [BF16]
    assert card.kept == [{"way": BF16, "batch": 4, "seen": {BF16: "off by 0.00%"}}]
    assert "the GPU runs this network in bfloat16 recorded, as the CPU does in float32: off by 0.00%" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize("fault", [wrong, no_numbers, one_window_of_the_batch, two_windows_at_a_time, broken])
@pytest.mark.parametrize("wanted", ["auto", "torch-cuda"])
def test_a_way_that_is_wrong_is_passed_over_and_named(card, caplog, fault, wanted):
    for count in range(1, 4):
        card.faults = dict.fromkeys(EVERY[:count], fault)
        for path in card.folder.iterdir():
            path.unlink()
        caplog.clear()
        assert card.choose(wanted).name == "torch-cuda"
        assert card.tried == EVERY[: count + 1]
        (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert warning.startswith(f"the GPU runs this network in {EVERY[count]}, not faster: ")
        assert all(f"{way}: " in warning for way in EVERY[:count])
        assert "\n" not in warning


def test_what_may_be_want_of_room_or_of_a_way_to_convolve_keeps_no_other_way_from_being_tried(card):
    card.faults = dict.fromkeys(EVERY[:3], helpless)
    assert card.choose("torch-cuda").name == "torch-cuda"
    assert card.tried == EVERY


def test_a_remembered_way_that_fails_is_looked_for_anew(card):
    card.choose()
    card.faults = {BF16: broken}
    assert card.choose("torch-cuda").name == "torch-cuda"
    assert card.tried == [BF16, BF16, BF16_PLAIN]
    card.choose()
    assert card.tried == [BF16_PLAIN]


def test_a_recording_that_always_gives_the_same_is_noticed(card):
    card.faults = {BF16: stale()}
    card.choose()
    assert card.tried == [BF16, BF16_PLAIN]


def test_what_agreed_is_remembered_with_what_did_not(card, caplog):
    card.faults = {BF16: wrong}
    card.choose()
    (kept,) = card.kept
    assert kept["way"] == BF16_PLAIN
    assert kept["seen"][BF16] == "off by 20.00%"
    caplog.clear()
    loaded: list[int] = []

    def load() -> nn.Module:
        loaded.append(1)
        return network()

    assert card.choose(load=load).name == "torch-cuda"
    assert card.tried == [BF16_PLAIN]
    assert len(loaded) == 1  # none for the CPU to compare with
    assert "in bfloat16 recorded: off by 20.00%" in caplog.text


@pytest.mark.parametrize(
    "content", ["", "[]", '{"way": "by hand", "seen": {}}', '{"way": "bfloat16 recorded", "seen": {}}']
)
def test_what_cannot_be_read_is_compared_again(card, content):
    card.faults = {BF16: wrong}
    card.choose()
    (path,) = card.folder.glob("*.json")
    path.write_text(content, "utf-8")
    card.choose()
    assert card.tried == [BF16, BF16_PLAIN]
    assert card.kept[0]["way"] == BF16_PLAIN


def test_another_card_or_version_is_compared_anew(card, monkeypatch):
    card.choose()
    card.faults = {BF16: wrong}
    for name, value in (("_card", lambda: "NVIDIA Slide Rule"), ("torch.backends.cudnn.version", lambda: 90800)):
        target = name if "." in name else f"unetr.engines.cuda.{name}"
        monkeypatch.setattr(target, value)
        card.choose()
        assert card.tried == [BF16, BF16_PLAIN]


@pytest.mark.parametrize("name", ["unetr.engines.cuda._driver", "platform.node", "torch.__version__"])
def test_what_agreed_is_kept_apart_by_network_window_and_machine(card, monkeypatch, name):
    keys = [cuda._key("x", SHAPE), cuda._key("another", SHAPE), cuda._key("x", (1, 1, 8, 8, 16))]
    monkeypatch.setattr(name, "2.0" if name.endswith("version__") else lambda: "another")
    assert len({*keys, cuda._key("x", SHAPE)}) == 4


def test_without_a_folder_it_is_compared_each_time(card):
    card.folder = None
    card.faults = {BF16: wrong}
    for _ in range(2):
        card.choose()
        assert card.tried == [BF16, BF16_PLAIN]


@pytest.mark.parametrize("fault", [wrong, no_numbers, broken])
def test_a_card_that_is_wrong_in_every_way_is_not_used(card, caplog, fault):
    card.faults = dict.fromkeys(EVERY, fault)
    for _ in range(2):  # and looked at again at the next start: somebody may have mended it
        caplog.clear()
        assert card.choose().name in ("torch-cpu", "openvino-cpu")
        assert card.tried == EVERY
        (text,) = [
            record.getMessage()
            for record in caplog.records
            if "the CPU does until the next start: " in record.getMessage()
        ]
        assert "NVIDIA Abacus does not compute this network as PyTorch does on the CPU (bfloat16 recorded: " in text
    assert card.kept == []
    for options in ({"wanted": "torch-cuda"}, {"device": "cuda"}):
        with pytest.raises(EngineError, match=r"NVIDIA Abacus does not compute .* ENGINE=auto runs it on the CPU"):
            card.choose(**options)


def test_without_room_for_a_window_in_any_way_the_cpu_runs_it(card):
    card.faults = dict.fromkeys(EVERY, full)
    with pytest.raises(
        EngineError, match=r"NVIDIA Abacus has no room for this network .* ENGINE=auto runs it on the CPU"
    ):
        card.choose("torch-cuda")
    assert card.tried == EVERY
    assert card.choose().name in ("torch-cpu", "openvino-cpu")
    assert card.kept == []


def test_a_way_that_was_passed_over_for_want_of_room_is_tried_again_at_the_next_start(card):
    card.faults = {BF16: full}
    card.choose()
    assert card.tried == [BF16, BF16_PLAIN]
    card.faults = {}
    card.choose()
    assert card.tried == [BF16]


def test_more_windows_at_a_time_than_were_compared_are_compared(card):
    def room_for_two(logits: torch.Tensor) -> torch.Tensor:
        return full(logits) if len(logits) > 2 else logits

    card.faults = {BF16: room_for_two}
    assert card.choose().batch == 2
    assert card.kept[0]["batch"] == 2
    card.faults = {BF16: one_window_of_the_batch}
    assert card.choose().batch == 4
    assert card.tried == [BF16, BF16, BF16_PLAIN]


def test_weights_that_cannot_be_loaded_are_not_the_cards_fault(card):
    def damaged() -> nn.Module:
        raise ModelError("model.safetensors is damaged.")

    with pytest.raises(ModelError, match=r"^model.safetensors is damaged"):
        card.choose("torch-cuda", load=damaged)


def test_a_card_that_knows_no_bfloat16_has_fewer_ways(monkeypatch):
    monkeypatch.setattr(cuda, "fastest_precision", lambda device: torch.float16)
    assert list(map(str, cuda.ways(torch.device("cuda")))) == [FP16, "float16 step by step", FP32]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_every_way_there_is_runs_on_a_real_card():
    windows = torch.rand(4, *SHAPE[1:])
    with torch.inference_mode():
        reference = network()(windows)
    device = torch.device("cuda")
    for way in cuda.ways(device):
        made = TorchEngine(network(), device, precision=way.precision, recorded=way.recorded)
        for _ in range(2):
            assert cuda.deviation(made.run(windows.to(device)).cpu(), reference) < 0.02
