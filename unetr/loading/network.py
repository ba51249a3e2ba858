"""From a bundle's network definition and weights to a network, ready to run."""

import safetensors
import safetensors.torch
from torch import nn

from unetr.bundle import BundleInfo, ModelError
from unetr.network import NETWORKS


def load_network(info: BundleInfo) -> nn.Module:
    """Build a bundle's network with its weights in float32, on the CPU, in evaluation mode.

    Raises
    ------
    ModelError
        When the network is unknown, or its weights damaged or another network's.
    """
    target = info.network["_target_"]
    if target not in NETWORKS:
        raise ModelError(f"{info.path}: network {target} is not one of {', '.join(NETWORKS)}.")
    arguments = {key: value for key, value in info.network.items() if key != "_target_"}
    try:
        network = NETWORKS[target](**arguments)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{info.path}: {target} cannot be built from its network_def: {error}.") from error
    try:
        weights = safetensors.torch.load_file(info.weights)
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"The weights {info.weights} are damaged: {error}.") from error
    except RuntimeError as error:  # names and shapes, hundreds of them
        raise ModelError(f"The weights {info.weights} belong to another network than {target} as defined.") from error
    return network.eval()
