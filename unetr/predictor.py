"""A model in memory: array and affine in, lesion probability and mask on the same grid out."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from monai.networks.layers.convutils import gaussian_1d
from scipy import ndimage

from settings import Settings
from unetr.bundle import BundleInfo, read_bundle
from unetr.components import label
from unetr.engines.choice import AUTO, choose_engine
from unetr.engines.engine import Engine
from unetr.engines.memory import with_room
from unetr.engines.windows import slide
from unetr.errors import ModelError
from unetr.loading.converted import usable_bundle
from unetr.loading.network import load_network
from unetr.preprocessing import PRESETS

_ROUNDING = 1e-4
"""A voxel's volume is known this well: an affine's numbers are stored with seven digits or less."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """What the network says of one volume, on the volume's own grid.

    Attributes
    ----------
    probability
        float32: probability that a voxel is lesion, shifted so that a lesion's surface is where it is 0.5. What does
        not reach the model's peak is taken for healthy.
    mask
        bool: the voxels of lesions: those of 0.5 or more.
    minimum_volume_mm3
        Below this volume a connected component of the mask is no lesion: the model's, less what rounding may take of
        a volume, so that one of exactly that many mm3 is a lesion on every grid.
    """

    probability: np.ndarray
    mask: np.ndarray
    minimum_volume_mm3: float


@dataclass(frozen=True)
class Answer:
    """What the network answers to one volume, before thresholds.

    Attributes
    ----------
    probability
        float32 on the network's grid, smoothed: probability that a voxel is lesion.
    back
        Brings a tensor of that shape to the volume's own grid.
    voxels
        The volume's size in words.
    """

    probability: torch.Tensor
    back: Callable[[torch.Tensor], torch.Tensor]
    voxels: str

    def read(self, threshold: float, peak: float, minimum_volume_mm3: float) -> Prediction:
        """Say what is lesion; the probability is changed in place, and no answer any more."""
        probability = self.probability
        with torch.inference_mode():
            for step in (
                partial(_without_faint, threshold=threshold, peak=peak),
                self.back,
                partial(centred, threshold=threshold),
            ):
                probability = _where_there_is_room(step, probability, f"bringing back {self.voxels}")
        on_grid = probability.cpu().numpy()
        return Prediction(on_grid, on_grid >= 0.5, minimum_volume_mm3 * (1 - _ROUNDING))


class Predictor:
    """A loaded model on one device; not to be shared between threads."""

    def __init__(self, info: BundleInfo, engine: Engine) -> None:
        self.info = info
        self.engine = engine
        self.device = engine.device

    def predict(
        self, image: np.ndarray, affine: np.ndarray, on_progress: Callable[[float], None] | None = None
    ) -> Prediction:
        """Segment one volume: see :meth:`ask`, whose errors it raises."""
        after = self.info.postprocessing
        return self.ask(image, affine, on_progress).read(after.threshold, after.peak, after.minimum_volume_mm3)

    def ask(self, image: np.ndarray, affine: np.ndarray, on_progress: Callable[[float], None] | None = None) -> Answer:
        """Run the network over one volume.

        Parameters
        ----------
        image
            Any real 3-D array.
        affine
            Index to patient LPS mm, 4x4.
        on_progress
            Called with the fraction done, 0-1, after each batch of windows; what it raises ends the prediction.

        Raises
        ------
        NothingToSegmentError
            When the image is empty.
        NotEnoughMemoryError
            When the volume, or not even one window, fits into memory.
        ModelError
            When the network answers with values that are no numbers.
        """
        prepare, after = PRESETS[self.info.preprocessing], self.info.postprocessing
        voxels = " x ".join(map(str, image.shape)) + " voxels"
        with torch.inference_mode():
            prepared = with_room(lambda where: prepare(image, affine, where), self.device, f"preparing {voxels}")
            left_right = 2 + prepared.left_right  # of a batch of windows
            probability = slide(
                prepared.volume,
                lambda windows: self._run(windows, left_right),
                window=self.info.window,
                overlap=after.overlap,
                batch=self.engine.batch,
                air=prepared.air,
                on_progress=on_progress,
                on_batch=self._remember,
            )
            back = prepared.back
            del prepared  # each array of a large volume has hundreds of megabytes
            if not torch.stack(probability.aminmax()).isfinite().all():  # would be "no lesion" further on
                raise ModelError(
                    f"The answer of {self.info.name} on {self.engine.name} holds values that are no numbers: "
                    "set ENGINE=torch-cpu, or use other weights."
                )
            smooth = partial(_smoothed, sigma=after.smoothing)
            return Answer(_where_there_is_room(smooth, probability, f"smoothing {voxels}"), back, voxels)

    def _remember(self, batch: int) -> None:
        """Run no more windows at a time than there was memory for: each try costs a failed run and a new recording."""
        self.engine.batch = batch

    def _run(self, windows: torch.Tensor, left_right: int) -> torch.Tensor:
        """The lesion's probability in each window, ``(n, 1, a, b, c)``."""
        windows = windows.to(self.device)
        probability = self._lesion_probability(self.engine.run(windows))
        if not self.info.postprocessing.mirror:
            return probability
        mirrored = self._lesion_probability(self.engine.run(windows.flip(left_right)))
        return (probability + mirrored.flip(left_right)) / 2

    def _lesion_probability(self, logits: torch.Tensor) -> torch.Tensor:
        """The lesion's probability, by what the bundle says of the network's outputs; shape ``(n, 1, a, b, c)``."""
        outputs = self.info.outputs
        if not outputs.sigmoid:
            return _channels(torch.softmax(logits, 1), outputs.lesion).sum(1, keepdim=True)
        lesion = torch.sigmoid(_channels(logits, outputs.lesion)).amax(1, keepdim=True)
        if outputs.brain is None:
            return lesion
        brain = torch.sigmoid(_channels(logits, [outputs.brain]))
        return lesion * (2 * brain).clamp(max=1)  # it fades beyond the brain's surface


