"""Ways to run a network over a volume: MONAI's sliding window, each engine, and the server's whole prediction."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from benchmarks.clock import mark, seconds_between
from benchmarks.isolation import peak_bytes
from benchmarks.stages import by_stage
from benchmarks.subjects import make_subject

if TYPE_CHECKING:
    import torch
    from torch import nn

    from unetr.bundle import BundleInfo
    from unetr.engines.engine import Engine
    from unetr.predictor import Predictor

SHAPE = (180, 200, 160)
"""mm: slices, rows, columns. The head fills it."""
SPACING = (1.0, 0.8, 0.8)
"""mm, as acquired: on the way to the network's grid and back it is resampled, as most series are."""
BATCH_ON_GPU = 4
FULL = "UNETR"
"""The network of the paper, with random weights; any other is a bundle's folder."""
WINDOW, OVERLAP = (96, 96, 96), 0.5
"""Of the full UNETR."""
_LONG_S, _ROUNDS = 2.0, 5
"""A volume on the CPU that takes longer is run once; any other once more for each round."""
MONAI_FLOAT32, MONAI_HALF, SERVER = "MONAI, torch float32", "MONAI, torch autocast", "auto"


@dataclass(frozen=True)
class Network:
    """A network, and what the server knows of it."""

    load: Callable[[], "nn.Module"]
    info: "BundleInfo"

    @property
    def window(self) -> tuple[int, int, int]:
        return self.info.window

    @property
    def overlap(self) -> float:
        return self.info.postprocessing.overlap


@dataclass
class Run:
    """What a volume cost in one way of running the network.

    Attributes
    ----------
    seconds
        Of the volume: the median of the rounds.
    by_window
        Seconds of each window in the last round; on a GPU by its own clock, which keeps nobody waiting.
    peak_bytes
        Of GPU memory what PyTorch reserved, else of the process.
    stages
        Seconds by stage, see :func:`benchmarks.stages.by_stage`; of the server's whole prediction only.
    """

    engine: str
    windows: int = 0
    seconds: float = 0.0
    by_window: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    stages: dict[str, float] = field(default_factory=dict)


def run_volume(name: str, model: str, size: tuple[int, int, int], folder: Path) -> Run:
    """Run the middle of a head, so many mm, through a network in one way, once it is warm."""
    import torch

    from benchmarks.roofline import half
    from unetr.engines.choice import choose_engine
    from unetr.predictor import Predictor

    acquired = _voxels(SHAPE)
    subject = make_subject(acquired, SPACING, lesions=10)
    middle = tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(acquired, _voxels(size), strict=True))
    image, affine = subject.volume.array[middle].astype(np.float32), subject.volume.affine
    network = find_network(model)
    if name.startswith("MONAI"):
        run, device = Run(name), torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.no_grad(), torch.autocast(device.type, half(device), enabled=name == MONAI_HALF):
            _time_monai(network, _whole(image, affine, device), run)
        run.peak_bytes = _peak_bytes(device)
        return run
    engine = choose_engine(network.load, (1, 1, *network.window), identity=model, wanted=name, folder=folder)
    run, predictor = Run(engine.name), Predictor(network.info, engine)
    if name == SERVER:
        _time_server(predictor, image, affine, run)
    else:
        with torch.inference_mode():
            _time_engine(engine, network, _whole(image, affine, engine.device), run)
    run.peak_bytes = _peak_bytes(engine.device)
    if name == SERVER:
        run.stages = by_stage(predictor, image, affine)
    return run


def _voxels(size: tuple[int, int, int]) -> tuple[int, int, int]:
    a, b, c = (round(mm / spacing) for mm, spacing in zip(size, SPACING, strict=True))
    return a, b, c


def _peak_bytes(device: "torch.device") -> int:
    """Memory taken at most: on a GPU all that PyTorch kept from others, used or not."""
    if device.type != "cuda":
        return peak_bytes()
    import torch

    return torch.cuda.max_memory_reserved()


