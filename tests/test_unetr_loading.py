"""Each kind of bundle gives the logits of its network; what is no network's weights is refused in one sentence."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from tests.tiny_model import DEFINITION, tiny_bundle, tiny_weights
from unetr.bundle import ModelError, read_bundle
from unetr.errors import told
from unetr.loading.network import check_loads, load_network, load_weights
from unetr.network import build

DYNUNET = {
    "kernel_size": [3, 3, 3],
    "strides": [1, 2, 2],
    "upsample_kernel_size": [2, 2],
    "filters": [2, 4, 8],
    "deep_supervision": True,
}
TRANSFORMER = {"feature_size": 2, "hidden_size": 12, "mlp_dim": 12, "num_heads": 2}
NETWORKS: dict[str, dict[str, Any]] = {
    "UNETR": {"img_size": 32, **TRANSFORMER},
    "SwinUNETR": {"img_size": 64, "feature_size": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
    "SegResNet": {"blocks_down": [1, 1], "blocks_up": [1], "dropout_prob": 0.2},
    "UNet": {"channels": [2, 4, 8], "strides": [2, 2], "num_res_units": 1, "norm": "batch"},
    "DynUNet": DYNUNET,
    "AttentionUnet": {"channels": [2, 4, 8], "strides": [2, 2], "dropout": 0.1},
    "BasicUNetPlusPlus": {"features": [2, 2, 4, 4, 4, 2], "deep_supervision": True},
    "unetr.network.FoldedUNETR": {"img_size": [32, 32, 32], **TRANSFORMER},
    "unetr.network.FoldedSegResNet": {
        "img_size": [32, 32, 32],
        "init_filters": 8,
        "blocks_down": [1, 1],
        "blocks_up": [1],
    },
}


def network_of(name: str, **changes: Any) -> nn.Module:
    torch.manual_seed(7)
    target = name if "." in name else f"monai.networks.nets.{name}"
    network = build({"_target_": target, "in_channels": 1, "out_channels": 3, **NETWORKS[name], **changes})
    for module in network.modules():  # as after training: with statistics that are not those of a new network
        if isinstance(module, nn.BatchNorm3d) and module.running_mean is not None:
            nn.init.uniform_(module.running_mean)
    return network.eval()


def write(folder: Path, name: str, save: Callable[[Path], object], suffix: str = "pt", **changes: Any) -> Path:
    """Write a bundle as MONAI's zoo has them: what varies stands by itself and is referred to."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    network = {"_target_": name, "in_channels": "@channels#image", "out_channels": 3, **NETWORKS[name], **changes}
    inference = {
        "imports": ["$import glob"],
        "bundle_root": "/workspace/bundle",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "patch": [32, 32, 32],
        "channels": {"image": 1},
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": "@patch", "sw_batch_size": 4, "overlap": 0.5},
        "evaluator": {"_target_": "SupervisedEvaluator", "device": "@device"},
    }
    (folder / "configs" / "inference.json").write_text(json.dumps(inference), "utf-8")
    pred = {"num_channels": 3, "channel_def": {"0": "background", "1": "core", "2": "oedema"}}
    metadata = {"version": "0.1.0", "network_data_format": {"outputs": {"pred": pred}}}
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata), "utf-8")
    save(folder / "models" / f"model.{suffix}")
    return folder


def same_logits(bundle: Path, network: nn.Module) -> bool:
    info = read_bundle(bundle)
    check_loads(info)
    loaded = load_network(info)
    assert not loaded.training
    window = torch.rand(1, 1, *info.window)
    with torch.inference_mode():
        expected = network(window)
        return torch.equal(loaded(window), expected) and expected.shape == (1, 3, *info.window)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_as_it_was_made(tmp_path, name):
    network = network_of(name)
    assert same_logits(write(tmp_path, name, lambda path: torch.save(network.state_dict(), path)), network)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_checkpoint_of_weights_beside_other_things(tmp_path, key):
    network = network_of("UNet")
    content = {key: network.state_dict(), "epoch": 3, "optimizer": {"lr": 0.1}}
    assert same_logits(write(tmp_path, "UNet", lambda path: torch.save(content, path)), network)


