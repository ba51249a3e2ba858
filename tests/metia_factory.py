"""Checkpoints as MetIA's training wrote them, small: the same keys, and pickles that name classes nobody here has."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from monai.networks.nets import UNETR

import unetr  # noqa: F401 - the real one, so that nothing made up here takes its place

THRESHOLD = 0.75
"""What :func:`hand_made` takes for a lesion's surface: tissue is about 0.6 there, a lesion 0.9."""
PARAMETERS: dict[str, Any] = {
    "in_channels": 1,
    "out_channels": 14,
    "new_out_channels": 2,
    "roi_size": (32, 32, 32),
    "feature_size": 4,
    "hidden_size": 24,
    "mlp_dim": 32,
    "num_heads": 3,
    "pos_embed": "perceptron",
    "norm_name": "instance",
    "conv_block": True,
    "res_block": True,
    "infer_overlap": 0.25,
    "lr": 1e-4,
}
_FOREIGN = {
    "unetr.utilsUnetr.types": ("Metrics", "PredictionSavingType", "WandbResultLogging"),
    "meta.data.type_definition": ("MetaReader",),
}


def network(parameters: dict[str, Any] = PARAMETERS, seed: int = 0) -> UNETR:
    """Build with MONAI what the parameters mean, with random weights."""
    torch.manual_seed(seed)
    built = UNETR(
        parameters["in_channels"],
        parameters["new_out_channels"],
        parameters["roi_size"],
        feature_size=parameters["feature_size"],
        hidden_size=parameters["hidden_size"],
        mlp_dim=parameters["mlp_dim"],
        num_heads=parameters["num_heads"],
        proj_type=parameters["pos_embed"],
        norm_name=parameters["norm_name"],
        conv_block=parameters["conv_block"],
        res_block=parameters["res_block"],
    )
    return built.eval()


def hand_made() -> tuple[UNETR, dict[str, Any]]:
    """A network that marks what is brighter than THRESHOLD, see ``tests.tiny_model``, and its parameters."""
    parameters = PARAMETERS | {"norm_name": "batch", "roi_size": [64, 64, 64]}
    built = network(parameters)
    weights = built.state_dict()
    for name, tensor in weights.items():
        if not name.endswith(("running_var", "num_batches_tracked")):
            tensor.zero_()
    for block, channel in (("encoder1.layer", 0), ("decoder2.conv_block", parameters["feature_size"])):
        weights[f"{block}.conv3.conv.weight"][0, channel] = 1.0
        weights[f"{block}.norm3.weight"][0] = 1.0
    weights["out.conv.conv.weight"][1, 0] = 80.0
    weights["out.conv.conv.bias"][1] = -80.0 * THRESHOLD
    return built, parameters


def state_dict(built: UNETR) -> dict[str, torch.Tensor]:
    """The state as MONAI 0.7 had it, twice: each tensor of ``backbone.*`` is the one of ``model.*``."""
    state = {name: tensor for name, tensor in built.state_dict().items() if ".norm_cross_attn." not in name}
    state["vit.patch_embedding.cls_token"] = torch.zeros(1, 1, built.hidden_size)
    for name in ("encoder2.blocks.0.1", "encoder2.blocks.1.1", "encoder3.blocks.0.1"):
        state[f"{name}.conv3.conv.weight"] = torch.randn(8, 8, 1, 1, 1)
        for norm in [key for key in state if key.startswith(f"{name}.norm2.")]:  # none, unless it normalises by batch
            state[norm.replace(".norm2.", ".norm3.")] = state[norm].clone()
    return {prefix + name: tensor for prefix in ("model.", "backbone.") for name, tensor in state.items()}


def save_checkpoint(
    path: Path, built: UNETR | None = None, parameters: dict[str, Any] = PARAMETERS, **entries: Any
) -> Path:
    """Write a checkpoint with all its top-level keys; ``entries`` take the place of some."""
    with foreign_classes() as foreign:
        content: dict[str, Any] = {
            "epoch": 3,
            "global_step": 1200,
            "pytorch-lightning_version": "1.8.3",
            "state_dict": state_dict(built or network(parameters)),
            "loops": {"fit_loop": {"state_dict": {}}},
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.7), "dirpath": Path("runs")}},
            "optimizer_states": [],
            "lr_schedulers": [],
            "hparams_name": "kwargs",
            "hyper_parameters": {
                **parameters,
                "metrics": foreign["Metrics"](),
                "saving": foreign["PredictionSavingType"].FIRST,
                "logging": [foreign["WandbResultLogging"]()],
            },
            "datamodule_hparams_name": "kwargs",
            "datamodule_hyper_parameters": {"reader": foreign["MetaReader"]()},
        }
        torch.save(content | entries, path)
    return path


class _Foreign:
    def __init__(self) -> None:
        self.chosen = True


@contextmanager
def foreign_classes() -> Iterator[dict[str, Any]]:
    """The classes of MetIA's own code that its pickles name; they are there only while one is written."""
    made: dict[str, Any] = {}
    for module, names in _FOREIGN.items():
        *packages, _ = accumulate(module.split("."), "{}.{}".format)
        for package in packages:
            sys.modules.setdefault(package, ModuleType(package))
        holder = sys.modules[module] = ModuleType(module)
        for name in names:
            kind: Any = Enum(name, ["FIRST"]) if name == "PredictionSavingType" else type(name, (_Foreign,), {})
            kind.__module__, made[name] = module, kind
            setattr(holder, name, kind)
    try:
        yield made
    finally:
        for module in [
            name for name in sys.modules if name.startswith(("meta.", "unetr.utilsUnetr")) or name == "meta"
        ]:
            del sys.modules[module]
