"""Define layers that several networks share. Those of bridge_unet and band_split_conv can be folded for inference.

Their batch normalization is fixed at inference. So a block depends on `receptive_field` frames on either side and no more, and
its normalizations can be folded into the convolutions before them.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)
LayerT = TypeVar("LayerT", bound=nn.Module)


class ResidualBlock(nn.Module):
    """Map (B, C, T, F) to the same shape by two 3x3 convolutions.

    The first is dilated in time and shifted by the time embedding.
    """

    def __init__(self, channels: int, dilation: int, embedding: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=(dilation, 1), dilation=(dilation, 1), bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.shift = nn.Linear(embedding, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.receptive_field = dilation + 1
        nn.init.zeros_(self.norm2.weight)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        r = self.norm1(self.conv1(h)).add_(self.shift(embedding)[:, :, None, None])
        return F.relu(self.norm2(self.conv2(F.relu(r, inplace=True))).add_(h), inplace=True)


class TemporalBlock(nn.Module):
    """Map (B, C, T, 1) to the same shape by one dilated convolution over time and a pointwise one."""

    def __init__(self, channels: int, dilation: int, embedding: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, (3, 1), padding=(dilation, 0), dilation=(dilation, 1), bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.shift = nn.Linear(embedding, channels)
        self.conv2 = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.receptive_field = dilation
        nn.init.zeros_(self.norm2.weight)

    forward = ResidualBlock.forward


class Upsample(nn.Module):
    """Double both sides by repetition and a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class SpectralMemory(nn.Module):
    """Map spectra to clean ones with a state, by `forward(spectra (B, T, F, 2), state)`."""

    @torch.inference_mode()
    def infer(self, spectra: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Return the clean spectra (B, T, F), complex64, and the new state, as `forward`."""
        clean, state = self(torch.view_as_real(torch.from_numpy(spectra)), state)
        return torch.view_as_complex(clean.contiguous()).numpy(), state


class LSTM(nn.LSTM):
    """Compute in fp32 on a CPU in spite of autocast: without AVX-512, oneDNN has no LSTM in bf16."""

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> Any:
        compute: Any = super().forward  # type: ignore[has-type]  # it has two signatures
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return compute(x, state)
        with torch.autocast("cpu", enabled=False):
            return compute(x.float(), state)


def fold_normalizations(network: Network) -> Network:
    """Fold the fixed normalizations of `network` into the convolutions before them, in place, and return it.

    For inference: the same numbers with less work.
    """
    for module in list(network.modules()):
        if isinstance(module, ResidualBlock | TemporalBlock):
            for conv, norm in (("conv1", "norm1"), ("conv2", "norm2")):
                setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
                setattr(module, norm, nn.Identity())
        elif isinstance(module, nn.Sequential) and isinstance(module[1], nn.BatchNorm2d):
            first: Any = module[0]
            module[0], module[1] = fuse_conv_bn_eval(first, module[1]), nn.Identity()
    return channels_last(network)


def channels_last(network: Network) -> Network:
    """Lay the maps and kernels of `network` out with the channels last, in place, and return it. CPUs are quicker so."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.to(tensor.dtype, memory_format=torch.channels_last)
    return network


def zeroed(layer: LayerT) -> LayerT:
    """Set all weights of a layer to zero, in place, and return it."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def convolution_pairs(channels: int, kernel: int, dilations: Sequence[int]) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Return convolutions of (B, C, N) to the same shape: one with each of the dilations, and as many without."""

    def same(dilation: int) -> nn.Conv1d:
        return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)

    return nn.ModuleList(map(same, dilations)), nn.ModuleList(same(1) for _ in dilations)


def mean_of(blocks: nn.ModuleList, x: Tensor) -> Tensor:
    """Return the mean of the maps that `blocks` make of x, each of which is added as soon as it is made."""
    total = torch.zeros_like(x)
    for block in blocks:
        total += block(x)
    return total / len(blocks)
