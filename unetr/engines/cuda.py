"""CUDA, in the fastest way that computes what PyTorch computes on the CPU; compared once and kept.

Rounded numbers, a recorded graph, and libraries that choose among many ways to convolve: each may give wrong answers
and no error, with one version, on one card, for one number of windows. A lesion that is missed for it would be missed
in silence. What it is compared with is the CPU in float32 and not the same card: that shares driver, libraries and
faults with what is judged, and the CPU takes seconds, once.
"""

import json
import logging
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from unetr.engines.engine import Engine, EngineError, key_of
from unetr.engines.kept import keep
from unetr.engines.memory import give_back, is_out_of_memory
from unetr.engines.rewriting import VERSION
from unetr.engines.torch_engine import TorchEngine, fastest_precision
from unetr.engines.trial import TOLERANCE, deviation, example, warmed_up
from unetr.errors import told

_WARM_UP, _COMPARED = 0, 1
"""Seeds of windows: a recording that gives what it was recorded with, whatever it is asked, must not pass."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Way:
    """How a network is run on a GPU."""

    precision: torch.dtype
    recorded: bool

    def __str__(self) -> str:
        return f"{str(self.precision).removeprefix('torch.')} {'recorded' if self.recorded else 'step by step'}"


def ways(device: torch.device) -> list[Way]:
    """What to try, the fastest first: without the recording, in the other half precision, at last with neither."""
    half = fastest_precision(device)
    tried = [Way(half, True), Way(half, False), Way(torch.float16, True), Way(torch.float32, False)]
    return list(dict.fromkeys(tried))


@dataclass(frozen=True)
class Attempt:
    """What came of one way: its engine where that agrees with the CPU, what was seen, and whether memory was short."""

    engine: Engine | None
    seen: str
    short: bool = False


class Trial:
    """A network on this machine's GPU beside the same network on its CPU."""

    def __init__(self, load: Callable[[], nn.Module], shape: Sequence[int]) -> None:
        self._load, self._shape = load, shape
        self._reference: dict[int, torch.Tensor] = {}

    def engine(self, way: Way, network: nn.Module) -> Engine:
        """Make the network ready to run in that way, warmed up; raises what goes wrong on the card."""
        made = TorchEngine(network, torch.device("cuda"), precision=way.precision, recorded=way.recorded)
        return warmed_up(made, self._shape)

    def remembered(self, way: Way, batch: int) -> Engine | None:
        """Give the engine of a way that agreed up to so many windows at a time; None where it no longer runs so."""
        network = self._load()
        with suppress(Exception):  # each way is tried after it, and what goes wrong is told then
            engine = self.engine(way, network)
            if engine.batch <= batch:
                return engine
        return None

    def attempt(self, way: Way) -> Attempt:
        """Compare one way with the CPU, with fewer windows at a time too, as memory may ask for."""
        network = self._load()  # what goes wrong here is no matter of the card
        try:
            engine = self.engine(way, network)
            off = max(self._off_by(engine, count) for count in _halves(engine.batch))
        except Exception as error:
            return Attempt(None, told(error), is_out_of_memory(error))
        return Attempt(engine if off <= TOLERANCE else None, f"off by {off:.2%}")

    def _off_by(self, engine: Engine, count: int) -> float:
        logits = engine.run(example(self._shape, count, _COMPARED).to(engine.device)).cpu()
        return deviation(logits, self._by_cpu(engine.batch)[:count])

    def _by_cpu(self, count: int) -> torch.Tensor:
        if count not in self._reference:
            plain = TorchEngine(self._load(), torch.device("cpu"), precision=torch.float32)
            windows = example(self._shape, count, _COMPARED)
            self._reference[count] = torch.cat([plain.run(window[None]) for window in windows])
        return self._reference[count]


def cuda_engine(load: Callable[[], nn.Module], shape: Sequence[int], *, identity: str, folder: Path | None) -> Engine:
    """Make a network ready to run on the GPU, warmed up, in the first way that agrees with the CPU.

    Parameters
    ----------
    load, shape, identity
        See :func:`unetr.engines.choice.choose_engine`.
    folder
        Where the way is kept, by weights, versions and card; without one it is looked for each time.

    Raises
    ------
    EngineError
        When no way agrees, or there is no room for one. That is not kept: who mends driver or card need not know of a
        file to remove.
    """
    trial, tried = Trial(load, shape), ways(torch.device("cuda"))
    kept = folder / f"{_key(identity, shape)}.json" if folder else None
    if kept and (known := _remembered(kept, tried)):
        way, batch, told_then = known
        if engine := trial.remembered(way, batch):
            _tell(way, told_then)
            return engine
        give_back()

    seen: dict[str, str] = {}
    short = False  # of memory: that may be over at the next start
    for way in tried:
        attempt = trial.attempt(way)
        seen[str(way)] = attempt.seen
        short |= attempt.short
        if attempt.engine:
            _tell(way, seen)
            if kept and not short:
                content = {"way": str(way), "batch": attempt.engine.batch, "seen": seen}
                keep(kept, json.dumps(content, indent=2).encode())
            return attempt.engine
        give_back()
    if short:
        raise EngineError(f"{_card()} has no room for this network ({_listed(seen)}). ENGINE=auto runs it on the CPU.")
    raise EngineError(
        f"{_card()} does not compute this network as PyTorch does on the CPU ({_listed(seen)}). "
        "ENGINE=auto runs it on the CPU; another driver or PyTorch may be what the card needs."
    )


def _tell(way: Way, seen: dict[str, str]) -> None:
    wrong = {name: what for name, what in seen.items() if name != str(way)}
    if wrong:
        text = "the GPU runs this network in %s, not faster: it does not compute what PyTorch does on the CPU in %s"
        log.warning(text, way, _listed(wrong))
    else:
        log.info("the GPU runs this network in %s, as the CPU does in float32: %s", way, seen.get(str(way)))


def _halves(batch: int) -> list[int]:
    """Every number of windows that a batch may be halved to, the batch itself last: what ran last stays recorded."""
    return [*_halves(batch // 2), batch] if batch else []


def _listed(seen: dict[str, str]) -> str:
    return "; ".join(f"{name}: {what}" for name, what in seen.items())


def _remembered(kept: Path, known: Sequence[Way]) -> tuple[Way, int, dict[str, str]] | None:
    """The way that agreed at an earlier start, up to how many windows at a time, and what was seen then."""
    try:
        content = json.loads(kept.read_text("utf-8"))
        (way,) = [way for way in known if str(way) == content["way"]]
        return way, int(content["batch"]), {str(name): str(what) for name, what in content["seen"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _key(identity: str, shape: Sequence[int]) -> str:
    """Name what was found by all that it depends on."""
    versions = (torch.__version__, torch.version.cuda, torch.backends.cudnn.version(), _driver())
    return key_of("agreement", VERSION, identity, tuple(shape), platform.node(), _card(), versions)


def _driver() -> str | None:
    """The driver's version, where Linux tells it."""
    try:
        return Path("/proc/driver/nvidia/version").read_text("utf-8")
    except OSError:
        return None


def _card() -> str:
    return torch.cuda.get_device_name()
