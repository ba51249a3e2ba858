"""The published MetIA checkpoint: a UNETR of MONAI 0.7, saved by PyTorch Lightning, as a network of today's MONAI."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from math import prod
from pathlib import Path
from typing import Any

import torch

from unetr.bundle import ModelError
from unetr.loading.archive import Archive
from unetr.loading.network import UNUSED_LAYERS
from unetr.loading.unpickling import ITEM_BYTES, CheckpointError, Tensor
from unetr.network import build

_ARGUMENTS: dict[str, tuple[str, type]] = {
    "in_channels": ("in_channels", int),
    "new_out_channels": ("out_channels", int),  # its out_channels is what the network was pre-trained with
    "feature_size": ("feature_size", int),
    "hidden_size": ("hidden_size", int),
    "mlp_dim": ("mlp_dim", int),
    "num_heads": ("num_heads", int),
    "pos_embed": ("proj_type", str),
    "norm_name": ("norm_name", str),
    "conv_block": ("conv_block", bool),
    "res_block": ("res_block", bool),
}
"""Hyper-parameter: the argument of MONAI's UNETR that it is, and its type."""
_PREFIX = "model."
_UNUSED = re.compile(
    r"vit\.patch_embedding\.cls_token|encoder(2\.blocks\.[01]|3\.blocks\.0)\.1\.(conv3\.conv\.weight|norm3\..+)"
)
"""Weights that MONAI 0.7 made and never used, those of a normalisation only where it has any; today's makes none."""
_PATCH = 16
_DTYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
}


@dataclass(frozen=True)
class MetiaCheckpoint:
    """A network as its authors trained it.

    Attributes
    ----------
    network
        ``network_def`` of a bundle: ``monai.networks.nets.UNETR`` and its keyword arguments.
    weights
        float32, every tensor of that network's state.
    overlap
        Share of a window that the next one covers again.
    """

    network: dict[str, Any]
    weights: dict[str, torch.Tensor]
    overlap: float


def read_metia_checkpoint(path: Path, on_progress: Callable[[float], None] | None = None) -> MetiaCheckpoint:
    """Read a MetIA checkpoint. Nothing in it is run, whatever it holds.

    Parameters
    ----------
    on_progress
        Called with the fraction read, 0-1.

    Raises
    ------
    ModelError
        When the file is no such checkpoint, is damaged or cut off, or wants to run something.
    """
    with _opened(path) as archive:
        network, tensors, overlap = _described(archive, path.stat().st_size)
        weights = _materialise(archive, tensors, on_progress or (lambda _: None))
    shapes = _shapes(network)
    for name in shapes.keys() - weights.keys():
        weights[name] = (torch.ones if name.endswith("weight") else torch.zeros)(shapes[name])
    return MetiaCheckpoint(network, {name: weights[name] for name in shapes}, overlap)


def check_metia_checkpoint(path: Path) -> None:
    """Tell whether :func:`read_metia_checkpoint` would read a file, by its names and shapes: no weights are read.

    Raises
    ------
    ModelError
        As it does, but for damage among the weights.
    """
    with _opened(path) as archive:
        _described(archive, path.stat().st_size)


@contextmanager
def _opened(path: Path) -> Iterator[Archive]:
    """Open a checkpoint, and name it in what is wrong with it."""
    try:
        with Archive(path) as archive:
            yield archive
    except CheckpointError as error:
        raise ModelError(f"{path} {error}.") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error


def _described(archive: Archive, size: int) -> tuple[dict[str, Any], dict[str, Tensor], float]:
    """The network, where its weights lie in the file, and how far windows overlap."""
    content = archive.load()
    if not isinstance(content, dict):
        raise CheckpointError("is no MetIA checkpoint: it holds no dictionary")
    if content and all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(
            "holds plain weights, which go into a bundle with their network's definition: see docs/models.md"
        )
    parameters, state = content.get("hyper_parameters"), content.get("state_dict")
    if not isinstance(parameters, dict) or not isinstance(state, dict):
        raise CheckpointError("is no MetIA checkpoint: it lacks hyper_parameters or a state_dict")
    network, overlap = _network(parameters), _overlap(parameters)
    tensors = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in state.items()
        if isinstance(name, str) and name.startswith(_PREFIX) and not _UNUSED.fullmatch(name, len(_PREFIX))
    }
    _check_fit(tensors, _shapes(network), size)
    return network, tensors, overlap


def _network(parameters: dict[Any, Any]) -> dict[str, Any]:
    roi = parameters.get("roi_size")
    window = list(roi) if isinstance(roi, list | tuple) else [roi] * 3
    given = {name: parameters.get(name) for name in _ARGUMENTS}
    wrong = [name for name, (_, kind) in _ARGUMENTS.items() if type(given[name]) is not kind]
    wrong += [name for name, value in given.items() if type(value) is int and value < 1]
    if len(window) != 3 or any(type(edge) is not int or edge < 1 or edge % _PATCH for edge in window):
        wrong.append("roi_size")
    if wrong:
        raise CheckpointError(f"is no MetIA checkpoint: no usable {', '.join(wrong)} among its hyper_parameters")
    arguments = {argument: given[name] for name, (argument, _) in _ARGUMENTS.items()}
    return {"_target_": "monai.networks.nets.UNETR", "img_size": window, **arguments, "qkv_bias": False}


def _overlap(parameters: dict[Any, Any]) -> float:
    overlap = parameters.get("infer_overlap")
    if isinstance(overlap, bool) or not isinstance(overlap, int | float) or not 0 <= overlap < 1:
        raise CheckpointError("is no MetIA checkpoint: no usable infer_overlap among its hyper_parameters")
    return float(overlap)


def _shapes(network: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """What the network's state looks like; none of it is held in memory."""
    try:
        with torch.device("meta"):
            return {name: tuple(tensor.shape) for name, tensor in build(network).state_dict().items()}
    except Exception as error:  # MONAI's own checks raise whatever they like
        raise CheckpointError("is no MetIA checkpoint: its hyper_parameters describe no UNETR") from error


def _check_fit(tensors: dict[str, Any], shapes: dict[str, tuple[int, ...]], size: int) -> None:
    missing = [name for name in shapes if name not in tensors and UNUSED_LAYERS not in name]
    others = [
        name
        for name, tensor in tensors.items()
        if not (isinstance(tensor, Tensor) and tensor.shape == shapes.get(name) and tensor.storage.kind in _DTYPES)
    ]
    if missing or others:
        raise CheckpointError(
            "has weights of another network than the UNETR of its hyper_parameters: "
            f"{len(missing)} are missing, {len(others)} do not fit, {(missing or others)[0][:80]} among them"
        )
    if sum(prod(tensor.shape) * ITEM_BYTES[tensor.storage.kind] for tensor in tensors.values()) > size:
        raise CheckpointError("is damaged: it claims more numbers than it holds")


def _materialise(
    archive: Archive, tensors: dict[str, Tensor], on_progress: Callable[[float], None]
) -> dict[str, torch.Tensor]:
    """Read each storage once, and take from it what views there are."""
    weights: dict[str, torch.Tensor] = {}
    by_storage = sorted(tensors.items(), key=lambda item: item[1].storage)
    for storage, views in groupby(by_storage, key=lambda item: item[1].storage):
        numbers = torch.frombuffer(archive.read(storage), dtype=_DTYPES[storage.kind])
        for name, view in views:
            tensor = numbers.as_strided(view.shape, view.strides, view.offset).contiguous().clone()
            weights[name] = tensor.float() if tensor.is_floating_point() else tensor
        on_progress(len(weights) / len(tensors))
    return weights
