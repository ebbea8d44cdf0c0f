"""Attend from the features of a network to a guide, the probability of a voice in every frame.

Every column of the features attends to the guide around it, up to `reach` frames on either side. Its tokens are the
embedded probability with the position relative to the column appended. The result is added to the features. A new layer
adds nothing, so it can be put into a trained network. Unknown frames (NaN, no guide at all, or outside of the file)
have a token of their own.

After "Extract and Diffuse: latent integration for improved diffusion-based speech and vocal enhancement" (2024), where
one such attention at the bottleneck of a U-Net did best. Unlike there the view is finite, so that a file done in
windows equals the file done whole.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.layers import zeroed

GUIDE_POSITIONS = ("bottleneck", "every")
TOKEN, POSITION = 16, 16  # sizes of the two parts of a token


class GuideAttention(nn.Module):
    """Map features (B, C, T, F) and a guide (B, 1, T * stride) in 0..1 or NaN, or None, to features (B, C, T, F).

    `stride`: guide frames per column. `pool`: guide frames that share a token. `reach`: guide frames on either side.
    """

    positions: Tensor

    def __init__(self, channels: int, reach: int, stride: int = 1, pool: int = 1, width: int = 64, heads: int = 4):
        super().__init__()
        if reach % pool or stride % pool:
            raise ValueError(f"guide attention: {pool} frames per token divide neither {reach} nor {stride}")
        self.reach, self.stride, self.pool, self.heads = reach, stride, pool, heads
        self.embed = nn.Linear(1, TOKEN)
        self.unknown = nn.Parameter(torch.zeros(TOKEN))
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, width)
        self.key, self.value = (nn.Linear(TOKEN + POSITION, width) for _ in range(2))
        self.out = nn.Linear(width, channels)
        zeroed(self.out)
        self.register_buffer("positions", positions((stride + 2 * reach) // pool), persistent=False)

    def forward(self, h: Tensor, guide: Tensor | None) -> Tensor:
        batch, _, columns, bands = h.shape
        tokens = self.tokens(guide, batch, columns)
        heads = lambda z: z.unflatten(-1, (self.heads, -1)).transpose(-3, -2).flatten(0, 1)  # (B * T, heads, ., d)
        q, k, v = self.query(self.norm(h.permute(0, 2, 3, 1))), self.key(tokens), self.value(tokens)
        seen = F.scaled_dot_product_attention(heads(q), heads(k), heads(v))
        seen = seen.transpose(1, 2).reshape(batch, columns, bands, -1)
        return h + self.out(seen).permute(0, 3, 1, 2)

    def tokens(self, guide: Tensor | None, batch: int, columns: int) -> Tensor:
        """Return the tokens that each column attends to, (B, T, K, TOKEN + POSITION)."""
        outside = self.unknown.expand(batch, self.reach, -1)
        if guide is None:
            inside = self.unknown.expand(batch, columns * self.stride, -1)
        else:
            guide = guide.transpose(1, 2)
            inside = torch.where(guide.isnan(), self.unknown, self.embed(guide.nan_to_num()).float())
        tokens = torch.cat([outside, inside, outside], dim=1).unflatten(1, (-1, self.pool)).mean(dim=2)
        tokens = tokens.unfold(1, len(self.positions), self.stride // self.pool).transpose(2, 3)
        return torch.cat([tokens, self.positions.expand(*tokens.shape[:2], -1, -1)], dim=3)


def positions(count: int) -> Tensor:
    """Return (count, POSITION) sines and cosines of the distance from the middle.

    The slowest makes half a turn over the whole view.
    """
    distance = torch.arange(count) - (count - 1) / 2
    slowest, fastest = math.pi / count, math.pi / 2
    speeds = torch.logspace(math.log10(slowest), math.log10(max(fastest, slowest)), POSITION // 2)
    phase = distance[:, None] * speeds
    return torch.cat([phase.sin(), phase.cos()], dim=1)