def test_safetensors_that_keep_shared_tensors_once(tmp_path):
    network = network_of("DynUNet")
    bundle = write(tmp_path, "DynUNet", lambda path: safetensors.torch.save_model(network, str(path)), "safetensors")
    kept = safetensors.torch.load_file(bundle / "models" / "model.safetensors")
    assert len(kept) < len(network.state_dict())
    assert same_logits(bundle, network)


def test_half_precision_becomes_single(tmp_path):
    network = network_of("UNet")
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in network.state_dict().items()
    }
    bundle = write(tmp_path, "UNet", lambda path: torch.save(halves, path))
    loaded = load_network(read_bundle(bundle))
    assert {tensor.dtype for tensor in loaded.parameters()} == {torch.float32}
    network.load_state_dict(halves)
    assert same_logits(bundle, network)


def test_weights_from_before_cross_attention(tmp_path):
    network = network_of("UNETR")
    older = {name: tensor for name, tensor in network.state_dict().items() if ".norm_cross_attn." not in name}
    assert len(older) < len(network.state_dict())
    bundle = write(tmp_path, "UNETR", lambda path: torch.save(older, path), pos_embed="conv")
    assert same_logits(bundle, network)


def test_torchscript_is_its_own_definition(tmp_path):
    network = network_of("UNet")
    traced = torch.jit.trace(network, torch.rand(1, 1, 32, 32, 32))
    bundle = write(tmp_path, "UNet", lambda path: torch.jit.save(traced, path), "ts")
    path = bundle / "configs" / "inference.json"
    inference = json.loads(path.read_text("utf-8")) | {"network_def": {"_target_": "scripts.my.Network"}}
    path.write_text(json.dumps(inference), "utf-8")
    assert same_logits(bundle, network)


def test_tensors_alone_come_before_programs(tmp_path):
    network = network_of("UNet")
    bundle = write(tmp_path, "UNet", lambda path: torch.save(network.state_dict(), path))
    (bundle / "models" / "model.ts").write_bytes(b"never opened")
    assert read_bundle(bundle).weights.name == "model.pt"
    assert same_logits(bundle, network)


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def refusal(bundle: Path, *, told_without_numbers: bool = True) -> str:
    """Why a bundle is not loaded; the same is told without its weights' numbers, but where only those show it."""
    info = read_bundle(bundle)
    with pytest.raises(ModelError) as caught:
        load_network(info)
    message = str(caught.value)
    if told_without_numbers:
        with pytest.raises(ModelError) as checked:
            check_loads(info)
        own = " voxels cannot be run"  # behind that stand a library's words, which differ
        assert str(checked.value).partition(own)[:2] == message.partition(own)[:2]
    else:
        check_loads(info)
    assert "\n" not in message
    assert len(message) < 500
    assert message.endswith(".")
    return message


def test_a_pickle_that_wants_to_run_something(tmp_path):
    mark = tmp_path / "ran"
    content = {"state_dict": network_of("UNet").state_dict(), "extra": Hostile(mark)}
    pickle.loads(pickle.dumps(Hostile(mark)))
    mark.rmdir()  # it would have worked
    bundle = write(tmp_path / "bundle", "UNet", lambda path: torch.save(content, path))
    assert "hold more than tensors, and are not opened" in refusal(bundle)
    assert not mark.exists()


def test_a_whole_network_in_a_pickle(tmp_path):
    network = network_of("UNet")
    assert "hold more than tensors" in refusal(write(tmp_path, "UNet", lambda path: torch.save(network, path)))


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": [1]}, {"weight": 1.0}, {}])
def test_a_pickle_of_something_else(tmp_path, content):
    assert "weights" in refusal(write(tmp_path, "UNet", lambda path: torch.save(content, path)))


def test_a_zip_of_something_else(tmp_path):
    network = network_of("UNet")
    bundle = write(tmp_path, "UNet", lambda path: torch.save(network.state_dict(), path))
    (bundle / "models" / "model.pt").rename(bundle / "models" / "model.ts")
    assert "are no TorchScript" in refusal(bundle, told_without_numbers=False)


