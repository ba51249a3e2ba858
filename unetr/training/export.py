"""The trained weights as a MONAI bundle: fp16 safetensors, the network's definition, the metadata."""

import json
from pathlib import Path
from typing import Any

import monai
import safetensors.torch
import torch


def export_bundle(checkpoint: Path, bundle: Path, metadata: dict[str, Any]) -> None:
    """Write the averaged weights of a training checkpoint into a bundle folder.

    ``metadata`` (name, version, statement, postprocessing ...) goes into ``configs/metadata.json``. The checkpoint
    is one of our own training: it is unpickled.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)
    prefix = "network."
    weights = {
        name.removeprefix(prefix): tensor.half().contiguous()
        for name, tensor in state["state_dict"].items()
        if name.startswith(prefix)
    }
    write_bundle(bundle, weights, state["hyper_parameters"]["definition"], metadata)


def write_bundle(
    bundle: Path, weights: dict[str, torch.Tensor], definition: dict[str, Any], metadata: dict[str, Any]
) -> None:
    """Write a bundle folder; its inputs and outputs are those of our own training unless ``metadata`` names others."""
    (bundle / "configs").mkdir(parents=True, exist_ok=True)
    (bundle / "models").mkdir(exist_ok=True)
    safetensors.torch.save_file(weights, bundle / "models" / "model.safetensors")
    versions = {"monai_version": monai.__version__, "pytorch_version": torch.__version__.split("+")[0]}
    full = {**versions, "network_data_format": _format(definition), **metadata}
    _write_json(bundle / "configs" / "metadata.json", full)
    _write_json(bundle / "configs" / "inference.json", {"network_def": definition})


def _format(definition: dict[str, Any]) -> dict[str, Any]:
    return {
        "inputs": {
            "image": {
                "type": "image",
                "format": "magnitude",
                "modality": "MR",
                "num_channels": 1,
                "spatial_shape": definition["img_size"],
                "dtype": "float32",
                "value_range": [0, 5],
                "is_patch_data": True,
                "channel_def": {"0": "T1 post-contrast, 1 mm, median of tissue = 1"},
            }
        },
        "outputs": {
            "pred": {
                "type": "image",
                "format": "segmentation",
                "num_channels": definition["out_channels"],
                "spatial_shape": definition["img_size"],
                "dtype": "float32",
                "value_range": [0, 1],
                "is_patch_data": True,
                "activation": "sigmoid",
                "channel_def": {"0": "brain metastasis", "1": "brain"},
            }
        },
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
