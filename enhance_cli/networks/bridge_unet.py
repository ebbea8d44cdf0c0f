"""Define the convolutional bridge network for speech: noisy spectrogram, current state and time in, clean estimate out.

A frequency-only U-Net over compressed complex spectrograms. The stem folds four bins into channels, every further level
halves the bands, and the flattened coarsest level runs through a dilated temporal stack that sees all bands at once.
All layers are dense convolutions with a finite receptive field in time, and batch normalization is fixed at inference,
so a file done in windows with `receptive_field` frames of margin equals the file done whole. The head gives a complex
mask and a residual, x0 = mask * y + residual, initialized to the identity (a new network returns its input).

    denoise-s  1.84 M parameters  1.05 GMAC per second of 16 kHz audio and step (512/256 STFT)

Objective and time embedding follow data-prediction Schroedinger bridges (Jukic et al., 2024) and the few-step bridge
models of "Rethinking flow and diffusion bridge models for speech enhancement" (AAAI 2026).
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.conditioning import ControlBranch
from enhance_cli.networks.guide_attention import GUIDE_POSITIONS, GuideAttention
from enhance_cli.networks.layers import ResidualBlock, TemporalBlock, channels_last, fold_normalizations, zeroed

BRANCH = "branch"


class TimeEmbedding(nn.Module):
    """Embed the process time t (B,) in [0, 1] as (B, width), from sines of ln t."""

    frequencies: Tensor

    def __init__(self, width: int, frequencies: int = 16):
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(-1, 1, frequencies), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(2 * frequencies, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, t: Tensor) -> Tensor:
        phase = t.clamp_min(1e-3).log()[:, None] * self.frequencies * math.pi
        return self.mlp(torch.cat([phase.sin(), phase.cos()], dim=1))


def resample_conv(inputs: int, outputs: int, up: bool) -> nn.Module:
    """Return a layer that halves or doubles the bands.

    It is a strided convolution, or a 1x3 convolution into two sub-bands that are interleaved.
    """
    if not up:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, (1, 4), stride=(1, 2), padding=(0, 1), bias=False), nn.BatchNorm2d(outputs)
        )
    return nn.Sequential(
        nn.Conv2d(inputs, 2 * outputs, (1, 3), padding=(0, 1), bias=False), InterleaveBands(2), nn.BatchNorm2d(outputs)
    )


class InterleaveBands(nn.Module):
    """Upsample along frequency by sub-bands: (B, K*C, T, F) -> (B, C, T, K*F)."""

    def __init__(self, factor: int):
        super().__init__()
        self.factor = factor

    def forward(self, h: Tensor) -> Tensor:
        batch, channels, frames, bands = h.shape
        h = h.permute(0, 2, 3, 1).reshape(batch, frames, bands * self.factor, channels // self.factor)
        return h.permute(0, 3, 1, 2)


def masked(spectrum: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    """Return the spectrum (B, 2, T, F) times the complex mask (B, 1, T, F - 1).

    The Nyquist bin takes the real part of the mask of its neighbor.
    """
    real, imaginary = F.pad(real, (0, 1, 0, 0), mode="replicate"), F.pad(imaginary, (0, 1))
    re, im = spectrum[:, :1], spectrum[:, 1:]
    return torch.cat([real * re - imaginary * im, real * im + imaginary * re], dim=1)


class Stage(nn.Module):
    """Hold a level of the encoder: half as many bands if there is a layer `down`, then residual blocks."""

    def __init__(self, down: nn.Module | None, blocks: nn.ModuleList):
        super().__init__()
        self.down, self.blocks = down, blocks

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        if self.down is not None:
            h = F.relu(self.down(h), inplace=True)
        for block in self.blocks:
            h = block(h, embedding)
        return h


def hint(guide: Tensor | None, like: Tensor) -> Tensor:
    """Return a guide (B, 1, T), NaN where it is unknown, as two channels (B, 2, T, 1): its value, and whether it is known.

    `like` (B, C, T, F) has the shape that an unknown guide takes.
    """
    if guide is None:
        return like.new_zeros(like.shape[0], 2, like.shape[2], 1)
    return torch.cat([guide.nan_to_num(), (~guide.isnan()).to(guide.dtype)], dim=1)[..., None].to(like.dtype)


class BridgeUNet(nn.Module):
    """Map x, y (B, 2, T, 257), real and imaginary compressed spectra, and t (B,) to the clean estimate.

    `channels` per level, `blocks` residual blocks per level and side, `dilations` in time of those blocks in turn,
    `temporal` width and `temporal_dilations` of the full-band stack. The Nyquist bin takes the mask of its neighbor.
    `guide` adds attention to a guide (B, 1, T) at the "bottleneck", or at "every" level (guide_attention), or a "branch"
    that reads it beside the encoder (conditioning.ControlBranch). `state_mask` adds a mask of x to the estimate, for
    processes whose sampling starts in noise: the network can take it out again.
    """

    BINS = 257
    STRIDE = 4
    GUIDE_REACH = 32  # frames, 0.5 s

    def __init__(
        self,
        channels: tuple[int, ...] = (32, 48, 64, 96),
        blocks: int = 2,
        dilations: tuple[int, ...] = (1, 2),
        temporal: int = 192,
        temporal_dilations: tuple[int, ...] = (1, 2, 4, 8, 16),
        embedding: int = 64,
        guide: str | None = None,
        state_mask: bool = False,
    ):
        super().__init__()
        if guide not in (None, *GUIDE_POSITIONS, BRANCH):
            raise ValueError(f"guide {guide!r} is none of {', '.join((*GUIDE_POSITIONS, BRANCH))}")
        bands = (self.BINS - 1) // self.STRIDE
        self.embed = TimeEmbedding(embedding)
        self.stem = nn.Sequential(
            nn.Conv2d(4, channels[0], (3, 8), stride=(1, self.STRIDE), padding=(1, 2), bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
        )
        level_blocks = lambda c: nn.ModuleList(  # noqa: E731
            ResidualBlock(c, dilations[i % len(dilations)], embedding) for i in range(blocks)
        )
        pairs = list(zip(channels, channels[1:]))
        self.encoder: Any = nn.ModuleList(level_blocks(c) for c in channels)
        self.down = nn.ModuleList(resample_conv(a, b, up=False) for a, b in pairs)
        self.up = nn.ModuleList(resample_conv(b, a, up=True) for a, b in pairs)
        self.decoder: Any = nn.ModuleList(level_blocks(c) for c in channels[:-1])
        flat = channels[-1] * (bands >> len(pairs))
        self.narrow = nn.Conv2d(flat, temporal, 1)
        self.temporal: Any = nn.ModuleList(TemporalBlock(temporal, d, embedding) for d in temporal_dilations)
        self.widen = nn.Conv2d(temporal, flat, 1)
        zeroed(self.widen)
        head = lambda parts: nn.Sequential(  # real and imaginary parts of masks and residual
            zeroed(nn.Conv2d(2 * channels[0], parts * self.STRIDE, 3, padding=1)), InterleaveBands(self.STRIDE)
        )
        self.head = head(4)
        self.state_head = head(2) if state_mask else None
        levels = [f"encoder{n}" for n in range(len(channels))] + [f"decoder{n}" for n in range(len(channels) - 1)]
        widths = dict(zip(levels, [*channels, *channels[:-1]])) if guide == "every" else {}
        widths |= {"bottleneck": temporal} if guide in GUIDE_POSITIONS else {}
        self.guides: Any = nn.ModuleDict(
            {position: GuideAttention(c, self.GUIDE_REACH) for position, c in widths.items()}
        )
        if guide == BRANCH:
            self.guides[BRANCH] = ControlBranch(self.stages(), channels, nn.Conv2d(2, channels[0], 1))
        channels_last(self)

    def stages(self) -> list["Stage"]:
        """Return the levels of the encoder."""
        return [Stage(down, blocks) for down, blocks in zip([None, *self.down], self.encoder)]

    def begin_guides(self) -> None:
        """Let a new branch begin as the encoder, which has got the weights of a trained network."""
        if BRANCH in self.guides:
            self.guides[BRANCH].follow(self.stages())

    def fold(self) -> "BridgeUNet":
        """Fold normalizations for inference (see layers.fold_normalizations)."""
        return fold_normalizations(self)

    @property
    def receptive_field(self) -> int:
        """Return the number of frames on either side that an output frame can depend on."""
        stacks = [*self.encoder, *self.decoder, self.temporal]
        guides = sum(attention.reach for attention in self.guides.values())
        return 2 + sum(block.receptive_field for stack in stacks for block in stack) + guides

    def forward(self, x: Tensor, y: Tensor, t: Tensor, guide: Tensor | None = None) -> Tensor:
        embedding = self.embed(t)
        h = torch.cat([x, y], dim=1)[..., :-1].contiguous(memory_format=torch.channels_last)
        h = stem = self.stem(h)
        skips = []
        for level, blocks in enumerate(self.encoder):
            if level:
                h = F.relu(self.down[level - 1](h), inplace=True)
            for block in blocks:
                h = block(h, embedding)
            h = self.guided(f"encoder{level}", h, guide)
            skips.append(h)
        if BRANCH in self.guides:
            added = self.guides[BRANCH](stem, hint(guide, stem), embedding)
            skips = [skip + more for skip, more in zip(skips, added)]
            h = skips[-1]
        h = F.relu(h + self.full_band(h, embedding, guide))
        for level in reversed(range(len(self.decoder))):
            h = F.relu(self.up[level](h) + skips[level], inplace=True)
            for block in self.decoder[level]:
                h = block(h, embedding)
            h = self.guided(f"decoder{level}", h, guide)
        h = torch.cat([h, stem], dim=1)
        out = self.head(h).float()
        estimate = masked(y, 1 + out[:, :1], out[:, 1:2]) + F.pad(out[:, 2:4], (0, 1))
        if self.state_head is None:
            return estimate
        state = self.state_head(h).float()
        return estimate + masked(x, state[:, :1], state[:, 1:])

    def guided(self, position: str, h: Tensor, guide: Tensor | None) -> Tensor:
        return self.guides[position](h, guide) if position in self.guides else h

    def full_band(self, h: Tensor, embedding: Tensor, guide: Tensor | None) -> Tensor:
        """Pass (B, C, T, F) through the temporal stack on the F*C features of each frame."""
        z = self.guided("bottleneck", self.flattened(h), guide)
        for block in self.temporal:
            z = block(z, embedding)
        return self.unflattened(z, h)

    def flattened(self, h: Tensor) -> Tensor:
        """Return the features (B, W, T, 1) of each frame of all bands of h (B, C, T, F)."""
        batch, channels, frames, bands = h.shape
        return self.narrow(h.permute(0, 2, 3, 1).reshape(batch, 1, frames, bands * channels).permute(0, 3, 2, 1))

    def unflattened(self, z: Tensor, like: Tensor) -> Tensor:
        """Return the bands (B, C, T, F) of features (B, W, T, 1), with the channels and bands of `like`."""
        batch, _, frames, _ = z.shape
        z = self.widen(z).permute(0, 2, 3, 1).reshape(batch, frames, like.shape[3], like.shape[1])
        return z.permute(0, 3, 1, 2)
