"""Embed speakers by ECAPA-TDNN as SpeechBrain publishes it: (B, N) at 16 kHz -> 192 numbers.

Mel features in dB, Res2Net blocks with squeeze-and-excitation, attentive statistics pooling. 20.8 M parameters, 2.0
GMAC per second of audio at the published widths, whose weights' names are used. (Desplanques et al., 2020, "ECAPA-TDNN:
emphasized channel attention, propagation and aggregation in TDNN based speaker verification".)
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks import mel

RATE, N_FFT, HOP, BANDS = 16000, 400, 160, 80
RANGE = 80.0  # dB below the loudest value of a recording, where features end


class Conv(nn.Module):
    """Convolve (B, inputs, T) to (B, outputs, T) with reflected edges."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1):
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        self.conv = nn.Conv1d(
            inputs, outputs, kernel, dilation=dilation, padding=padding, padding_mode="reflect" if padding else "zeros"
        )

    def forward(self, h: Tensor) -> Tensor:
        return self.conv(h)


class Norm(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, h: Tensor) -> Tensor:
        return self.norm(h)


class Tdnn(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1):
        super().__init__()
        self.conv, self.norm = Conv(inputs, outputs, kernel, dilation), Norm(outputs)

    def forward(self, h: Tensor) -> Tensor:
        return self.norm(F.relu(self.conv(h)))


class Res2Net(nn.Module):
    """Convolve all of `scale` groups of channels but the first, from the third on with the previous result added."""

    def __init__(self, channels: int, scale: int, kernel: int, dilation: int):
        super().__init__()
        width = channels // scale
        self.blocks = nn.ModuleList(Tdnn(width, width, kernel, dilation) for _ in range(scale - 1))

    def forward(self, h: Tensor) -> Tensor:
        first, *others = h.chunk(len(self.blocks) + 1, dim=1)
        done = [first]
        for number, (block, part) in enumerate(zip(self.blocks, others)):
            done.append(block(part + done[-1] if number else part))
        return torch.cat(done, dim=1)


class Squeeze(nn.Module):
    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.conv1, self.conv2 = Conv(channels, inner), Conv(inner, channels)

    def forward(self, h: Tensor) -> Tensor:
        return h * self.conv2(F.relu(self.conv1(h.mean(dim=2, keepdim=True)))).sigmoid()


class Block(nn.Module):
    def __init__(self, channels: int, kernel: int, dilation: int, scale: int = 8, inner: int = 128):
        super().__init__()
        self.tdnn1, self.tdnn2 = Tdnn(channels, channels), Tdnn(channels, channels)
        self.res2net_block = Res2Net(channels, scale, kernel, dilation)
        self.se_block = Squeeze(channels, inner)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(h))))


class Pooling(nn.Module):
    """Return mean and standard deviation over time of (B, C, T) as (B, 2 C, 1).

    They are weighted by an attention that sees the unweighted ones.
    """

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.tdnn, self.conv = Tdnn(3 * channels, inner), Conv(inner, channels)

    def forward(self, h: Tensor) -> Tensor:
        even = torch.full_like(h[:, :1], 1 / h.shape[2])
        context = [s.expand_as(h) for s in _statistics(h, even)]
        weight = self.conv(self.tdnn(torch.cat([h, *context], dim=1)).tanh()).softmax(dim=2)
        return torch.cat(_statistics(h, weight), dim=1)


class Ecapa(nn.Module):
    """Map waves (B, N) at 16 kHz, of any length, to embeddings (B, dimension)."""

    window: Tensor
    filters: Tensor

    def __init__(self, dimension: int = 192, channels: int = 1024, pooled: int = 3072, inner: int = 128):
        super().__init__()
        self.register_buffer("window", torch.hamming_window(N_FFT), persistent=False)
        self.register_buffer("filters", symmetric_triangles(), persistent=False)
        self.blocks = nn.ModuleList(
            [Tdnn(BANDS, channels, 5), *(Block(channels, 3, dilation, inner=inner) for dilation in (2, 3, 4))]
        )
        self.mfa = Tdnn(3 * channels, pooled)
        self.asp, self.asp_bn = Pooling(pooled, inner), Norm(2 * pooled)
        self.fc = Conv(2 * pooled, dimension)

    def log_mel(self, waves: Tensor) -> Tensor:
        """Return the mel spectrogram (B, T, 80) of `waves` (B, N) in dB, every 10 ms."""
        power = mel.power_spectrum(waves, N_FFT, HOP, self.window, "constant") @ self.filters
        decibels = 10 * power.clamp_min(1e-10).log10()
        return decibels.maximum(decibels.amax(dim=(1, 2), keepdim=True) - RANGE)

    def features(self, waves: Tensor) -> Tensor:
        """Return `log_mel` without its mean over time, (B, T, 80)."""
        found = self.log_mel(waves)
        return found - found.mean(dim=1, keepdim=True)

    def from_features(self, features: Tensor) -> Tensor:
        """Return embeddings (B, dimension) of features (B, T, 80)."""
        h, levels = features.transpose(1, 2), []
        for block in self.blocks:
            h = block(h)
            levels.append(h)
        return self.fc(self.asp_bn(self.asp(self.mfa(torch.cat(levels[1:], dim=1)))))[:, :, 0]

    def forward(self, waves: Tensor) -> Tensor:
        return self.from_features(self.features(waves))


def symmetric_triangles() -> Tensor:
    """Return SpeechBrain's filters (201, 80), whose right sides are as steep as their left ones."""
    exponents = torch.linspace(0, math.log10(1 + RATE / 2 / 700), BANDS + 2, dtype=torch.float64)
    centers = 700 * (10**exponents - 1)
    hz = torch.linspace(0, RATE / 2, N_FFT // 2 + 1, dtype=torch.float64)[:, None]
    return (1 - (hz - centers[1:-1]).abs() / (centers[1:] - centers[:-1])[:-1]).clamp_min(0).float()


def _statistics(h: Tensor, weight: Tensor) -> list[Tensor]:
    """Return mean and standard deviation over time, (B, C, 1) each."""
    mean = (weight * h).sum(dim=2, keepdim=True)
    variance = (weight * (h - mean).square()).sum(dim=2, keepdim=True)
    return [mean, variance.clamp_min(1e-12).sqrt()]
