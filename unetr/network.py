"""A UNETR that sees a window at half resolution with eight times the channels, and answers at full resolution."""

from collections.abc import Sequence

import torch
from monai.networks.nets import UNETR
from torch import nn


class FoldedUNETR(nn.Module):
    """MONAI's UNETR between a lossless fold of the input and its inverse on the output.

    Each block of ``fold`` x ``fold`` x ``fold`` voxels becomes one voxel with ``fold ** 3`` channels (space to
    depth). A convolution then reaches ``fold`` times as far and costs ``fold ** 3`` times less, which is what makes
    a UNETR of this size trainable and quick without a GPU; the logits keep the full resolution.

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
        if any(edge % (16 * fold) for edge in img_size):
            raise ValueError(f"window of {list(img_size)} voxels: each edge must be a multiple of {16 * fold}")
        self.fold = fold
        self.unetr = UNETR(
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


def _fold(x: torch.Tensor, f: int) -> torch.Tensor:
    n, c, a, b, d = x.shape
    x = x.reshape(n, c, a // f, f, b // f, f, d // f, f).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(n, c * f**3, a // f, b // f, d // f)


def _unfold(x: torch.Tensor, f: int) -> torch.Tensor:
    n, c, a, b, d = x.shape
    x = x.reshape(n, c // f**3, f, f, f, a, b, d).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(n, c // f**3, a * f, b * f, d * f)
