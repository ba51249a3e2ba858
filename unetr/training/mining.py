"""Where a half-trained network goes wrong: most of a head is easy, a random patch rarely shows what is hard."""

from typing import Any

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from scipy import ndimage
from torch import nn

from unetr.training.weight import SEEN, apart, find_false


@torch.inference_mode()
def find_mistakes(network: nn.Module, image: np.ndarray, fraction: np.ndarray, window: int) -> np.ndarray:
    """Run a network over a volume, and compare.

    Parameters
    ----------
    network
        Its first output is the lesion's logit.
    image
        Normalised volume on the 1 mm grid, shape (a, b, c).
    fraction
        uint8 of the same shape, 255 = all lesion.
    window
        Edge in voxels of the windows it runs with.

    Returns
    -------
    np.ndarray
        int64, shape (n, 3), 0-based: of each false lesion the most probable voxel, then of each missed one the voxel
        nearest to being seen.
    """
    device = next(network.parameters()).device
    network.eval()
    volume = torch.from_numpy(image.astype(np.float32)).to(device)[None, None]
    with torch.autocast(device.type, torch.bfloat16):
        logits: Any = sliding_window_inference(
            volume, (window,) * 3, 1, lambda w: network(w)[:, :1].float(), overlap=0.1
        )
    network.train()
    probability = torch.sigmoid(logits)[0, 0].cpu().numpy()
    missed = apart(fraction > 127, probability > SEEN)
    return np.concatenate([_peaks(probability, labels) for labels in (find_false(probability, fraction), missed)])


def _peaks(probability: np.ndarray, labels: np.ndarray) -> np.ndarray:
    present = np.unique(labels[labels > 0])
    positions = ndimage.maximum_position(probability, labels, present) if len(present) else []
    return np.array(positions, dtype=np.int64).reshape(-1, 3)
