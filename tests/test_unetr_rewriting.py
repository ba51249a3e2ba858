"""A rewritten network has the answers of the one that it was."""

from typing import Any

import openvino
import pytest
import torch
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.nets import UNETR, SwinUNETR
from torch import nn

from unetr.engines.openvino_engine import _convert
from unetr.engines.rewriting import (
    PatchProduct,
    ScaledDeviation,
    embed_patches_by_product,
    fuse_attention,
    rewritten,
    scale_the_one_channel,
)


def unetr() -> nn.Module:
    torch.manual_seed(0)
    return UNETR(1, 2, 32, feature_size=4, hidden_size=24, mlp_dim=48, num_heads=2, dropout_rate=0.1).eval()


def windows(*size: int) -> torch.Tensor:
    return 2 * torch.rand((2, 1, *size), generator=torch.Generator().manual_seed(1))


def products(network: nn.Module) -> list[str]:
    return [name for name, layer in network.named_modules() if isinstance(layer, PatchProduct)]


def test_fused_attention_has_the_same_weights_and_answer():
    plain, fused = unetr(), fuse_attention(unetr())
    assert fused.load_state_dict(plain.state_dict())
    calls: list[int] = []
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        whole = torch.nn.functional.scaled_dot_product_attention

        def counted(*arguments: Any, **options: Any) -> torch.Tensor:
            calls.append(1)
            return whole(*arguments, **options)

        patch.setattr("torch.nn.functional.scaled_dot_product_attention", counted)
        reference = plain(windows(32, 32, 32))
        assert not calls
        torch.testing.assert_close(fused(windows(32, 32, 32)), reference, atol=1e-4, rtol=1e-4)
    assert len(calls) == 12


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(12, 8, 10), (13, 9, 14)])
def test_a_product_of_patches_is_the_convolution(size, bias):
    torch.manual_seed(0)
    convolution = nn.Conv3d(3, 7, kernel_size=(4, 2, 5), stride=(4, 2, 5), bias=bias)
    volume = torch.rand(2, 3, *size)
    with torch.inference_mode():
        torch.testing.assert_close(PatchProduct(convolution)(volume), convolution(volume))


def test_the_patches_of_transformers_are_embedded_by_a_product_with_the_same_answer():
    plain, made = unetr(), rewritten(unetr())
    assert products(made) == ["vit.patch_embedding.patch_embeddings"]
    with torch.inference_mode():
        torch.testing.assert_close(made(windows(32, 32, 32)), plain(windows(32, 32, 32)), atol=1e-4, rtol=1e-4)
    assert products(rewritten(SwinUNETR(1, 2, feature_size=12))) == ["swinViT.patch_embed.proj"]


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 1},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 2, "stride": 2, "padding": 1},
        {"kernel_size": 2, "stride": 2, "dilation": 2},
        {"kernel_size": 2, "stride": 2, "groups": 2},
    ],
)
def test_other_convolutions_stay(options):
    network = nn.Sequential(nn.Conv3d(4, 4, **options))
    assert not products(embed_patches_by_product(network))


@pytest.mark.parametrize("scale", [1.0, 1e-3, 0.0])
def test_one_channel_normalised_is_its_scaled_deviation(scale):
    """Also where the variance is no more than what is added to it, and where there is none."""
    torch.manual_seed(0)
    plain, norm = nn.Conv3d(1, 7, 1), nn.InstanceNorm3d(7)
    volume = 3 + scale * torch.rand(2, 1, 6, 7, 8)
    with torch.inference_mode():
        found = ScaledDeviation(plain, norm.eps)(volume)
        torch.testing.assert_close(found.double(), norm.double()(plain.double()(volume.double())), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("mean", "deviation"), [(1.0, 1.0), (1.0, 0.01), (0.4, 0.006)])
def test_it_holds_in_bfloat16_where_a_window_varies_little(mean, deviation):
    """As air does in the preset "metia"; the mean itself is rounded there."""
    torch.manual_seed(0)
    block = nn.Sequential(UnetResBlock(3, 1, 16, 3, 1, "instance"), nn.Conv3d(16, 2, 1)).eval()
    window = mean + deviation * torch.randn(1, 1, 32, 32, 32)
    with torch.inference_mode():
        expected = block(window)
    model = _convert(block, window.shape)
    found = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})(window.numpy())[0]
    assert (torch.from_numpy(found) - expected).norm() < 0.04 * expected.norm()


def scaled(network: nn.Module) -> list[str]:
    return [name for name, layer in network.named_modules() if isinstance(layer, ScaledDeviation)]


def test_the_block_that_sees_one_channel_has_the_same_answer_without_its_convolution():
    plain, made = unetr(), scale_the_one_channel(unetr())
    assert scaled(made) == ["encoder1.layer.norm3"]
    assert isinstance(made.get_submodule("encoder1.layer.conv3"), nn.Identity)
    assert scaled(rewritten(unetr())) == scaled(made)
    with torch.inference_mode():
        torch.testing.assert_close(made(windows(32, 32, 32)), plain(windows(32, 32, 32)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("channels", "stride", "norm"),
    [
        ((2, 4), 1, "instance"),
        ((1, 1), 1, "instance"),
        ((1, 4), 2, "instance"),
        ((1, 4), 1, "batch"),
        ((1, 4), 1, ("instance", {"affine": True})),
        ((1, 4), 1, ("instance", {"track_running_stats": True})),
    ],
)
def test_other_shortcuts_stay(channels, stride, norm):
    network = nn.Sequential(UnetResBlock(3, channels[0], channels[1], 3, stride, norm))
    assert not scaled(scale_the_one_channel(network))
