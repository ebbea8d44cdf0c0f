"""Define UNet1d, a U-Net on waveforms conditioned on the stem by FiLM, with optional feature maps of a second UNet1d.

Patches of samples become channels, six strided levels of two ResNet blocks follow, the inner three with self-attention,
and the way back takes every block's output as a skip. As published (256 channels) 405 M parameters and 20.6 GFLOP per
second at 22,050 Hz, with 32 channels 6.8 M and 0.33. (Schneider et al., 2023, "Mousai". Conditioning and feature maps:
Karchkhadze et al., 2024, "Improving source extraction with diffusion and consistency models".) Names are those of the
published weights.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.conditioning import FiLM

SKIP_SCALE = 2**-0.5


class UNet1d(nn.Module):
    """Map waveforms (B, C, N) to waveforms (B, C, N), where N must be a multiple of `stride`.

    `channels` times `multipliers` are the widths, `factors` the strides between them. `patch_factor`: stride of the
    patches. `labels`: length of the one-hot vector. `time`: whether the network is given a noise level.
    """

    receptive_field = None  # attention and group normalization see the whole window

    def __init__(
        self,
        in_channels: int = 1,
        channels: int = 256,
        patch_factor: int = 16,
        multipliers: Sequence[int] = (1, 2, 4, 4, 4, 4, 4),
        factors: Sequence[int] = (4, 4, 4, 2, 2, 2),
        num_blocks: Sequence[int] = (2, 2, 2, 2, 2, 2),
        attentions: Sequence[bool] = (False, False, False, True, True, True),
        attention_heads: int = 8,
        attention_features: int = 128,
        attention_multiplier: int = 2,
        resnet_groups: int = 8,
        labels: int = 4,
        time: bool = False,
    ):
        super().__init__()
        self.stride = patch_factor * math.prod(factors)
        mapped = 4 * channels
        self.to_mapping = nn.Sequential(nn.Linear(mapped, mapped), nn.GELU(), nn.Linear(mapped, mapped), nn.GELU())
        self.to_time = nn.Sequential(_TimeEmbedding(channels // 2, mapped), nn.GELU()) if time else None
        self.to_features = nn.Sequential(nn.Linear(labels, mapped), nn.GELU())
        widths = [channels * m for m in multipliers]
        attend = {"heads": attention_heads, "head_features": attention_features}
        levels: list[dict[str, Any]] = [
            {
                "outer": outer,
                "inner": inner,
                "factor": factor,
                "blocks": blocks,
                "attention": attend | {"multiplier": attention_multiplier} if attention else None,
                "groups": resnet_groups,
                "mapped": mapped,
            }
            for outer, inner, factor, blocks, attention in zip(widths, widths[1:], factors, num_blocks, attentions)
        ]
        self.to_in = _Patcher(in_channels, channels, patch_factor, mapped)
        self.downsamples = nn.ModuleList(_Down(**level) for level in levels)
        self.bottleneck = _Bottleneck(widths[-1], resnet_groups, mapped, attend)
        self.upsamples = nn.ModuleList(_Up(**level) for level in reversed(levels))
        self.to_out = _Unpatcher(channels, in_channels, patch_factor, mapped)

    def forward(self, x: Tensor, t: Tensor | None, label: Tensor, features: Sequence[Tensor] | None = None) -> Tensor:
        """Return (B, C, N) for x (B, C, N), noise level t (B,) or None, and one-hot label (B, K).

        `features` are those of `extract` of a network of the same sizes. Each is added where it was taken.
        """
        return self._run(x, t, label, features)[0]

    def extract(self, mix: Tensor, label: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the stem (B, C, N) of mix (B, C, N) for one-hot label (B, K), and the list of feature maps.

        The list has the mix and all maps, from the outside in and out again.
        """
        return self._run(mix, None, label, None)

    def _run(
        self, x: Tensor, t: Tensor | None, label: Tensor, features: Sequence[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]]:
        if x.shape[-1] % self.stride:
            raise ValueError(f"{x.shape[-1]} samples are no multiple of {self.stride}")
        fed = iter(features if features is not None else ())
        add = (lambda v: v + next(fed)) if features is not None else (lambda v: v)
        condition = self.to_features(label)
        if self.to_time is not None:
            condition = condition + self.to_time(t)
        condition = self.to_mapping(condition)

        maps = [x]
        x = patched = self.to_in(add(x), condition)
        maps.append(x)
        skips = []
        for down in self.downsamples:
            x, passed = down(add(x), condition)
            skips.append(passed)
            maps.append(x)
        x = self.bottleneck(add(x), condition)
        maps.append(x)
        for up in self.upsamples:
            x = up(add(x), skips.pop(), condition)
            maps.append(x)
        x = x + patched
        maps[-1] = x  # the published refiner was trained with the outermost map as it is after this sum
        return self.to_out(add(x), condition), maps


class _TimeEmbedding(nn.Sequential):
    """Embed the level (B,) as (B, D): the level itself with sines and cosines of learned frequencies, mixed."""

    def __init__(self, frequencies: int, features: int):
        super().__init__(_Fourier(frequencies), nn.Linear(2 * frequencies + 1, features))


class _Fourier(nn.Module):
    def __init__(self, frequencies: int):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(frequencies))

    def forward(self, t: Tensor) -> Tensor:
        angle = 2 * math.pi * t[:, None] * self.weights
        return torch.cat([t[:, None], angle.sin(), angle.cos()], dim=1)