def _whole(image: np.ndarray, affine: np.ndarray, device: "torch.device") -> "torch.Tensor":
    """The volume as the network takes it, with all its air."""
    from unetr.preprocessing import Grid, normalise

    return normalise(Grid.of((image.shape[0], image.shape[1], image.shape[2]), affine).forward(image, device))


def _time_monai(network: Network, volume: "torch.Tensor", run: Run) -> None:
    from monai.inferers import sliding_window_inference

    batch, model = BATCH_ON_GPU if volume.is_cuda else 1, network.load().to(volume.device)
    model(volume.new_zeros(batch, 1, *network.window))

    def whole(timed: "_Timed") -> None:
        logits: Any = sliding_window_inference(
            volume[None, None], network.window, batch, timed, overlap=network.overlap, mode="gaussian"
        )
        _probability(logits.float()).cpu()

    _time(whole, model, volume.device, run)


def _time_engine(engine: "Engine", network: Network, volume: "torch.Tensor", run: Run) -> None:
    """Every window, as MONAI does."""
    from unetr.engines.windows import slide

    def whole(timed: "_Timed") -> None:
        slide(
            volume,
            lambda windows: _probability(timed(windows)),
            window=network.window,
            overlap=network.overlap,
            batch=engine.batch,
        ).cpu()

    _time(whole, engine.run, engine.device, run)


def _time_server(predictor: "Predictor", image: np.ndarray, affine: np.ndarray, run: Run) -> None:
    """What a job asks for: from the acquired array to the mask on its grid, windows of air left out."""

    def whole(timed: "_Timed") -> None:
        with patch.object(predictor.engine, "run", timed):
            predictor.predict(image, affine)

    _time(whole, predictor.engine.run, predictor.device, run)


def _probability(logits: "torch.Tensor") -> "torch.Tensor":
    return logits.softmax(1)[:, -1:]


def _time(
    whole: Callable[["_Timed"], None],
    network: Callable[["torch.Tensor"], "torch.Tensor"],
    device: "torch.device",
    run: Run,
) -> None:
    """Time a volume that ends in main memory: once where that takes long, else in rounds, the first left out."""
    seconds: list[float] = []
    while len(seconds) <= _ROUNDS:
        timed, start = _Timed(network), time.perf_counter()
        whole(timed)
        seconds.append(time.perf_counter() - start)
        if device.type == "cpu" and seconds[0] > _LONG_S:
            break
    run.seconds = statistics.median(seconds[1:] or seconds)
    run.by_window = timed.by_window()
    run.windows = len(run.by_window)


class _Timed:
    """A network that keeps the time of each window, and waits for none."""

    def __init__(self, network: Callable[["torch.Tensor"], "torch.Tensor"]) -> None:
        self._network = network
        self._marks: list[tuple[Any, Any, int]] = []

    def __call__(self, windows: "torch.Tensor") -> "torch.Tensor":
        start = mark(windows.device)
        logits = self._network(windows)
        self._marks.append((start, mark(windows.device), len(windows)))
        return logits

    def by_window(self) -> list[float]:
        """Seconds of each window, those of one batch alike."""
        return [seconds_between(start, end) / count for start, end, count in self._marks for _ in range(count)]


def find_network(model: str) -> Network:
    """The network that is to be measured, not mirrored."""
    if model == FULL:
        return Network(_full_unetr, _full_info())
    from unetr.bundle import read_bundle
    from unetr.loading.network import load_network

    info = read_bundle(Path(model))
    return Network(lambda: load_network(info), replace(info, postprocessing=replace(info.postprocessing, mirror=False)))


def _full_info() -> "BundleInfo":
    """What a bundle would say of it. Its random answers are no lesions: a mask of them would be all over the head."""
    from unetr.bundle import BundleInfo, Postprocessing

    postprocessing = Postprocessing(threshold=0.999, peak=0.9, overlap=OVERLAP)
    network = {"_target_": FULL, "img_size": WINDOW, "out_channels": 2}
    return BundleInfo(Path(), FULL, "0", "Random weights.", {}, network, postprocessing)


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
