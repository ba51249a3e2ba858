"""Ways to run a network over a volume: MONAI's sliding window, each engine, and the server's whole prediction."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.isolation import peak_bytes
from benchmarks.subjects import make_subject

if TYPE_CHECKING:
    import torch
    from torch import nn

    from unetr.engines.engine import Engine

SHAPE = (180, 200, 160)
"""Voxels of 1 mm: slices, rows, columns. The head fills it."""
FULL = "UNETR"
"""The network of the paper, with random weights; any other is a bundle's folder."""
WINDOW, OVERLAP = (96, 96, 96), 0.5
"""Of the full UNETR."""
MONAI_FLOAT32, MONAI_HALF, SERVER = "MONAI, torch float32", "MONAI, torch autocast", "auto"


@dataclass(frozen=True)
class Network:
    """A network and how it is slid."""

    load: Callable[[], "nn.Module"]
    window: tuple[int, int, int]
    overlap: float


@dataclass
class Run:
    """What a volume cost in one way of running the network."""

    engine: str
    windows: int = 0
    seconds: float = 0.0
    by_window: list[float] = field(default_factory=list)
    peak_bytes: int = 0


def run_volume(name: str, model: str, shape: tuple[int, int, int], folder: Path) -> Run:
    """Run a head through a network in one way, once it is warm."""
    import torch

    from unetr.engines.choice import choose_engine

    subject = make_subject(SHAPE, (1.0, 1.0, 1.0), lesions=10)
    middle = tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(SHAPE, shape, strict=True))
    image, affine = subject.volume.array[middle].astype(np.float32), subject.volume.affine
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = find_network(model)
    if name.startswith("MONAI"):
        run = Run(name)
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=name == MONAI_HALF):
            _time_monai(network, _whole(image, affine, device), run)
    else:
        engine = choose_engine(network.load, (1, 1, *network.window), identity=model, wanted=name, folder=folder)
        run = Run(engine.name)
        with torch.inference_mode():
            if name == SERVER:
                _time_server(engine, network, image, affine, run)
            else:
                _time_engine(engine, network, _whole(image, affine, device), run)
    run.peak_bytes = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_bytes()
    return run


def _whole(image: np.ndarray, affine: np.ndarray, device: "torch.device") -> "torch.Tensor":
    """The volume as the network takes it, with all its air."""
    from unetr.preprocessing import Grid, normalise

    return normalise(Grid.of((image.shape[0], image.shape[1], image.shape[2]), affine).forward(image, device))


def _time_monai(network: Network, volume: "torch.Tensor", run: Run) -> None:
    from monai.inferers import sliding_window_inference

    batch, model = 4 if volume.is_cuda else 1, network.load().to(volume.device)
    model(volume.new_zeros(batch, 1, *network.window))
    timed = _Timed(model, run)
    timed.start()
    logits: Any = sliding_window_inference(
        volume[None, None], network.window, batch, timed, overlap=network.overlap, mode="gaussian"
    )
    _probability(logits.float()).cpu()
    timed.stop()


def _time_engine(engine: "Engine", network: Network, volume: "torch.Tensor", run: Run) -> None:
    """Every window, as MONAI does."""
    timed = _Timed(engine.run, run)
    timed.start()
    _slide(engine, network, timed, volume, float("-inf")).cpu()
    timed.stop()


def _time_server(engine: "Engine", network: Network, image: np.ndarray, affine: np.ndarray, run: Run) -> None:
    """What a prediction does: intensities, the box around the head, windows that touch it, and back."""
    from unetr.preprocessing import PRESETS

    timed = _Timed(engine.run, run)
    timed.start()
    prepared = PRESETS["ras-1mm"](image, affine, engine.device)
    prepared.back(_slide(engine, network, timed, prepared.volume, prepared.air)).cpu()
    timed.stop()


def _slide(engine: "Engine", network: Network, timed: "_Timed", volume: "torch.Tensor", air: float) -> "torch.Tensor":
    from unetr.engines.windows import slide

    return slide(
        volume,
        lambda windows: _probability(timed(windows)),
        window=network.window,
        overlap=network.overlap,
        batch=engine.batch,
        air=air,
    )


def _probability(logits: "torch.Tensor") -> "torch.Tensor":
    return logits.softmax(1)[:, -1:]


class _Timed:
    """A network that keeps the time of each window and of all."""

    def __init__(self, network: Callable[["torch.Tensor"], "torch.Tensor"], run: Run) -> None:
        self._network, self._run = network, run

    def __call__(self, windows: "torch.Tensor") -> "torch.Tensor":
        start = time.perf_counter()
        logits = self._network(windows)
        if windows.is_cuda:
            import torch

            torch.cuda.synchronize()
        self._run.by_window += [(time.perf_counter() - start) / len(windows)] * len(windows)
        self._run.windows += len(windows)
        return logits

    def start(self) -> None:
        self._start = time.perf_counter()

    def stop(self) -> None:
        self._run.seconds = time.perf_counter() - self._start


def find_network(model: str) -> Network:
    """The network that is to be measured."""
    if model == FULL:
        return Network(_full_unetr, WINDOW, OVERLAP)
    from unetr.bundle import read_bundle
    from unetr.loading.network import load_network

    info = read_bundle(Path(model))
    return Network(lambda: load_network(info), info.window, info.postprocessing.overlap)


def _full_unetr() -> "nn.Module":
    """MONAI's UNETR in the size of its paper, with random weights: they cost what trained ones cost."""
    import torch
    from monai.networks.nets import UNETR

    torch.manual_seed(0)
    return UNETR(1, 2, WINDOW, feature_size=16, hidden_size=768, mlp_dim=3072, num_heads=12).eval()


def ways_here() -> list[str]:
    """Every way to run a network on this machine; ``auto`` is the server's whole prediction, others only windows."""
    import torch

    ours = ["torch-cuda"] if torch.cuda.is_available() else ["torch-cpu", "openvino-cpu"]
    return [MONAI_FLOAT32, MONAI_HALF, *ours, SERVER]