def open_model(settings: Settings, model: Path | None = None, device: str | None = None) -> Predictor:
    """Load the model that the settings name, or another, on the engine that they name.

    Parameters
    ----------
    model
        Bundle folder, or MetIA checkpoint, which is converted the first time; by default ``MODEL_PATH``.
    device
        See :func:`load_predictor`, as are the errors raised.
    """
    bundle = usable_bundle(model or settings.model_path, settings.var_dir)
    return load_predictor(bundle, device, engine=settings.engine, engines_dir=settings.engines_dir)


def load_predictor(
    path: Path, device: str | None = None, *, engine: str = AUTO, engines_dir: Path | None = None
) -> Predictor:
    """Load a bundle's network and weights.

    Parameters
    ----------
    path
        Bundle folder.
    device
        ``cuda`` or ``cpu``; by default CUDA where there is one.
    engine, engines_dir
        What runs the network, and where it is kept compiled: see :func:`unetr.engines.choice.choose_engine`.

    Raises
    ------
    ModelError
        When the bundle is incomplete, its network or preprocessing unknown, its weights are damaged or another
        network's, or the engine asked for cannot run here.
    """
    info = read_bundle(path)
    ready = choose_engine(
        lambda: load_network(info),
        (1, 1, *info.window),
        identity=f"{info.sha256} {json.dumps(info.network, sort_keys=True)}",
        wanted=engine,
        device=device,
        folder=engines_dir,
    )
    log.info("model %s %s is ready: %s", info.name, info.version, ready.name)
    return Predictor(info, ready)


def _channels(tensor: torch.Tensor, which: Sequence[int]) -> torch.Tensor:
    """Some channels of a batch. Indexing by a list would send the list to the GPU, and wait for it, each time."""
    return torch.cat([tensor.narrow(1, channel, 1) for channel in which], 1)


def _where_there_is_room(step: Callable[[torch.Tensor], torch.Tensor], tensor: torch.Tensor, what: str) -> torch.Tensor:
    """Take a step where the tensor is, or on the CPU; see :func:`unetr.engines.memory.with_room`."""
    return with_room(lambda where: step(tensor.to(where)), tensor.device, what)


def _smoothed(probability: torch.Tensor, sigma: float) -> torch.Tensor:
    """Smooth in place with a Gaussian of ``sigma`` voxels; beyond the edges there is nothing.

    Sums of shifted copies: as a convolution of one channel it would take 16 times the memory, and longer. What memory
    it takes it takes first: if there is none, nothing has been smoothed.
    """
    if not sigma:
        return probability
    kernel = gaussian_1d(torch.tensor(sigma), approx="sampled", normalize=True)
    middle, *tail = kernel[len(kernel) // 2 :].tolist()
    sharp = torch.empty_like(probability)
    for axis, size in enumerate(probability.shape):
        sharp.copy_(probability)
        probability.mul_(middle)
        for distance, weight in enumerate(tail[: size - 1], start=1):
            rest = size - distance
            probability.narrow(axis, 0, rest).add_(sharp.narrow(axis, distance, rest), alpha=weight)
            probability.narrow(axis, distance, rest).add_(sharp.narrow(axis, 0, rest), alpha=weight)
    return probability


def _without_faint(probability: torch.Tensor, threshold: float, peak: float) -> torch.Tensor:
    """Take for healthy, in place, what reaches the threshold but nowhere the peak.

    Judged on the network's grid: averaged into thick slices, a small lesion would lose its peak.
    """
    if peak <= 0.5:
        return probability
    mask = (probability >= threshold).cpu().numpy()
    if not mask.any():  # seen at once, which finding boxes is not
        return probability
    for box in ndimage.find_objects(mask.view(np.int8)):  # one or none: a small part of most volumes
        part, inside = probability[box], mask[box]
        labels = label(inside)
        highest = np.ones(labels.max() + 1, np.float32)  # of 0, healthy: it stays as it is
        highest[1:] = ndimage.maximum(part.cpu().numpy()[inside], labels[inside], np.arange(1, len(highest)))
        faint = centred(torch.from_numpy(highest), threshold).numpy() < peak
        part[torch.from_numpy(faint[labels]).to(part.device)] = 0
    return probability


def centred(probability: torch.Tensor, threshold: float) -> torch.Tensor:
    """Shift the log-odds, in place, so that ``threshold`` becomes 0.5."""
    if threshold == 0.5:
        return probability
    no = (1 - probability).mul_(threshold)  # all the memory that it takes: if there is none, nothing is shifted
    yes = probability.mul_(1 - threshold)
    return yes.div_(no.add_(yes))
