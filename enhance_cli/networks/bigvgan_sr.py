"""Define FlashSR's vocoder: BigVGAN (Lee et al., 2023) that sees the narrow wave besides the log mel spectrum.

157 M parameters, 3,109 GFLOP for 5.12 s. The wave is brought down to the rate of each stage and added there. Between the
convolutions are periodic functions at twice the rate, so that overtones above half the rate are filtered off again.
A sample depends on 14 frames of the spectrum and on 10 of the wave, on either side.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.layers import convolution_pairs, mean_of

TAPS = 12  # of the filter between a rate and its double
CUTOFF, HALF_WIDTH = 0.25, 0.3  # of that filter, at the double rate
SLOPE = 0.1


class BigVGANSR(nn.Module):
    """Map log mel spectra (B, mels, T) and narrow waves (B, 480 T) to waves (B, 480 T)."""

    reach = 14  # frames on either side that a sample depends on

    def __init__(
        self,
        mels: int = 256,
        channels: int = 1536,
        rates: Sequence[int] = (10, 6, 2, 2, 2),
        block_kernels: Sequence[int] = (3, 7, 11),
        dilations: Sequence[int] = (1, 3, 5),
    ):
        super().__init__()
        self.hop = math.prod(rates)
        self.conv_pre = nn.Conv1d(mels, channels, 7, padding=3)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate in rates:
            up = nn.ConvTranspose1d(channels, channels // 2, 2 * rate, rate, padding=rate // 2)
            self.ups.append(nn.Sequential(up))
            channels //= 2
            self.resblocks.extend(PeriodicBlock(channels, size, dilations) for size in block_kernels)
        self.audio_block = WavePyramid(channels, rates)
        self.activation_post = PeriodicActivation(channels)
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3)

    def forward(self, mel: Tensor, wave: Tensor) -> Tensor:
        """Return waves (B, 480 T)."""
        levels = self.audio_block(wave)
        x = self.conv_pre(mel)
        count = len(self.resblocks) // len(self.ups)
        for number, up in enumerate(self.ups):
            x = up(x) + levels.pop()
            x = mean_of(self.resblocks[number * count : (number + 1) * count], x)
        return self.conv_post(self.activation_post(x)).tanh()[:, 0]


class WavePyramid(nn.Module):
    """Map waves (B, N) to maps at the rates of all stages, the finest first."""

    def __init__(self, channels: int, rates: Sequence[int]):
        super().__init__()
        self.emb = nn.Conv1d(1, channels, 7, padding=3)
        self.downsamples = nn.ModuleList()
        for rate in reversed(rates[1:]):
            down = nn.Conv1d(channels, 2 * channels, 2 * rate, rate, padding=rate - 1)
            self.downsamples.append(nn.Sequential(down, nn.LeakyReLU(SLOPE)))
            channels *= 2

    def forward(self, wave: Tensor) -> list[Tensor]:
        levels = [self.emb(wave[:, None])]
        for down in self.downsamples:
            levels.append(down(levels[-1]))
        return levels


class PeriodicBlock(nn.Module):
    """Map (B, C, N) to the same shape by pairs of convolutions, the first of each dilated, with an activation before each."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]):
        super().__init__()
        self.convs1, self.convs2 = convolution_pairs(channels, kernel, dilations)
        self.activations = nn.ModuleList(PeriodicActivation(channels) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        pairs = zip(self.convs1, self.convs2, self.activations[::2], self.activations[1::2])
        for dilated, plain, before, between in pairs:
            x = x + plain(between(dilated(before(x))))
        return x


class PeriodicActivation(nn.Module):
    """Apply x + sin^2(a x) / b to (B, C, N) at twice its rate. The logarithms of a and b are weights of each channel."""

    filter: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.act = nn.ParameterDict({name: nn.Parameter(torch.zeros(channels)) for name in ("alpha", "beta")})
        self.register_buffer("filter", half_band_taps(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.bend(self.up(x)))

    def bend(self, x: Tensor) -> Tensor:
        """Return the periodic function of (B, C, N)."""
        alpha, beta = (self.act[name].exp()[:, None] for name in ("alpha", "beta"))
        return x + (alpha * x).sin().square() / (beta + 1e-9)

    def up(self, x: Tensor) -> Tensor:
        """Return (B, C, 2 N)."""
        edge, channels = TAPS // 2 - 1, x.shape[1]
        x = F.pad(x, (edge, edge), mode="replicate")
        wide = F.conv_transpose1d(x, 2 * self.filter.expand(channels, 1, -1), stride=2, groups=channels)
        cut = 2 * edge + TAPS // 2 - 1
        return wide[..., cut:-cut]

    def down(self, x: Tensor) -> Tensor:
        """Return (B, C, N) of (B, C, 2 N)."""
        x = F.pad(x, (TAPS // 2 - 1, TAPS // 2), mode="replicate")
        return F.conv1d(x, self.filter.expand(x.shape[1], 1, -1), stride=2, groups=x.shape[1])


def half_band_taps() -> Tensor:
    """Return the taps (1, 1, 12) of a low-pass between a rate and its double: a sinc in a Kaiser window, with a sum of 1."""
    attenuation = 2.285 * (TAPS // 2 - 1) * math.pi * 4 * HALF_WIDTH + 7.95
    beta = (
        0.1102 * (attenuation - 8.7)
        if attenuation > 50
        else 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    )
    with torch.device("cpu"):  # also where a network is only built for the shapes of its weights
        window = torch.kaiser_window(TAPS, periodic=False, beta=beta)
        taps = window * torch.sinc(2 * CUTOFF * (torch.arange(TAPS) - (TAPS - 1) / 2))
        return (taps / taps.sum())[None, None]
