"""Define the U-Net that latent diffusion models of sound call at every step (Rombach et al., 2022, AudioSR: Liu et al., 2023).

258 M parameters and 67 GFLOP a call for 5.12 s in AudioSR and FlashSR. States are (B, C, T, F) with both sides multiples of
2^(levels - 1). A condition is known by up to three ways: its latent is appended to the channels of the state, a vector shifts
every block together with the time (FiLM), and tokens are attended to, by a transformer for each context.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from enhance_cli.networks.conditioning import FiLM
from enhance_cli.networks.layers import Upsample
from enhance_cli.networks.spatial_transformer import SpatialTransformer

Context = tuple[Tensor, Tensor | None]  # tokens (B, L, D) and their mask (B, L)


class LatentUNet(nn.Module):
    """Map x (B, in_channels, T, F) and time steps t (B,) to (B, out_channels, T, F).

    `attention_resolutions`: factors of down-sampling at which there is attention. `extra_attention`: one transformer more at
    each of these places, which sees no context. `film_dim`: length of a vector that shifts all blocks. `context_dims`: D of
    each context.
    """

    def __init__(
        self,
        in_channels: int = 32,
        out_channels: int = 16,
        model_channels: int = 128,
        channel_mult: Sequence[int] = (1, 2, 3, 5),
        num_res_blocks: int = 2,
        attention_resolutions: Sequence[int] = (8, 4, 2),
        head_channels: int = 32,
        extra_attention: bool = True,
        film_dim: int | None = None,
        context_dims: Sequence[int] = (),
    ):
        super().__init__()
        self.model_channels, time_channels = model_channels, 4 * model_channels
        self.factor = 2 ** (len(channel_mult) - 1)  # by which both sides shrink
        self.time_embed = nn.Sequential(
            nn.Linear(model_channels, time_channels), nn.SiLU(), nn.Linear(time_channels, time_channels)
        )
        self.film_emb = nn.Linear(film_dim, time_channels) if film_dim else None
        embedding = 2 * time_channels if film_dim else time_channels
        shared = (embedding, head_channels, extra_attention, context_dims)
        width, widths = model_channels, [model_channels]
        self.input_blocks = nn.ModuleList([Stage([nn.Conv2d(in_channels, width, 3, padding=1)])])
        for level, factor in enumerate(channel_mult):
            for _ in range(num_res_blocks):
                layers = place(width, factor * model_channels, 2**level in attention_resolutions, *shared)
                self.input_blocks.append(Stage(layers))
                width = factor * model_channels
                widths.append(width)
            if level < len(channel_mult) - 1:
                self.input_blocks.append(Stage([Downsample(width)]))
                widths.append(width)
        self.middle_block = Stage([*place(width, width, True, *shared), ResBlock(width, width, embedding)])
        self.output_blocks = nn.ModuleList()
        for level, factor in reversed(list(enumerate(channel_mult))):
            for number in range(num_res_blocks + 1):
                wanted = factor * model_channels
                layers = place(width + widths.pop(), wanted, 2**level in attention_resolutions, *shared)
                width = wanted
                if level and number == num_res_blocks:
                    layers.append(Upsample(width))
                self.output_blocks.append(Stage(layers))
        self.out = nn.Sequential(nn.GroupNorm(32, width), nn.SiLU(), nn.Conv2d(width, out_channels, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, film: Tensor | None = None, contexts: Sequence[Context] = ()) -> Tensor:
        """Return (B, out_channels, T, F).

        Args:
            x: state, with the latent of a condition as further channels (see networks.conditioning).
            t: time steps (B,), 0 to 999.
            film: vectors (B, film_dim).
            contexts: tokens (B, L, D) with their masks (B, L) or None, one for each of `context_dims`.
        """
        embedding = self.time_embed(time_embedding(t, self.model_channels).to(x.dtype))
        if self.film_emb is not None:
            embedding = torch.cat([embedding, self.film_emb(film)], dim=1)
        kept = []
        for stage in self.input_blocks:
            x = stage(x, embedding, contexts)
            kept.append(x)
        x = self.middle_block(x, embedding, contexts)
        for stage in self.output_blocks:
            x = stage(torch.cat([x, kept.pop()], dim=1), embedding, contexts)
        return self.out(x)


def time_embedding(t: Tensor, dimension: int) -> Tensor:
    """Return (B, dimension) of times (B,): the cosines, then the sines, of t times 10000^(-2 k / dimension)."""
    half = dimension // 2
    frequencies = torch.exp(-math.log(10000.0) / half * torch.arange(half, dtype=torch.float32, device=t.device))
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def place(
    channels: int,
    wanted: int,
    attends: bool,
    embedding: int,
    head_channels: int,
    extra_attention: bool,
    context_dims: Sequence[int],
) -> list[nn.Module]:
    """Return the layers of one place of the U-Net: a block, and the transformers where it `attends`."""
    layers: list[nn.Module] = [ResBlock(channels, wanted, embedding)]
    if attends and extra_attention:
        layers.append(SpatialTransformer(wanted, head_channels))
    if attends:
        layers += [SpatialTransformer(wanted, head_channels, context_dim=dim) for dim in context_dims or (None,)]
    return layers


class Stage(nn.ModuleList):
    """Run layers one after the other, and give each the inputs that it takes."""

    def forward(self, x: Tensor, embedding: Tensor, contexts: Sequence[Context]) -> Tensor:
        waiting = iter(contexts)
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, embedding)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, *(next(waiting) if layer.takes_context else ()))
            else:
                x = layer(x)
        return x


class ResBlock(nn.Module):
    """Map (B, channels, T, F) to (B, wanted, T, F) by two convolutions, shifted by an embedding (B, E) in between."""

    def __init__(self, channels: int, wanted: int, embedding: int):
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(channels, wanted, 3, padding=1))
        self.emb_layers = FiLM(embedding, wanted)
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, wanted), nn.SiLU(), nn.Identity(), nn.Conv2d(wanted, wanted, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if channels == wanted else nn.Conv2d(channels, wanted, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.skip_connection(x) + self.out_layers(self.emb_layers(self.in_layers(x), embedding))


class Downsample(nn.Module):
    """Halve both sides by a convolution, padded on all sides."""

    def __init__(self, channels: int):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)
