"""From a bundle's network definition and weights to a network, ready to run."""

import hashlib
import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
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
    _check_weights(network, weights, whose)
    network.load_state_dict(weights, strict=False)


def _check_weights(network: nn.Module, weights: Mapping[str, torch.Tensor], whose: str) -> None:
    """Refuse weights whose names or shapes are not the network's; none of them need hold numbers."""
    state = network.state_dict(keep_vars=True)  # the tensors themselves: one that has several names is one object
    same = {id(tensor) for name, tensor in state.items() if name in weights}
    missing = [
        name
        for name, tensor in state.items()
        if name not in weights and id(tensor) not in same and UNUSED_LAYERS not in name
    ]
    others = [name for name, tensor in weights.items() if name not in state or tensor.shape != state[name].shape]
    if missing or others:
        example = min(others) if others else missing[0]  # the file's order is any
        prefix = next(iter(weights), "").partition(".")[0] + "."
        if weights and all(name.startswith(prefix) and name.removeprefix(prefix) in state for name in weights):
            raise ModelError(
                f"{whose} are all called {prefix}..., where the network's are not: take {prefix} off them."
            )
        raise ModelError(
            f"{whose} belong to another network than {type(network).__name__} as defined: "
            f"{len(missing)} tensors are missing, {len(others)} do not fit, {example} among them."
        )


def check_loads(info: BundleInfo) -> None:
    """Tell whether :func:`load_network` would load a bundle, from names and shapes alone: no weights are read.

    What only their numbers show is not seen: answers that are no numbers, and what is wrong with TorchScript, which
    would have to be loaded.

    Raises
    ------
    ModelError
        As :func:`load_network` does.
    """
    if info.weights.suffix == ".ts":
        return
    network = _without_numbers(info).eval()
    _check_weights(network, _shapes(info), f"The weights {info.weights}")
    _check_fit(info, network)


def _without_numbers(info: BundleInfo) -> nn.Module:
    try:
        with torch.device("meta"):
            return build(info.network)
    except Exception:  # what is wrong with it, or a network of MONAI's that computes with numbers while it is made
        return _built(info).to("meta")


def _shapes(info: BundleInfo) -> dict[str, torch.Tensor]:
    """The weights as tensors without numbers."""
    if info.weights.suffix != ".safetensors":
        return _tensors(info, info.weights)
    with _refusing_damage(info), safetensors.safe_open(info.weights, framework="pt") as file:
        return {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in file.keys()}  # noqa: SIM118


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
    network = _built(info)
    load_weights(network, read_weights(info), f"The weights {info.weights}")
    return network


def _built(info: BundleInfo) -> nn.Module:
    try:
        return build(info.network)
    except Exception as error:  # a network's own checks raise whatever they like
        target = info.network["_target_"]
        raise ModelError(f"{info.path}: {target} cannot be built from its network_def: {told(error)}.") from error


def read_weights(info: BundleInfo) -> dict[str, torch.Tensor]:
    """Read a bundle's weights by their names; nothing but tensors is let out of a pickle.

    Raises
    ------
    ModelError
        When the file is damaged, changes meanwhile, or holds anything but tensors with their names.
    """
    content = _read(info)
    if info.weights.suffix == ".safetensors":
        with _refusing_damage(info):
            return safetensors.torch.load(content)
    return _tensors(info, io.BytesIO(content))


def _tensors(info: BundleInfo, file: io.BytesIO | Path) -> dict[str, torch.Tensor]:
    """The tensors of a pickle; those of a path are read from it when somebody looks at them."""
    if _is_script(file):
        raise ModelError(
            f"The weights {info.weights} are TorchScript, a program: name it model.ts if you trust its author."
        )
    try:
        with _refusing_damage(info):
            loaded: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=isinstance(file, Path))
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"The weights {info.weights} hold more than tensors, and are not opened: "
            "let their author save the network's state_dict alone."
        ) from error
    for key in _NESTED:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in loaded.values()):
        raise ModelError(f"The weights {info.weights} are no state_dict: names, with a tensor each.")
    return loaded


@contextmanager
def _refusing_damage(info: BundleInfo) -> Iterator[None]:
    try:
        yield
    except (safetensors.SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise ModelError(f"The weights {info.weights} are damaged: {told(error)}.") from error


def _is_script(file: io.BytesIO | Path) -> bool:
    """Whether a file is what ``torch.jit.save`` writes: a state_dict's archive holds no constants."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False
    finally:
        if isinstance(file, io.BytesIO):
            file.seek(0)


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
    device = next((tensor.device for tensor in network.state_dict().values()), None)
    try:
        with torch.inference_mode():
            logits = network(torch.zeros(1, 1, *info.window, device=device))
    except Exception as error:  # whatever a network's layers raise
        raise ModelError(f"{info.path}: a window of {info.window} voxels cannot be run: {told(error)}.") from error
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected:
        given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ModelError(f"{info.path}: the network answers a window with {given}, not with logits of {expected}.")
    if not logits.is_meta and not logits.isfinite().all():
        raise ModelError(f"{info.path}: the network answers an empty window with values that are no numbers.")
