"""Define the ways to tell a network of a condition, as parts that any network can hold.

    concatenate      maps are appended to the channels of the state, as AudioSR does with the latent of the low band
    FiLM             a vector shifts the channels of a map, and may scale them (Perez et al., 2018, "FiLM: visual reasoning
                     with a general conditioning layer")
    CrossAttention   the positions of a map attend to tokens (Rombach et al., 2022, "High-resolution image synthesis with
                     latent diffusion models")
    ControlBranch    a copy of a trained encoder reads the condition too, and its results are added through convolutions
                     that begin as zero (Zhang et al., 2023, "Adding conditional control to text-to-image diffusion models")

Attention to a guide, of which only the near part is seen, is in guide_attention.py.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.layers import zeroed


def concatenate(x: Tensor, *conditions: Tensor) -> Tensor:
    """Return maps (B, C, ...) with the channels of `conditions` after their own. A condition of one item is repeated."""
    return torch.cat([x, *(condition.expand(len(x), *condition.shape[1:]) for condition in conditions)], dim=1)


class FiLM(nn.Module):
    """Shift the channels of maps (B, channels, ...) by a vector (B, width). With `scales`, scale them before."""

    def __init__(self, width: int, channels: int, scales: bool = False):
        super().__init__()
        self.add_module("1", nn.Linear(width, 2 * channels if scales else channels))  # its published name
        self.scales = scales

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        projected = self.get_submodule("1")(F.silu(vector)).unflatten(1, (-1, *[1] * (x.dim() - 2)))
        if not self.scales:
            return x + projected
        scale, shift = projected.chunk(2, dim=1)
        return x * (scale + 1) + shift


class CrossAttention(nn.Module):
    """Attend from tokens (B, N, C) to a context (B, L, D), or to themselves without one.

    `context_dim`: D of the context, None for the tokens themselves.
    """

    def __init__(self, channels: int, head_channels: int, context_dim: int | None = None):
        super().__init__()
        self.heads = channels // head_channels
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k, self.to_v = (nn.Linear(context_dim or channels, channels, bias=False) for _ in range(2))
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return tokens (B, N, C). `mask` (B, L) is 1 for the tokens of `context` (B, L, D) that count."""
        context = x if context is None else context
        heads = lambda tokens: tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)
        q, k, v = heads(self.to_q(x)), heads(self.to_k(context)), heads(self.to_v(context))
        counts = None if mask is None else (mask > 0)[:, None, None, :]
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=counts)
        return self.to_out(found.transpose(1, 2).flatten(2))


class ControlBranch(nn.Module):
    """Read a hint beside a trained encoder. A new branch adds nothing to the network.

    `stages`: stages of the encoder, of which the branch holds copies, each `stage(h, *inputs)` -> h. `widths`: channels
    after each. `entry`: layer that brings a hint to the channels of the first h.
    """

    reach = 0  # frames that it sees beyond those that the encoder sees

    def __init__(self, stages: Sequence[nn.Module], widths: Sequence[int], entry: nn.Conv2d):
        super().__init__()
        self.stages = nn.ModuleList(deepcopy(stage) for stage in stages)
        self.entry = zeroed(entry)
        self.exits = nn.ModuleList(zeroed(nn.Conv2d(width, width, 1)) for width in widths)

    def forward(self, h: Tensor, hint: Tensor, *inputs: Tensor) -> list[Tensor]:
        """Return maps to add to the results of the encoder's stages, for its input h (B, C, T, F) and the hint."""
        h, added = h + self.entry(hint), []
        for stage, leave in zip(self.stages, self.exits, strict=True):
            h = stage(h, *inputs)
            added.append(leave(h))
        return added

    def follow(self, stages: Sequence[nn.Module]) -> None:
        """Take over the weights of the encoder, when it has just got those of a trained network."""
        for own, stage in zip(self.stages, stages, strict=True):
            own.load_state_dict(stage.state_dict())
