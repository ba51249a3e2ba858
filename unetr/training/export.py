"""The trained weights as a MONAI bundle: fp16 safetensors, the network's definition, the metadata."""

import json
from pathlib import Path
from typing import Any

import monai
import safetensors.torch
import torch

INTENDED_USE = "Research. Not a medical device; no result may be used without a radiologist's own reading."


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
    full = {**versions, "network_data_format": _of_our_training(definition), **metadata}
    _write_json(bundle / "configs" / "metadata.json", full)
    _write_json(bundle / "configs" / "inference.json", {"network_def": definition})


def describe_data(
    definition: dict[str, Any], *, shows: str, brightest: float, activation: str, channels: dict[str, str]
) -> dict[str, Any]:
    """Give ``network_data_format``: what a network takes and gives.

    Parameters
    ----------
    shows
        What the input channel is, its voxels and its brightness.
    brightest
        Upper end of the input's values; the lower is 0.
    activation, channels
        Of the outputs; channels by their number.
    """
    common = {"type": "image", "spatial_shape": definition["img_size"], "dtype": "float32", "is_patch_data": True}
    image = {
        **common,
        "format": "magnitude",
        "modality": "MR",
        "num_channels": definition.get("in_channels", 1),
        "value_range": [0, brightest],
        "channel_def": {"0": shows},
    }
    pred = {
        **common,
        "format": "segmentation",
        "num_channels": definition["out_channels"],
        "value_range": [0, 1],
        "activation": activation,
        "channel_def": channels,
    }
    return {"inputs": {"image": image}, "outputs": {"pred": pred}}


def _of_our_training(definition: dict[str, Any]) -> dict[str, Any]:
    return describe_data(
        definition,
        shows="T1 post-contrast, 1 mm, median of the brain = 1",
        brightest=5,
        activation="sigmoid",
        channels={"0": "brain metastasis", "1": "brain"},
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
