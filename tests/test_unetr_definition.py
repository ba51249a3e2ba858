"""What inference.json may say, and that nothing in it runs."""

import pytest

from unetr.definition import OWN_NETWORKS, TARGETS, DefinitionError, describe_network, network_definition, plain
from unetr.network import NETWORKS
from unetr.outputs import Outputs, applied_activation

ROI = {"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 64]}}


def define(**entries):
    return {"network_def": {"_target_": "SegResNet"} | entries} | ROI


def describe(inference, metadata=None, *, script=False):
    return describe_network(inference, metadata or {}, script=script)


def test_every_name_has_its_network():
    assert set(TARGETS.values()) == set(NETWORKS)
    assert set(OWN_NETWORKS) <= set(TARGETS)


@pytest.mark.parametrize("target", ["SegResNet", "monai.networks.nets.SegResNet"])
def test_a_network_of_monai_by_either_name(target):
    network = describe(define(_target_=target, blocks_down=[1, 2]))
    assert network["_target_"] == "monai.networks.nets.SegResNet"
    assert network["blocks_down"] == [1, 2]


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "builtins.exec",
        "subprocess.Popen",
        "torch.load",
        "monai.bundle.run",
        "monai.networks.nets.torch.load",
        "monai.networks.nets.HighResNet",
        "unetr.network.build",
        "$import os",
        "@name",
        "segresnet",
        "",
    ],
)
def test_any_other_name_is_refused(target):
    with pytest.raises(DefinitionError, match="which is not one of"):
        describe(define(_target_=target) | {"name": "SegResNet"})


@pytest.mark.parametrize("network", [None, "UNet", {}, {"_target_": None}, {"_target_": ["UNet"]}])
def test_no_network(network):
    with pytest.raises(DefinitionError, match="no network_def"):
        network_definition({"network_def": network})


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"init_filters": "$8 * 2"}, r"expression '\$8"),
        ({"norm": ["group", {"num_groups": "$__import__('os').abort()"}]}, "expression"),
        ({"act": "%other.json#act"}, "expression '%other"),
        ({"act": {"_target_": "os.system", "command": "true"}}, "run by '_target_'"),
        ({"act": [{"_target_": "torch.nn.ReLU"}]}, "run by '_target_'"),
        ({"_requires_": "$import os"}, "run by '_requires_'"),
        ({"_disabled_": True}, "run by '_disabled_'"),
        ({"_mode_": "debug"}, "run by '_mode_'"),
        ({"act": "@nowhere"}, "'@nowhere', which is no plain value"),
        ({"act": "@outer#no"}, "'@outer#no', which is no plain value"),
        ({"act": "@made"}, "run by '_target_'"),
        ({"act": "@computed"}, "expression"),
        ({"act": "@circle"}, "lead back"),
        ({"act": "@multiplied"}, "'@multiplied', which is no plain value"),
        ({"act": "@imports#0"}, "expression"),
        *(({"act": f"@{inside}"}, "which is no plain value") for inside in ("few#1", "few#x", "few#-1", "text#in")),
    ],
)
def test_what_is_no_plain_value_is_refused(entries, words):
    others = {
        "outer": {"inner": 1},
        "made": {"_target_": "os.system"},
        "computed": "$1 + 1",
        "circle": "@circle",
        "multiplied": ["@multiplied"] * 100,
        "imports": ["$import os"],
        "few": [7],
        "text": "inner",
    }
    with pytest.raises(DefinitionError, match=words):
        describe(define(**entries) | others)


def test_references_to_plain_values_are_followed():
    others = {"classes": {"0": 3}, "alias": "@classes#0", "sizes": {"roi": [32, 64, 96], "list": [[1, 2], [3, 4]]}}
    entries = {"out_channels": "@alias", "blocks_down": "@sizes#list#1", "blocks_up": "@sizes::list::0"}
    inference = define(**entries) | others | {"inferer": {"roi_size": "@sizes#roi"}}
    network = describe(inference)
    assert (network["out_channels"], network["img_size"]) == (3, [32, 64, 96])
    assert (network["blocks_down"], network["blocks_up"]) == ([3, 4], [1, 2])


def test_text_that_only_looks_like_mail_is_a_value():
    assert plain({"a": [True, None, 0.5, "group@home", "5 $"]}, {}) == {"a": [True, None, 0.5, "group@home", "5 $"]}


def test_older_names_of_arguments():
    network = describe(define(_target_="UNETR", pos_embed="conv", img_size=96))
    assert network["proj_type"] == "conv"
    assert "pos_embed" not in network


@pytest.mark.parametrize(
    ("img_size", "roi_size", "spatial_shape", "window"),
    [
        ([64, 64, 32], [96, 96, 96], [8, 8, 8], [64, 64, 32]),
        (96, None, None, [96, 96, 96]),
        (None, [96, 96, 64], [8, 8, 8], [96, 96, 64]),
        (None, 80, None, [80, 80, 80]),
        (None, None, [160, 160, 160], [160, 160, 160]),
    ],
)
def test_where_the_window_is_said(img_size, roi_size, spatial_shape, window):
    inference = {"network_def": {"_target_": "UNet", "img_size": img_size}, "inferer": {"roi_size": roi_size}}
    metadata = {"network_data_format": {"inputs": {"image": {"spatial_shape": spatial_shape}}}}
    assert describe(inference, metadata)["img_size"] == window


@pytest.mark.parametrize("shape", [["*", "*", "*"], ["32*n"] * 3, [96, 96], None, "96"])
def test_no_window(shape):
    metadata = {"network_data_format": {"inputs": {"image": {"spatial_shape": shape}}}}
    with pytest.raises(DefinitionError, match="says no window"):
        describe({"network_def": {"_target_": "UNet"}}, metadata)


