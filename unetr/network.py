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
from monai.networks.blocks.dynunet_block import UnetOutBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
from torch import nn

_TOKEN = 16
"""Edge in voxels of what a token of the transformer stands for."""
_LAYERS = 12


class FoldedUNETR(nn.Module):
    """A UNETR behind a fold, made of MONAI's blocks, with a token for each 16 voxels as in MONAI's own.

    MONAI's UNETR, put behind a fold as it is, has a token for each ``16 * fold`` voxels, and since all that its deeper
    levels know comes from the tokens, it sees nothing of the size of a small lesion but at its finest level. So there
    is a level less here, and the transformer speaks to the decoder after a third, two thirds and all of its layers.

    Parameters
    ----------
    in_channels, out_channels, img_size, feature_size, hidden_size, mlp_dim, num_heads
        As MONAI's UNETR, in terms of the unfolded window; ``img_size`` must be a multiple of 16. A smaller window works
        too, to be trained with.
    fold
        Edge of a folded block, 2: three levels lie between a token of 16 voxels and a block.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        img_size: Sequence[int],
        *,
        feature_size: int = 24,
        hidden_size: int = 192,
        mlp_dim: int = 768,
        num_heads: int = 12,
        fold: int = 2,
    ) -> None:
        super().__init__()
        _check_window(img_size, _TOKEN)
        if fold != _TOKEN // 2**3:
            raise ValueError(f"fold of {fold}: only {_TOKEN // 2**3} is possible")
        self.fold = fold
        self._tokens = tuple(edge // _TOKEN for edge in img_size)
        channels, f, hidden = in_channels * fold**3, feature_size, hidden_size
        folded = tuple(edge // fold for edge in img_size)
        self.vit = nets.ViT(channels, folded, (_TOKEN // fold,) * 3, hidden, mlp_dim, _LAYERS, num_heads, "conv")
        norm: dict[str, Any] = {"norm_name": "instance", "res_block": True}
        rise: dict[str, Any] = {"kernel_size": 3, "upsample_kernel_size": 2, **norm}
        self.encoder1 = UnetrBasicBlock(3, channels, f, kernel_size=3, stride=1, **norm)
        self.encoder2 = UnetrPrUpBlock(3, hidden, 2 * f, num_layer=1, stride=1, conv_block=True, **rise)
        self.encoder3 = UnetrPrUpBlock(3, hidden, 4 * f, num_layer=0, stride=1, conv_block=True, **rise)
        self.decoder4 = UnetrUpBlock(3, hidden, 4 * f, **rise)
        self.decoder3 = UnetrUpBlock(3, 4 * f, 2 * f, **rise)
        self.decoder2 = UnetrUpBlock(3, 2 * f, f, **rise)
        self.out = UnetOutBlock(3, f, out_channels * fold**3)

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        """``(batch, in_channels, a, b, c)`` -> logits ``(batch, out_channels, a, b, c)``, at most a window."""
        # Channels last: quicker on a CPU with bfloat16.
        folded = _fold(window, self.fold).contiguous(memory_format=torch.channels_last_3d)
        embedded = self.vit.patch_embedding.patch_embeddings(folded)
        grid = embedded.shape[2:]
        tokens = (embedded + self._position(grid)).flatten(2).transpose(1, 2)
        heard = []
        for number, block in enumerate(self.vit.blocks, start=1):
            tokens = block(tokens)
            if number in (_LAYERS // 3, 2 * _LAYERS // 3):
                heard.append(tokens)
        third, two_thirds, last = (x.transpose(1, 2).unflatten(2, grid) for x in (*heard, self.vit.norm(tokens)))
        x = self.decoder4(last, self.encoder3(two_thirds))
        x = self.decoder3(x, self.encoder2(third))
        return _unfold(self.out(self.decoder2(x, self.encoder1(folded))), self.fold)

    def _position(self, grid: Sequence[int]) -> torch.Tensor:
        """Position embeddings of a window of ``grid`` tokens, shape ``(1, hidden, *grid)``: all of them, or a block.

        A smaller window lies anywhere in the whole one while training, in its middle else.
        """
        embeddings = self.vit.patch_embedding.position_embeddings.transpose(1, 2).unflatten(2, self._tokens)
        for axis, (some, all_) in enumerate(zip(grid, self._tokens, strict=True), start=2):
            start = int(torch.randint(all_ - some + 1, ())) if self.training else (all_ - some) // 2
            embeddings = embeddings.narrow(axis, start, some)
        return embeddings

    @property
    def output_bias(self) -> torch.Tensor:
        """Bias of the last layer, shape ``(out_channels * fold ** 3,)``, those of one output side by side."""
        return self.out.conv.conv.bias

    @property
    def transformer(self) -> nets.ViT:
        return self.vit


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
