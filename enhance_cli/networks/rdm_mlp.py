"""Define SEED's network, a residual MLP from a noisy embedding to the clean one.

The blocks have twice the embedding's width D and are given the time. All last layers start at zero, so a new network
returns exactly zero. 1.4 M parameters at D = 192, 2.4 M at 256, 9.7 M at 512. Names of the weights are those of the
published checkpoints. (Nam et al., 2025, "SEED: speaker embedding enhancement diffusion model". The MLP is that of Li
et al., 2024, "Return of unconditional generation".)
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.layers import zeroed


class Block(nn.Module):
    """Map h (B, W) and the embedding of the time (B or 1, E) to (B, W)."""

    def __init__(self, width: int, time_width: int, dropout: float):
        super().__init__()
        self.in_layers = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_width, width))
        self.out_layers = nn.Sequential(
            nn.LayerNorm(width), nn.SiLU(), nn.Dropout(dropout), zeroed(nn.Linear(width, width))
        )

    def forward(self, h: Tensor, embedded: Tensor) -> Tensor:
        linear: Any
        norm, activation, linear = self.in_layers
        shift = self.emb_layers(embedded)
        if len(shift) > 1:
            return h + self.out_layers(linear(activation(norm(h))) + shift)
        bias = linear.bias + shift[0]  # one time for all rows
        return h + self.out_layers(F.linear(activation(norm(h)), linear.weight, bias))


class RdmMlp(nn.Module):
    """Map the state x (B, D) at time t (B,) or (1,), 0..999, to the clean embedding (B, D). `y` is not used.

    `width` is 2 D and `time_width` D in the published models.
    """

    frequencies: Tensor

    def __init__(
        self,
        dimension: int,
        width: int | None = None,
        time_width: int | None = None,
        blocks: int = 3,
        dropout: float = 0.0,
    ):
        super().__init__()
        width, time_width = width or 2 * dimension, time_width or dimension
        self.register_buffer("frequencies", frequencies(width), persistent=False)
        self.time_embed = nn.Sequential(nn.Linear(width, time_width), nn.SiLU(), nn.Linear(time_width, time_width))
        self.input_proj = nn.Linear(dimension, width)
        self.res_blocks = nn.ModuleList(Block(width, time_width, dropout) for _ in range(blocks))
        self.out = nn.Sequential(nn.LayerNorm(width, eps=1e-6), nn.SiLU(), zeroed(nn.Linear(width, dimension)))

    def forward(self, x: Tensor, y: Tensor | None, t: Tensor) -> Tensor:
        angle = t.to(self.frequencies.dtype)[:, None] * self.frequencies
        embedded = self.time_embed(torch.cat([angle.cos(), angle.sin()], dim=1))
        h = self.input_proj(x)
        for block in self.res_blocks:
            h = block(h, embedded)
        return self.out(h)


def frequencies(width: int, longest: float = 10000.0) -> Tensor:
    """Return (width / 2,) angular frequencies of the time, from 1 down to almost 1 / `longest`."""
    half = width // 2
    return torch.exp(-math.log(longest) * torch.arange(half, dtype=torch.float32) / half)
