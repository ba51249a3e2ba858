"""From any series to what a network was trained on, and back: orientation, spacing, intensity. All invertible.

A bundle names its preset in ``metadata.json``: ``"preprocessing": "ras-1mm"``.
"""

from collections.abc import Callable

import numpy as np
import torch

from unetr.preprocessing import metia, ras
from unetr.preprocessing.prepared import NothingToSegmentError, Prepared
from unetr.preprocessing.ras import Grid, normalise

__all__ = ["PRESETS", "Grid", "NothingToSegmentError", "Prepared", "Preset", "normalise"]

Preset = Callable[[np.ndarray, np.ndarray, torch.device | str], Prepared]
"""``(image, affine, device)``: a real array (slice, row, column), its 4x4 affine from index to patient LPS mm, and
where to work. Raises :class:`NothingToSegmentError` when the image is empty or a voxel is no finite number."""

PRESETS: dict[str, Preset] = {"ras-1mm": ras.prepare, "metia": metia.prepare}
"""By the name in a bundle's metadata."""
