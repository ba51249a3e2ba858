"""A model small enough for tests that really segments: MONAI's UNETR with weights set by hand.

With batch normalisation a UNETR can be written down instead of trained: the input passes the first residual block,
joins the last one by the skip connection, and becomes ``SHARPNESS * (intensity - THRESHOLD)``. The transformer and
every deeper level run, and weigh nothing. What is brighter than 1.75 times the median of the brain is lesion.
"""

from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import UNETR

from unetr.training.export import write_bundle

THRESHOLD = 1.75
"""Intensity of a lesion's surface, the median of the brain being 1."""
SHARPNESS = 20.0
NAME = "tiny"
STATEMENT = "Marks what is brighter than 1.75 times the tissue around it; for tests, not a medical device."

DEFINITION: dict[str, Any] = {
    "_target_": "monai.networks.nets.UNETR",
    "in_channels": 1,
    "out_channels": 1,
    "img_size": [64, 64, 64],
    "feature_size": 2,
    "hidden_size": 12,
    "mlp_dim": 12,
    "num_heads": 2,
    "norm_name": "batch",
}


def tiny_bundle(folder: Path, *, name: str = NAME, **postprocessing: float) -> Path:
    """Write the model as a MONAI bundle and return its folder.

    Parameters
    ----------
    folder
        Made when it is not there.
    postprocessing
        ``threshold``, ``peak``, ``minimum_volume_mm3``, ``overlap`` where they are not the bundle's defaults.
    """
    metadata = {"name": name, "version": "1.0", "statement": STATEMENT, "postprocessing": postprocessing}
    write_bundle(folder, tiny_weights(), DEFINITION, metadata)
    return folder


def tiny_weights() -> dict[str, torch.Tensor]:
    """All zero, except the way through the first block, the skip connection and the last block."""
    network = UNETR(**{key: value for key, value in DEFINITION.items() if key != "_target_"})
    weights = {
        name: tensor if name.endswith(("running_var", "num_batches_tracked")) else torch.zeros_like(tensor)
        for name, tensor in network.state_dict().items()
    }
    width = DEFINITION["feature_size"]
    for block, channel in (("encoder1.layer", 0), ("decoder2.conv_block", width)):  # the skip comes second there
        weights[f"{block}.conv3.conv.weight"][0, channel] = 1.0
        weights[f"{block}.norm3.weight"][0] = 1.0
    weights["out.conv.conv.weight"][0, 0] = SHARPNESS
    weights["out.conv.conv.bias"][0] = -SHARPNESS * THRESHOLD
    return weights