class _Patcher(nn.Module):
    """Map (B, C, N) to (B, D, N / p): p neighbors of each channel become channels."""

    def __init__(self, in_channels: int, out_channels: int, factor: int, mapped: int):
        super().__init__()
        self.factor = factor
        block = _ResnetBlock(in_channels, out_channels // factor, min(factor, in_channels), mapped)
        self.module_list = nn.ModuleList([_Named(block)])

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        named: Any = self.module_list[0]
        x = named.block(x, condition)
        return x.unflatten(2, (-1, self.factor)).transpose(2, 3).flatten(1, 2)


class _Unpatcher(nn.Module):
    """Map (B, D, N / p) to (B, C, N)."""

    def __init__(self, in_channels: int, out_channels: int, factor: int, mapped: int):
        super().__init__()
        self.factor = factor
        block = _ResnetBlock(in_channels // factor, out_channels, min(factor, out_channels), mapped)
        self.module_list = nn.ModuleList([_Named(block)])

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x = x.unflatten(1, (-1, self.factor)).transpose(2, 3).flatten(2, 3)
        named: Any = self.module_list[0]
        return named.block(x, condition)


class _Named(nn.Module):
    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block


class _ConvBlock(nn.Module):
    """Apply group normalization, `film` if given, SiLU, and a convolution of width three."""

    def __init__(self, in_channels: int, out_channels: int, groups: int):
        super().__init__()
        self.groupnorm = nn.GroupNorm(groups, in_channels)
        self.project = nn.Conv1d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, film: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        return self.project(F.silu(film(self.groupnorm(x))))


class _ResnetBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, groups: int, mapped: int):
        super().__init__()
        self.block1 = _ConvBlock(in_channels, out_channels, groups)
        self.to_scale_shift: Any = nn.Module()  # the published names have this level
        self.to_scale_shift.to_scale_shift = FiLM(mapped, out_channels, scales=True)
        self.block2 = _ConvBlock(out_channels, out_channels, groups)
        self.to_out = nn.Conv1d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        film = partial(self.to_scale_shift.to_scale_shift, vector=condition)
        return self.block2(self.block1(x), film) + self.to_out(x)


class _Gain(nn.Module):
    """Apply layer normalization with a gain and no bias, over the last dimension or over channels (dim 1)."""

    def __init__(self, features: int, over_channels: bool = False):
        super().__init__()
        self.dim = 1 if over_channels else -1
        self.g = nn.Parameter(torch.ones(1, features, 1) if over_channels else torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=self.dim, unbiased=False, keepdim=True)
        return (x - mean) * (variance + 1e-5).rsqrt() * self.g


class _Attention(nn.Module):
    """Attend over time of (B, D, T) without positions, shape kept."""

    def __init__(self, features: int, heads: int, head_features: int):
        super().__init__()
        inner = heads * head_features
        self.fn: Any = nn.Module()  # the published names have this level
        self.heads = heads
        self.fn.norm = _Gain(features)
        self.fn.to_q = nn.Linear(features, inner, bias=False)
        self.fn.to_kv = nn.Linear(features, 2 * inner, bias=False)
        self.fn.attention = nn.Module()
        self.fn.attention.to_out = nn.Sequential(nn.Linear(inner, features, bias=False), _Gain(features))

    def forward(self, x: Tensor) -> Tensor:
        x = self.fn.norm(x.transpose(1, 2))
        parts = self.fn.to_q(x), *self.fn.to_kv(x).chunk(2, dim=-1)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.fn.attention.to_out(out).transpose(1, 2)


class _Transformer(nn.Module):
    def __init__(self, channels: int, heads: int, head_features: int, multiplier: int):
        super().__init__()
        self.attention = _Attention(channels, heads, head_features)
        self.feed_forward = nn.Sequential(
            _Gain(channels, over_channels=True),
            nn.Conv1d(channels, channels * multiplier, 1, bias=False),
            nn.GELU(),
            _Gain(channels * multiplier, over_channels=True),
            nn.Conv1d(channels * multiplier, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention(x) + x
        return self.feed_forward(x) + x


class _Down(nn.Module):
    """Map (B, outer, T) to (B, inner, T / factor), and return every block's output."""

    def __init__(
        self, outer: int, inner: int, factor: int, blocks: int, attention: dict | None, groups: int, mapped: int
    ):
        super().__init__()
        self.downsample = nn.Conv1d(outer, inner, 2 * factor + 1, factor, factor)
        self.blocks = nn.ModuleList(_ResnetBlock(inner, inner, groups, mapped) for _ in range(blocks))
        self.transformer = _Transformer(inner, **attention) if attention else None

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = self.downsample(x)
        passed = []
        for block in self.blocks:
            x = block(x, condition)
            passed.append(x)
        if self.transformer is not None:
            x = self.transformer(x)
            passed.append(x)
        return x, passed


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, groups: int, mapped: int, attention: dict):
        super().__init__()
        self.pre_block = _ResnetBlock(channels, channels, groups, mapped)
        self.attention = _Attention(channels, **attention)
        self.post_block = _ResnetBlock(channels, channels, groups, mapped)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.post_block(self.attention(self.pre_block(x, condition)), condition)


class _Up(nn.Module):
    """Map (B, inner, T) to (B, outer, T * factor), removing the skips of the level from the list."""

    def __init__(
        self, outer: int, inner: int, factor: int, blocks: int, attention: dict | None, groups: int, mapped: int
    ):
        super().__init__()
        count = blocks + (attention is not None)
        self.blocks = nn.ModuleList(_ResnetBlock(2 * inner, inner, groups, mapped) for _ in range(count))
        self.transformer = _Transformer(inner, **attention) if attention else None
        odd = factor % 2
        self.upsample = nn.ConvTranspose1d(inner, outer, 2 * factor, factor, factor // 2 + odd, output_padding=odd)

    def forward(self, x: Tensor, skips: list[Tensor], condition: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(torch.cat([x, skips.pop() * SKIP_SCALE], dim=1), condition)
        if self.transformer is not None:
            x = self.transformer(x)
        return self.upsample(x)
