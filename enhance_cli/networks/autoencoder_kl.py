"""Define the autoencoder between log mel spectra and the latents of a diffusion model (Rombach et al., 2022, AudioSR).

Maps (B, 1, T, M) become latents (B, z, T / 8, M / 8) with four levels, of which the encoder gives mean and spread. 224 M
parameters: the encoder takes 786 GFLOP for 5.12 s, the decoder 1,723. Normalization and one attention in the middle see the
whole map, so a result depends on all of it.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.layers import Upsample

SMALLEST, LARGEST = -30.0, 20.0  # logarithms of the variance


class AutoencoderKL(nn.Module):
    """Hold `encoder` and `decoder`, with a layer of 1x1 on either side of the latents."""

    def __init__(
        self,
        channels: int = 128,
        channel_mult: Sequence[int] = (1, 2, 4, 8),
        num_res_blocks: int = 2,
        z_channels: int = 16,
        embed_dim: int = 16,
    ):
        super().__init__()
        self.factor = 2 ** (len(channel_mult) - 1)  # by which both sides shrink
        self.embed_dim = embed_dim
        self.encoder = Encoder(channels, channel_mult, num_res_blocks, z_channels)
        self.decoder = Decoder(channels, channel_mult, num_res_blocks, z_channels)
        self.quant_conv = nn.Conv2d(2 * z_channels, 2 * embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, z_channels, 1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance of the latents of maps (B, 1, T, M)."""
        mean, variance = self.quant_conv(self.encoder(x)).chunk(2, dim=1)
        return mean, variance.clamp(SMALLEST, LARGEST)

    def draw(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return latents of maps (B, 1, T, M), drawn by standard normal `noise` of their shape."""
        mean, variance = self.encode(x)
        return mean + (0.5 * variance).exp() * noise

    def decode(self, z: Tensor) -> Tensor:
        """Return maps (B, 1, T, M) of latents."""
        return self.decoder(self.post_quant_conv(z))


class Encoder(nn.Module):
    """Map (B, 1, T, M) to the 2 z channels of mean and variance."""

    def __init__(self, channels: int, channel_mult: Sequence[int], num_res_blocks: int, z_channels: int):
        super().__init__()
        self.conv_in = nn.Conv2d(1, channels, 3, padding=1)
        self.down, width = nn.ModuleList(), channels
        for level, factor in enumerate(channel_mult):
            blocks = _blocks(width, factor * channels, num_res_blocks)
            width = factor * channels
            halved = level < len(channel_mult) - 1
            self.down.append(Level(blocks, downsample=Downsample(width) if halved else None))
        self.mid = Middle(width)
        self.norm_out = _norm(width)
        self.conv_out = nn.Conv2d(width, 2 * z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    """Map latents of z channels to (B, 1, T, M). `up` holds the levels from the finest to the coarsest."""

    def __init__(self, channels: int, channel_mult: Sequence[int], num_res_blocks: int, z_channels: int):
        super().__init__()
        width = channels * channel_mult[-1]
        self.conv_in = nn.Conv2d(z_channels, width, 3, padding=1)
        self.mid = Middle(width)
        levels: list[nn.Module] = []
        for level, factor in reversed(list(enumerate(channel_mult))):
            blocks = _blocks(width, factor * channels, num_res_blocks + 1)
            width = factor * channels
            levels.insert(0, Level(blocks, upsample=Upsample(width) if level else None))
        self.up = nn.ModuleList(levels)
        self.norm_out = _norm(width)
        self.conv_out = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Level(nn.Module):
    """Run blocks at one resolution, then the change to the next."""

    def __init__(
        self, blocks: nn.ModuleList, *, downsample: nn.Module | None = None, upsample: nn.Module | None = None
    ):
        super().__init__()
        self.block, self.downsample, self.upsample = blocks, downsample, upsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        change = self.downsample or self.upsample
        return x if change is None else change(x)


class Middle(nn.Module):
    """Run a block, attention over the whole map, and a block."""

    def __init__(self, channels: int):
        super().__init__()
        self.block_1 = ResBlock(channels, channels)
        self.attn_1 = Attention(channels)
        self.block_2 = ResBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class ResBlock(nn.Module):
    """Map (B, channels, T, M) to (B, wanted, T, M) by two convolutions."""

    def __init__(self, channels: int, wanted: int):
        super().__init__()
        self.norm1 = _norm(channels)
        self.conv1 = nn.Conv2d(channels, wanted, 3, padding=1)
        self.norm2 = _norm(wanted)
        self.conv2 = nn.Conv2d(wanted, wanted, 3, padding=1)
        self.nin_shortcut = None if channels == wanted else nn.Conv2d(channels, wanted, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return hidden + (x if self.nin_shortcut is None else self.nin_shortcut(x))


class Attention(nn.Module):
    """Add to each position of (B, C, T, M) a weighted mean of all others, by one head of attention."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = _norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(x)
        q, k, v = (layer(hidden).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        found = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(found.transpose(1, 2).unflatten(2, x.shape[2:]))


class Downsample(nn.Module):
    """Halve both sides by a convolution that is padded behind the last row and column only."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


def _blocks(channels: int, wanted: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(ResBlock(wanted if number else channels, wanted) for number in range(count))
