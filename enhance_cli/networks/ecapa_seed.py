"""Embed speakers by ECAPA-TDNN as SEED's authors define it: 80 MFCC of the pre-emphasized wave -> 256 numbers.

It differs from SpeechBrain's in features, order of layers, the sums between its blocks and the pooling (root mean
square instead of the mean). 14.9 M parameters, 1.5 GMAC per second of audio. Names of the weights are as published,
except for the feature matrices, which are computed here. (Nam et al., 2025, "SEED". Desplanques et al., 2020,
"ECAPA-TDNN".)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks import mel

RATE, N_FFT, WINDOW, HOP, BANDS = 16000, 512, 400, 160, 80
OFFSET = 1e-6


class Squeeze(nn.Module):
    def __init__(self, channels: int, inner: int = 128):
        super().__init__()
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool1d(1),
            nn.Conv1d(channels, inner, 1),
            nn.ReLU(),
            nn.BatchNorm1d(inner),
            nn.Conv1d(inner, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, h: Tensor) -> Tensor:
        return h * self.se(h)


class Block(nn.Module):
    """Map (B, C, T) to (B, C, T).

    Each of `scale` groups of channels but the last is convolved with the previous one added.
    """

    def __init__(self, channels: int, dilation: int, scale: int):
        super().__init__()
        width = channels // scale
        self.conv1, self.bn1 = nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels)
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, 3, dilation=dilation, padding=dilation) for _ in range(scale - 1)
        )
        self.bns = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(scale - 1))
        self.conv3, self.bn3 = nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels)
        self.se = Squeeze(channels)

    def forward(self, x: Tensor) -> Tensor:
        *parts, last = self.bn1(F.relu(self.conv1(x))).chunk(len(self.convs) + 1, dim=1)
        done: list[Tensor] = []
        for number, (part, conv, norm) in enumerate(zip(parts, self.convs, self.bns)):
            done.append(norm(F.relu(conv(part + done[-1] if number else part))))
        return x + self.se(self.bn3(F.relu(self.conv3(torch.cat([*done, last], dim=1)))))


class EcapaSeed(nn.Module):
    """Map waves (B, N) at 16 kHz, of any length, to embeddings (B, dimension)."""

    window: Tensor
    filters: Tensor
    dct: Tensor

    def __init__(self, dimension: int = 256, channels: int = 1024, pooled: int = 1536, scale: int = 8):
        super().__init__()
        self.register_buffer("window", torch.hamming_window(WINDOW), persistent=False)
        self.register_buffer("filters", mel.triangles(N_FFT, RATE, BANDS, 20, 7600), persistent=False)
        self.register_buffer("dct", mel.dct(BANDS), persistent=False)
        self.conv1, self.bn1 = nn.Conv1d(BANDS, channels, 5, padding=2), nn.BatchNorm1d(channels)
        self.layer1, self.layer2, self.layer3 = (Block(channels, dilation, scale) for dilation in (2, 3, 4))
        self.layer4 = nn.Conv1d(3 * channels, pooled, 1)
        self.attention = nn.Sequential(
            nn.Conv1d(3 * pooled, 128, 1),
            nn.ReLU(),
            nn.BatchNorm1d(128),
            nn.Conv1d(128, pooled, 1),
            nn.Softmax(dim=2),
        )
        self.bn5, self.fc6 = nn.BatchNorm1d(2 * pooled), nn.Linear(2 * pooled, dimension)

    def mfcc(self, waves: Tensor) -> Tensor:
        """Return the MFCC (B, 80, T) of `waves` (B, N), every 10 ms."""
        power = mel.power_spectrum(mel.pre_emphasis(waves), N_FFT, HOP, self.window, "reflect")
        return (((power @ self.filters + OFFSET).log() @ self.dct) + OFFSET).transpose(1, 2)

    def features(self, waves: Tensor) -> Tensor:
        """Return `mfcc` without its mean over time, (B, 80, T)."""
        found = self.mfcc(waves)
        return found - found.mean(dim=2, keepdim=True)

    def forward(self, waves: Tensor) -> Tensor:
        h = self.bn1(F.relu(self.conv1(self.features(waves))))
        h1 = self.layer1(h)
        h2 = self.layer2(h + h1)
        h3 = self.layer3(h + h1 + h2)
        h = F.relu(self.layer4(torch.cat([h1, h2, h3], dim=1)))
        spread = h.var(dim=2, keepdim=True).clamp_min(1e-4).sqrt()
        context = [s.expand_as(h) for s in (h.mean(dim=2, keepdim=True), spread)]
        weight = self.attention(torch.cat([h, *context], dim=1))
        mean, power = (weight * h).sum(dim=2), (weight * h.square()).sum(dim=2)
        pooled = [power.clamp_min(1e-4).sqrt(), (power - mean.square()).clamp_min(1e-4).sqrt()]
        return self.fc6(self.bn5(torch.cat(pooled, dim=1)))
