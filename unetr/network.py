"""The networks a bundle may name: some of MONAI's, and two that see a window folded.

Behind a fold, each block of ``fold`` x ``fold`` x ``fold`` voxels is one voxel with ``fold ** 3`` channels (space to
depth), and is unfolded on the way out: nothing is lost. A convolution then reaches ``fold`` times as far and costs
``fold ** 3`` times less, which is what makes networks of this size trainable and quick without a GPU.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks import nets
from torch import nn


class FoldedUNETR(nn.Module):
    """MONAI's UNETR behind a fold.

    Parameters
    ----------
    in_channels, out_channels, img_size, feature_size, hidden_size, mlp_dim, num_heads
        As MONAI's UNETR, in terms of the unfolded window.
    fold
        Edge of a folded block; ``img_size`` must be a multiple of ``16 * fold``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        img_size: Sequence[int],
        *,
        feature_size: int = 16,
        hidden_size: int = 160,
        mlp_dim: int = 640,
        num_heads: int = 10,
        fold: int = 2,
    ) -> None:
        super().__init__()
        _check_window(img_size, 16 * fold)
        self.fold = fold
        self.unetr = nets.UNETR(
            in_channels * fold**3,
            out_channels * fold**3,
            tuple(edge // fold for edge in img_size),
            feature_size=feature_size,
            hidden_size=hidden_size,
            mlp_dim=mlp_dim,
            num_heads=num_heads,
            proj_type="conv",
            norm_name="instance",
        )

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        """``(batch, in_channels, a, b, c)`` -> logits ``(batch, out_channels, a, b, c)``."""
        return _unfold(self.unetr(_fold(window, self.fold)), self.fold)

    @property
    def output_bias(self) -> torch.Tensor:
        """Bias of the last layer, shape ``(out_channels * fold ** 3,)``, those of one output side by side."""
        return self.unetr.out.conv.conv.bias

    @property
    def transformer(self) -> nn.Module:
        return self.unetr.vit


class FoldedSegResNet(nn.Module):
    """MONAI's SegResNet, a residual convolutional U-Net, behind a fold.

    Parameters
    ----------
    in_channels, out_channels, blocks_down, blocks_up
        As MONAI's SegResNet.
    init_filters
        Channels at the finest (folded) level; each level below has twice as many.
    img_size
        The window it is trained on and run with; any multiple of ``fold * 2 ** levels below the first`` works.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        img_size: Sequence[int],
        *,
        init_filters: int = 24,
        blocks_down: Sequence[int] = (1, 2, 2, 1),
        blocks_up: Sequence[int] = (1, 1, 1),
        fold: int = 2,
    ) -> None:
        super().__init__()
        _check_window(img_size, fold * 2 ** len(blocks_up))
        self.fold = fold
        self.segresnet = nets.SegResNet(
            init_filters=init_filters,
            in_channels=in_channels * fold**3,
            out_channels=out_channels * fold**3,
            blocks_down=tuple(blocks_down),
            blocks_up=tuple(blocks_up),
        )

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        """``(batch, in_channels, a, b, c)`` -> logits ``(batch, out_channels, a, b, c)``."""
        # Channels last: a fifth faster on a CPU with bfloat16.
        folded = _fold(window, self.fold).contiguous(memory_format=torch.channels_last_3d)
        return _unfold(self.segresnet(folded), self.fold)

    @property
    def output_bias(self) -> torch.Tensor:
        """Bias of the last layer, shape ``(out_channels * fold ** 3,)``, those of one output side by side."""
        return self.segresnet.conv_final[-1].conv.bias


class BasicUNetPlusPlus(nets.BasicUNetPlusPlus):
    """MONAI's U-Net++, which answers with a list of one output for each depth: only the last counts."""

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        return super().forward(window)[-1]


NETWORKS: dict[str, type[nn.Module]] = {
    "unetr.network.FoldedUNETR": FoldedUNETR,
    "unetr.network.FoldedSegResNet": FoldedSegResNet,
    "monai.networks.nets.UNETR": nets.UNETR,
    "monai.networks.nets.SwinUNETR": nets.SwinUNETR,
    "monai.networks.nets.SegResNet": nets.SegResNet,
    "monai.networks.nets.UNet": nets.UNet,
    "monai.networks.nets.DynUNet": nets.DynUNet,
    "monai.networks.nets.AttentionUnet": nets.AttentionUnet,
    "monai.networks.nets.BasicUNetPlusPlus": BasicUNetPlusPlus,
}
"""What a bundle's ``_target_`` may name; ``unetr.definition.TARGETS`` has the shorter names."""


def build(definition: dict[str, Any]) -> nn.Module:
    """Make a network from its ``_target_`` and keyword arguments.

    ``img_size``, the window, is passed on where the network has it as an argument; others take any window.
    """
    network = NETWORKS[definition["_target_"]]
    arguments = {key: value for key, value in definition.items() if key != "_target_"}
    if "img_size" not in inspect.signature(network).parameters:
        arguments.pop("img_size", None)
    if "spatial_dims" in inspect.signature(network).parameters:
        arguments.setdefault("spatial_dims", 3)
    return network(**arguments)


def _check_window(img_size: Sequence[int], step: int) -> None:
    if any(edge % step for edge in img_size):
        raise ValueError(f"window of {list(img_size)} voxels: each edge must be a multiple of {step}")


def _fold(x: torch.Tensor, f: int) -> torch.Tensor:
    n, c, a, b, d = x.shape
    x = x.reshape(n, c, a // f, f, b // f, f, d // f, f).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(n, c * f**3, a // f, b // f, d // f)


def _unfold(x: torch.Tensor, f: int) -> torch.Tensor:
    n, c, a, b, d = x.shape
    x = x.reshape(n, c // f**3, f, f, f, a, b, d).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(n, c // f**3, a * f, b * f, d * f)
