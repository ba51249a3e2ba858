"""A model in memory: array and affine in, lesion probability and mask on the same grid out."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from scipy import ndimage
from torch import nn

from unetr.bundle import BundleInfo, ModelError, read_bundle
from unetr.loading.network import load_network
from unetr.preprocessing import PRESETS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """What the network says of one volume, on the volume's own grid.

    Attributes
    ----------
    probability
        float32: probability that a voxel is lesion, shifted so that a lesion's surface is where it is 0.5.
    mask
        bool: the voxels of lesions: 0.5 or more, in a component that reaches the model's peak.
    minimum_volume_mm3
        Below this volume a connected component of the mask is no lesion.
    """

    probability: np.ndarray
    mask: np.ndarray
    minimum_volume_mm3: float


class Predictor:
    """A loaded model on one device; not to be shared between threads."""

    def __init__(self, info: BundleInfo, network: nn.Module, device: torch.device) -> None:
        self.info = info
        self.device = device
        self._network = network
        self._window = info.window
        self._half = device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()

    def predict(
        self, image: np.ndarray, affine: np.ndarray, on_progress: Callable[[float], None] | None = None
    ) -> Prediction:
        """Segment one volume.

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
        """
        with torch.inference_mode():
            prepared = PRESETS[self.info.preprocessing](image, affine, self.device)
            probability = prepared.back(self._slide(prepared.volume, on_progress))
            on_grid = _centred(probability, self.info.postprocessing.threshold).cpu().numpy()
        return Prediction(on_grid, self._mask(on_grid), self.info.postprocessing.minimum_volume_mm3)

    def _slide(self, volume: torch.Tensor, on_progress: Callable[[float], None] | None) -> torch.Tensor:
        overlap = self.info.postprocessing.overlap
        total = _count_windows(volume.shape, self._window, overlap)
        done = 0

        def run(windows: torch.Tensor) -> torch.Tensor:
            nonlocal done
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
                logits = self._network(windows)
            done += len(windows)
            if on_progress:
                on_progress(min(1.0, done / total))
            return self._lesion_probability(logits.float())

        batch = 4 if self.device.type == "cuda" else 1
        result = sliding_window_inference(
            volume[None, None], self._window, batch, run, overlap=overlap, mode="gaussian", padding_mode="constant"
        )
        assert isinstance(result, torch.Tensor)  # one output, not several
        return result[0, 0]

    def _lesion_probability(self, logits: torch.Tensor) -> torch.Tensor:
        """The lesion's probability, by what the bundle says of the network's outputs; shape ``(n, 1, a, b, c)``."""
        outputs = self.info.outputs
        if not outputs.sigmoid:
            return torch.softmax(logits, 1)[:, list(outputs.lesion)].sum(1, keepdim=True)
        lesion = torch.sigmoid(logits[:, list(outputs.lesion)]).amax(1, keepdim=True)
        if outputs.brain is None:
            return lesion
        brain = torch.sigmoid(logits[:, [outputs.brain]])
        return lesion * (2 * brain).clamp(max=1)  # it fades beyond the brain's surface

    def _mask(self, probability: np.ndarray) -> np.ndarray:
        mask = probability >= 0.5
        peak = self.info.postprocessing.peak
        if peak <= 0.5 or not mask.any():
            return mask
        labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
        sure = np.unique(labels[probability >= peak])
        return np.isin(labels, sure[sure > 0])


def load_predictor(path: Path, device: str | None = None) -> Predictor:
    """Load a bundle's network and weights.

    Parameters
    ----------
    path
        Bundle folder.
    device
        ``cuda`` or ``cpu``; by default CUDA where there is one.

    Raises
    ------
    ModelError
        When the bundle is incomplete, its network or preprocessing unknown, or its weights are damaged or another
        network's.
    """
    info = read_bundle(path)
    if info.preprocessing not in PRESETS:
        raise ModelError(f"{info.path}: preprocessing {info.preprocessing} is not one of {', '.join(PRESETS)}.")
    network = load_network(info)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    log.info("model %s %s loaded on %s", info.name, info.version, where)
    return Predictor(info, network.to(where), where)


def _centred(probability: torch.Tensor, threshold: float) -> torch.Tensor:
    """Shift the log-odds so that ``threshold`` becomes 0.5."""
    if threshold == 0.5:
        return probability
    yes, no = probability * (1 - threshold), (1 - probability) * threshold
    return yes / (yes + no)


def _count_windows(shape: torch.Size, window: tuple[int, ...], overlap: float) -> int:
    """How many windows MONAI's sliding window takes over a volume of this shape."""
    count = 1
    for size, edge in zip(shape, window, strict=True):
        step = max(1, int(edge * (1 - overlap)))
        count *= max(1, -(-(max(size, edge) - edge) // step) + 1)
    return count
