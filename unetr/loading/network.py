"""From a bundle's network definition and weights to a network, ready to run."""

import hashlib
import io
import pickle
import zipfile
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from unetr.bundle import BundleInfo, ModelError
from unetr.errors import told
from unetr.network import build

_NESTED = ("state_dict", "model")
"""Where a ``.pt`` may hold the weights, beside other things."""
UNUSED_LAYERS = ".norm_cross_attn."
"""Layers that MONAI's transformer has had since 1.4 and does not run; older weights lack them."""


def load_network(info: BundleInfo) -> nn.Module:
    """Build a bundle's network with its weights in float32, on the CPU, in evaluation mode.

    Raises
    ------
    ModelError
        When the network cannot be built as defined or does not fit its window, or when its weights are damaged, not
        yet copied in full, another network's, or anything but weights.
    """
    network = _script(info) if info.weights.suffix == ".ts" else _network(info)
    network.float().eval()
    _check_fit(info, network)
    return network


def load_weights(network: nn.Module, weights: dict[str, torch.Tensor], whose: str) -> None:
    """Put weights of any precision into a network.

    Parameters
    ----------
    weights
        By the names of the network's state. Of tensors that the network has under several names, one is enough.
    whose
        What the refusal begins with.

    Raises
    ------
    ModelError
        When names or shapes are not the network's.
    """
    state = network.state_dict()
    same = {tensor.data_ptr() for name, tensor in state.items() if name in weights}
    missing = [
        name
        for name, tensor in state.items()
        if name not in weights and tensor.data_ptr() not in same and UNUSED_LAYERS not in name
    ]
    others = [name for name, tensor in weights.items() if name not in state or tensor.shape != state[name].shape]
    if missing or others:
        example = (others or missing)[0]
        prefix = next(iter(weights), "").partition(".")[0] + "."
        if all(name.startswith(prefix) for name in weights) and not any(name.startswith(prefix) for name in state):
            raise ModelError(
                f"{whose} are all called {prefix}..., where the network's are not: take {prefix} off them."
            )
        raise ModelError(
            f"{whose} belong to another network than {type(network).__name__} as defined: "
            f"{len(missing)} tensors are missing, {len(others)} do not fit, {example} among them."
        )
    network.load_state_dict(weights, strict=False)


def _read(info: BundleInfo) -> bytes:
    """The weights' file as it was hashed: what runs is what the result says."""
    try:
        content = info.weights.read_bytes()
    except OSError as error:
        raise ModelError(f"The weights {info.weights} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(content).hexdigest() != info.sha256:
        raise ModelError(f"The weights {info.weights} change while they are read: let the copying end first.")
    return content


def _network(info: BundleInfo) -> nn.Module:
    target = info.network["_target_"]
    try:
        network = build(info.network)
    except Exception as error:  # a network's own checks raise whatever they like
        raise ModelError(f"{info.path}: {target} cannot be built from its network_def: {told(error)}.") from error
    load_weights(network, read_weights(info), f"The weights {info.weights}")
    return network


def read_weights(info: BundleInfo) -> dict[str, torch.Tensor]:
    """Read a bundle's weights by their names; nothing but tensors is let out of a pickle.

    Raises
    ------
    ModelError
        When the file is damaged, changes meanwhile, or holds anything but tensors with their names.
    """
    content = _read(info)
    try:
        if info.weights.suffix == ".safetensors":
            return safetensors.torch.load(content)
        if _is_script(content):
            raise ModelError(
                f"The weights {info.weights} are TorchScript, a program: name it model.ts if you trust its author."
            )
        loaded: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"The weights {info.weights} hold more than tensors, and are not opened: "
            "let their author save the network's state_dict alone."
        ) from error
    except (safetensors.SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise ModelError(f"The weights {info.weights} are damaged: {told(error)}.") from error
    for key in _NESTED:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in loaded.values()):
        raise ModelError(f"The weights {info.weights} are no state_dict: names, with a tensor each.")
    return loaded


def _is_script(content: bytes) -> bool:
    """Whether a file is what ``torch.jit.save`` writes: a state_dict's archive holds no constants."""
    try:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except zipfile.BadZipFile:
        return False
    return any(name.endswith("/constants.pkl") for name in names)


def _script(info: BundleInfo) -> nn.Module:
    """TorchScript: a program of its author's, which runs in PyTorch's own interpreter, without Python."""
    try:
        network: nn.Module = torch.jit.load(io.BytesIO(_read(info)), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"The weights {info.weights} are no TorchScript: {told(error)}.") from error
    return network


def _check_fit(info: BundleInfo, network: nn.Module) -> None:
    """Pass one empty window through the network, and compare what comes out with what is said of it."""
    expected = (1, info.network["out_channels"], *info.window)
    try:
        with torch.inference_mode():
            logits = network(torch.zeros(1, 1, *info.window))
    except Exception as error:  # whatever a network's layers raise
        raise ModelError(f"{info.path}: a window of {info.window} voxels cannot be run: {told(error)}.") from error
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected:
        given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ModelError(f"{info.path}: the network answers a window with {given}, not with logits of {expected}.")
    if not logits.isfinite().all():
        raise ModelError(f"{info.path}: the network answers an empty window with values that are no numbers.")