@pytest.mark.parametrize("size", [[96, 96], [96, 96, -1], [96, 96, 0], ["96", 96, 96], [96.5, 96, 96], -1, True])
def test_a_window_that_is_none(size):
    for inference in (define(img_size=size), define() | {"inferer": {"roi_size": size}}):
        with pytest.raises(DefinitionError, match="three whole numbers"):
            describe(inference)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"in_channels": 4}, "takes 4 channels in 3 dimensions"),
        ({"spatial_dims": 2}, "takes 1 channels in 2 dimensions"),
        ({"dimensions": 2}, "2 dimensions"),
        ({"out_channels": 0}, "out_channels = 0"),
        ({"out_channels": [2]}, "out_channels = "),
    ],
)
def test_networks_for_something_else(entries, words):
    with pytest.raises(DefinitionError, match=words):
        describe(define(**entries))


def test_where_no_channels_are_said_one_goes_in_and_two_come_out():
    for network in (describe(define()), describe(ROI, script=True)):
        assert (network["in_channels"], network["out_channels"]) == (1, 2)


def test_one_channel_out_is_enough():
    assert describe(define(out_channels=1))["out_channels"] == 1


@pytest.mark.parametrize("around", [lambda value: [value], lambda value: {"a": value}], ids=["lists", "dictionaries"])
def test_values_nested_too_deep_are_refused(around):
    value = 1
    for _ in range(20):
        value = around(value)
    assert plain(value, {}) == value
    with pytest.raises(DefinitionError, match="nested too deep"):
        plain(around(value), {})


def test_torchscript_needs_no_definition():
    formats = {"inputs": {"image": {"num_channels": 1}}, "outputs": {"pred": {"num_channels": 4}}}
    metadata = {"network_data_format": formats}
    network = describe({"network_def": {"_target_": "my.own.Network"}} | ROI, metadata, script=True)
    assert network == {"_target_": "TorchScript", "in_channels": 1, "out_channels": 4, "img_size": [96, 96, 64]}
    formats["inputs"]["image"]["num_channels"] = 4
    with pytest.raises(DefinitionError, match="takes 4 channels"):
        describe(ROI, metadata, script=True)


def outputs(channels, activation=None, names=(), lesion_channels=None):
    pred = {"activation": activation, "channel_def": {str(index): name for index, name in enumerate(names)}}
    metadata = {"network_data_format": {"outputs": {"pred": {k: v for k, v in pred.items() if v}}}}
    return Outputs.of(
        metadata | ({"lesion_channels": lesion_channels} if lesion_channels is not None else {}), channels
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"channels": 1}, Outputs(True, (0,), None)),
        ({"channels": 1, "activation": "softmax"}, Outputs(True, (0,), None)),
        ({"channels": 2}, Outputs(False, (1,), None)),
        ({"channels": 4}, Outputs(False, (1, 2, 3), None)),
        ({"channels": 4, "names": ["Background", "oedema", "core", " Brain"]}, Outputs(False, (1, 2), None)),
        ({"channels": 4, "lesion_channels": [2, 3]}, Outputs(False, (2, 3), None)),
        ({"channels": 3, "activation": "sigmoid"}, Outputs(True, (0, 1, 2), None)),
        ({"channels": 2, "activation": "sigmoid", "names": ["metastasis", "brain"]}, Outputs(True, (0,), 1)),
        ({"channels": 2, "activation": "sigmoid", "names": ["brain", "metastasis"]}, Outputs(True, (1,), 0)),
        ({"channels": 3, "activation": "sigmoid", "lesion_channels": [1]}, Outputs(True, (1,), None)),
    ],
)
def test_what_the_channels_mean(given, expected):
    assert outputs(**given) == expected


@pytest.mark.parametrize("lesion_channels", [[], [2], [-1], [True], "1", [0.5]])
def test_lesion_channels_that_are_none(lesion_channels):
    with pytest.raises(ValueError, match="lesion_channels"):
        outputs(2, lesion_channels=lesion_channels)


def test_channels_without_a_lesion():
    with pytest.raises(ValueError, match="lists none"):
        outputs(2, names=["background", "brain"])


def test_the_activation_of_its_own_postprocessing_counts_where_none_is_said():
    """As in bundles for several overlapping labels: the one word is in inference.json."""
    names = {"0": "Tumor core", "1": "Whole tumor", "2": "Enhancing tumor"}
    metadata = {"network_data_format": {"outputs": {"pred": {"channel_def": names}}}}
    transforms = [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}, {"_target_": "AsDiscreted"}]
    applied = applied_activation({"postprocessing": {"_target_": "Compose", "transforms": transforms}})
    assert Outputs.of(metadata, 3, applied) == Outputs(True, (0, 1, 2), None)
    with pytest.raises(ValueError, match="channel 0 of 3 is 'tumor core'"):
        Outputs.of(metadata, 3)
    assert Outputs.of(metadata, 3, "softmax") == Outputs(False, (0, 1, 2), None)
    said = {"network_data_format": {"outputs": {"pred": {"channel_def": names, "activation": "softmax"}}}}
    assert not Outputs.of(said, 3, "sigmoid").sigmoid


@pytest.mark.parametrize(
    "postprocessing",
    [None, [], {}, {"transforms": None}, {"transforms": "@x"}, {"transforms": ["@x", {"sigmoid": "$True"}, {}]}],
)
def test_a_postprocessing_without_an_activation(postprocessing):
    assert applied_activation({"postprocessing": postprocessing}) is None


def test_an_activation_that_is_none():
    with pytest.raises(ValueError, match="activation 'argmax'"):
        outputs(2, activation="argmax")
