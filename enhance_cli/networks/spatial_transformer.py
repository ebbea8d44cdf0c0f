"""Define the transformer over the positions of a map that latent U-Nets have (Rombach et al., 2022), with or without a context.

A block is two attentions and a feed-forward layer, each added to its input. The first attention is over the map itself, the
second over the tokens of a context if there is one. Maps are (B, C, H, W), contexts (B, L, D), their masks (B, L).
"""

from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.conditioning import CrossAttention


class SpatialTransformer(nn.Module):
    """Map (B, C, H, W) to the same shape. `context_dim`: D of the context, None for a map by itself."""

    def __init__(self, channels: int, head_channels: int, depth: int = 1, context_dim: int | None = None):
        super().__init__()
        self.takes_context = context_dim is not None
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(channels, head_channels, context_dim) for _ in range(depth)
        )
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return (B, C, H, W). `mask` (B, L) is 1 for the tokens of `context` (B, L, D) that count."""
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, context, mask)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, x.shape[2:]))


class TransformerBlock(nn.Module):
    """Map tokens (B, N, C) to the same shape."""

    def __init__(self, channels: int, head_channels: int, context_dim: int | None = None):
        super().__init__()
        self.attn1 = CrossAttention(channels, head_channels)
        self.ff = FeedForward(channels)
        self.attn2 = CrossAttention(channels, head_channels, context_dim)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context, mask)
        return x + self.ff(self.norm3(x))


class FeedForward(nn.Module):
    """Map tokens (B, N, C) to the same shape by 4 C hidden units, each gated by another (GEGLU, Shazeer, 2020)."""

    def __init__(self, channels: int):
        super().__init__()
        self.net = nn.ModuleList(
            [GatedLinear(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)]
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[0](x))


class GatedLinear(nn.Module):
    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.proj = nn.Linear(channels, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)
