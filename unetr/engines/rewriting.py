"""A network rewritten in place to compute the same in fewer or larger steps, whatever engine then runs it."""

import torch
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.blocks.selfattention import SABlock
from torch import nn

VERSION = 3
"""Raised with each change here: what was compiled or timed before is so no longer."""


def rewritten(network: nn.Module) -> nn.Module:
    """Give the network itself, rewritten in all these ways."""
    return scale_the_one_channel(embed_patches_by_product(fuse_attention(network)))


def fuse_attention(network: nn.Module) -> nn.Module:
    """Have MONAI's attention computed in one step, without the matrix of all pairs; the weights stay as they are."""
    for layer in network.modules():
        if isinstance(layer, SABlock) and layer.rel_positional_embedding is None:
            layer.save_attn, layer.use_flash_attention = False, True
            layer.dropout_rate = 0.0  # the fused step drops in evaluation too
    return network


def embed_patches_by_product(network: nn.Module) -> nn.Module:
    """Replace each convolution that steps from patch to patch, as transformers begin, by :class:`PatchProduct`."""
    for layer in list(network.modules()):
        for name, child in layer.named_children():
            if type(child) is nn.Conv3d and _goes_from_patch_to_patch(child):
                setattr(layer, name, PatchProduct(child))
    return network


def scale_the_one_channel(network: nn.Module) -> nn.Module:
    """Replace the normalised shortcut of each block that begins with one channel by :class:`ScaledDeviation`."""
    for block in network.modules():
        if isinstance(block, UnetResBlock) and block.downsample and _of_one_channel(block.conv3.conv, block.norm3):
            block.norm3 = ScaledDeviation(block.conv3.conv, block.norm3.eps)
            block.conv3 = nn.Identity()
    return network


def _of_one_channel(convolution: nn.Conv3d, norm: nn.Module) -> bool:
    return (
        convolution.in_channels == 1
        and convolution.kernel_size == convolution.stride == (1, 1, 1)
        and isinstance(norm, nn.InstanceNorm3d)
        and not (norm.affine or norm.track_running_stats)
    )


def _goes_from_patch_to_patch(convolution: nn.Conv3d) -> bool:
    return (
        convolution.kernel_size == convolution.stride != (1, 1, 1)
        and convolution.padding in ("valid", (0, 0, 0))
        and convolution.dilation == (1, 1, 1)
        and convolution.groups == 1
    )


class PatchProduct(nn.Linear):
    """A convolution whose windows are as far apart as they are wide: each patch, as a row, times one matrix.

    Libraries run such a convolution as one of many small steps: that of the published UNETR, a hundredth of its
    arithmetic, took OpenVINO an eighth of the time.

    Parameters
    ----------
    convolution
        Kernel as its stride, no padding; its weights are shared, not copied.
    """

    def __init__(self, convolution: nn.Conv3d) -> None:
        matrix = convolution.weight.detach().flatten(1)
        super().__init__(matrix.shape[1], matrix.shape[0], bias=False, device="meta")
        self.patch = convolution.kernel_size
        self.weight = nn.Parameter(matrix, requires_grad=False)
        if convolution.bias is not None:
            self.bias = nn.Parameter(convolution.bias.detach(), requires_grad=False)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, a, b, c)`` to ``(batch, features, patches along a, b, c)``; what is left over is cut."""
        (p, q, r), (batch, channels, *size) = self.patch, volume.shape
        a, b, c = size[0] // p, size[1] // q, size[2] // r
        patches = volume[:, :, : a * p, : b * q, : c * r].reshape(batch, channels, a, p, b, q, c, r)
        rows = patches.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(batch, a * b * c, self.in_features)
        return super().forward(rows).transpose(1, 2).reshape(batch, self.out_features, a, b, c)


class ScaledDeviation(nn.Module):
    """What a convolution of kernel 1 makes of one channel, each of its channels normalised to mean 0 and variance 1.

    That is the deviation from the mean, times one number for each channel: nothing has to be computed, and normalised,
    channel by channel.

    Parameters
    ----------
    convolution
        From one channel; its bias goes with the mean.
    epsilon
        What the normalisation adds to the variance.
    """

    def __init__(self, convolution: nn.Conv3d, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight.detach().reshape(1, -1, 1, 1, 1), requires_grad=False)
        self.epsilon = epsilon

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """``(batch, 1, a, b, c)`` to ``(batch, channels, a, b, c)``."""
        deviation = volume - volume.mean((2, 3, 4), keepdim=True)
        # In half precision that mean is rounded, for all voxels alike: by as much as they vary, where they vary little.
        deviation = deviation - deviation.mean((2, 3, 4), keepdim=True)
        variance = (deviation * deviation).mean((2, 3, 4), keepdim=True)
        return deviation * (self.weight * torch.rsqrt(self.weight**2 * variance + self.epsilon))
