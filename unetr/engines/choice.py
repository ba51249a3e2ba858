"""Which engine runs a network here: by device, and on the CPU by a measurement that is made once and kept.

None is used that does not compute what PyTorch computes on the CPU; see ``cuda`` for how that is held on a GPU.
"""

import importlib.metadata
import json
import logging
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from unetr.engines.cuda import cuda_engine
from unetr.engines.engine import ENGINES, Engine, EngineError, key_of
from unetr.engines.kept import keep
from unetr.engines.memory import give_back, keep_freed_memory
from unetr.engines.rewriting import VERSION
from unetr.engines.torch_engine import TorchEngine
from unetr.engines.trial import TOLERANCE, deviation, example, warmed_up
from unetr.errors import told

AUTO = "auto"
_RUNS = 3

log = logging.getLogger(__name__)


def choose_engine(
    load: Callable[[], nn.Module],
    shape: Sequence[int],
    *,
    identity: str,
    wanted: str = AUTO,
    device: str | None = None,
    folder: Path | None = None,
) -> Engine:
    """Make a network ready to run, warmed up.

    Parameters
    ----------
    load
        Gives the network on the CPU in evaluation mode, a new one each time; not called when it lies compiled.
    shape
        Of one window as the network takes it, ``(1, channels, a, b, c)``.
    identity
        What makes the network another one: hash of its weights, and its definition.
    wanted
        One of :data:`unetr.engines.engine.ENGINES`, or ``auto``: CUDA where there is a GPU that computes the network
        rightly, else the fastest on the CPU.
    device
        Keeps ``auto`` to ``cpu`` or ``cuda``.
    folder
        Where compiled networks and what was measured are kept; without one PyTorch runs.

    Raises
    ------
    EngineError
        When CUDA is wanted and there is no such device, or none that computes the network rightly.
    """
    if wanted not in (AUTO, *ENGINES):
        raise EngineError(f"There is no engine {wanted}; there is {', '.join((AUTO, *ENGINES))}.")
    where = _device(wanted, device)
    keep_freed_memory()
    if where.type == "cuda":
        try:
            return cuda_engine(load, shape, identity=identity, folder=folder)
        except Exception as error:  # a driver too old, a card too old, too small or wrong: the CPU still does it
            if wanted != AUTO or device:
                raise
            log.warning("the GPU cannot run this network, the CPU does until the next start: %s", told(error))
            where = torch.device("cpu")
        give_back()
    makers: dict[str, Callable[[], Engine]] = {"torch-cpu": lambda: TorchEngine(load(), where)}
    if folder and wanted != "torch-cpu":
        folder.mkdir(parents=True, exist_ok=True)
        makers = {"openvino-cpu": lambda: _openvino(load, shape, folder, identity), **makers}
        kept = folder / f"{_key(identity, shape)}.json"
        seconds = _remembered(kept)
        if not seconds or wanted not in (AUTO, *seconds):
            seconds = _measured(makers, shape, kept)
        name = min(seconds, key=lambda name: seconds[name]) if wanted == AUTO else wanted
        if name == "torch-cpu" or name not in seconds:
            del makers["openvino-cpu"]
    return _first_that_works(makers, shape)


def _device(wanted: str, device: str | None) -> torch.device:
    """The device to run on, by the engine's name, then by the caller's wish, then by what there is."""
    kind = wanted.rpartition("-")[2] if wanted != AUTO else device
    if kind == "cuda" and not torch.cuda.is_available():
        raise EngineError("There is no CUDA device that PyTorch can use: set ENGINE=auto, or install its CUDA build.")
    return torch.device(kind or ("cuda" if torch.cuda.is_available() else "cpu"))


def _openvino(load: Callable[[], nn.Module], shape: Sequence[int], folder: Path, identity: str) -> Engine:
    from unetr.engines.openvino_engine import OpenVinoEngine  # may be missing, or not run on this processor

    return OpenVinoEngine(load, shape, folder, identity)


def _first_that_works(makers: dict[str, Callable[[], Engine]], shape: Sequence[int]) -> Engine:
    """The first engine that runs a window; of the last one, PyTorch, the error if even that cannot."""
    for name, make in makers.items():
        try:
            return warmed_up(make(), shape)
        except Exception as error:  # whatever a compiler of networks may raise
            if name == list(makers)[-1]:
                raise
            log.warning("%s cannot run this network: %s", name, told(error))
    raise AssertionError("no engine to try")


def _measured(makers: dict[str, Callable[[], Engine]], shape: Sequence[int], kept: Path) -> dict[str, float]:
    """Time a window in each engine, keep the figures, and give those of PyTorch and of what agrees with it."""
    seconds: dict[str, float] = {}
    plain: Engine | None = None
    for name in reversed(makers):  # PyTorch first
        engine = _first_that_works({name: makers[name], "torch-cpu": makers["torch-cpu"]}, shape)
        if engine.name in seconds:
            continue
        plain = plain or engine
        windows, times = example(shape, engine.batch), []
        expected = torch.cat([plain.run(window[None]) for window in windows])
        for _ in range(_RUNS):
            start = time.perf_counter()
            logits = engine.run(windows)
            times.append((time.perf_counter() - start) / len(windows))
        if engine is plain or deviation(logits, expected) <= TOLERANCE:
            seconds[name] = statistics.median(times)
        else:
            log.warning("%s does not compute this network as PyTorch does, and is not used", name)
    log.info("seconds a window: %s", ", ".join(f"{name} {time:.3f}" for name, time in seconds.items()))
    keep(kept, (json.dumps({"seconds_per_window": seconds}, indent=2) + "\n").encode())
    return seconds


def _remembered(kept: Path) -> dict[str, float]:
    """What was measured at an earlier start; empty where that cannot be read."""
    try:
        seconds = json.loads(kept.read_text("utf-8"))["seconds_per_window"]
        return {name: float(seconds[name]) for name in ENGINES if name in seconds}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _key(identity: str, shape: Sequence[int]) -> str:
    """Name a measurement by what it depends on."""
    machine = (platform.node(), os.cpu_count(), torch.get_num_threads(), torch.__version__, _openvino_version())
    return key_of(identity, tuple(shape), VERSION, machine)


def _openvino_version() -> str | None:
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return None