def test_a_program_under_the_name_of_weights(tmp_path):
    script = torch.jit.trace(network_of("UNet"), torch.zeros(1, 1, 32, 32, 32))
    assert "name it model.ts" in refusal(write(tmp_path, "UNet", lambda path: torch.jit.save(script, path)))


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("out of luck.\nat line 3", "out of luck"),
        ("", "RuntimeError"),
        ("Check 'false' failed at frontend.cpp:53:\nFrontEnd API failed:\nno such operation\n\n", "no such operation"),
        (
            "The following operation failed in the TorchScript interpreter.\nTraceback:\nRuntimeError: sizes differ",
            "RuntimeError: sizes differ",
        ),
    ],
)
def test_of_an_error_the_line_that_says_what_is_wrong(message, line):
    assert told(RuntimeError(message)) == line


def test_weights_that_change_while_they_are_read(tmp_path):
    info = read_bundle(tiny_bundle(tmp_path))
    assert info.sha256
    info.weights.write_bytes(info.weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="change while they are read"):
        load_network(info)


def test_weights_that_are_gone(tmp_path):
    info = read_bundle(tiny_bundle(tmp_path))
    info.weights.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_network(info)


def test_a_window_that_does_not_fit(tmp_path):
    network = network_of("UNet")
    bundle = write(tmp_path, "UNet", lambda path: torch.save(network.state_dict(), path), img_size=[30, 30, 30])
    assert "a window of (30, 30, 30) voxels cannot be run" in refusal(bundle)


def test_a_network_of_other_outputs_than_said(tmp_path):
    traced = torch.jit.trace(network_of("UNet", out_channels=2), torch.rand(1, 1, 32, 32, 32))
    bundle = write(tmp_path, "UNet", lambda path: torch.jit.save(traced, path), "ts")
    said = refusal(bundle, told_without_numbers=False)
    assert "answers a window with (1, 2, 32, 32, 32), not with logits of (1, 3, 32, 32, 32)" in said


def test_weights_that_are_no_numbers(tmp_path):
    network = network_of("UNet")
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    bundle = write(tmp_path, "UNet", lambda path: torch.save(network.state_dict(), path))
    assert "values that are no numbers" in refusal(bundle, told_without_numbers=False)


def define(bundle: Path, **entries: object) -> Path:
    """Change the bundle's network_def; None takes an entry out."""
    definition = {key: value for key, value in (DEFINITION | entries).items() if value is not None}
    (bundle / "configs" / "inference.json").write_text(json.dumps({"network_def": definition}), "utf-8")
    return bundle


@pytest.mark.parametrize("entries", [{"patch": 16}, {"num_heads": 5}, {"norm_name": "no such norm"}])
def test_a_network_that_cannot_be_built(tmp_path, entries):
    assert "cannot be built from its network_def" in refusal(define(tiny_bundle(tmp_path), **entries))


@pytest.mark.parametrize(
    "entries",
    [
        {"feature_size": 4},
        {"_target_": "unetr.network.FoldedUNETR", "norm_name": None},
        {"_target_": "SegResNet", **dict.fromkeys(DEFINITION.keys() - {"_target_", "img_size"})},
        {"norm_name": "instance"},
    ],
)
def test_the_weights_of_another_network(tmp_path, entries):
    assert "belong to another network" in refusal(define(tiny_bundle(tmp_path), **entries))


def test_weights_of_which_some_are_missing(tmp_path):
    path = tiny_bundle(tmp_path) / "models" / "model.safetensors"
    weights = tiny_weights()
    del weights["out.conv.conv.bias"]
    safetensors.torch.save_file(weights, path)
    assert "1 tensors are missing, 0 do not fit, out.conv.conv.bias among them" in refusal(tmp_path)


def test_a_prefix_that_all_weights_have_is_named():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    weights = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    with pytest.raises(ModelError, match=r"take module\. off them"):
        load_weights(network, weights, "The weights")


def test_a_prefix_of_another_network_s_weights_is_not_the_fault():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(ModelError, match=r"belong to another network"):
        load_weights(network, {"other.weight": torch.zeros(2, 2)}, "The weights")
