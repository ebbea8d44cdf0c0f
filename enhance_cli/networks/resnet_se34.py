"""Embed speakers by ResNetSE34V2: a 34-layer residual network over log mel spectrograms -> 512 numbers.

It has squeeze-and-excitation and attentive pooling. 8.0 M parameters, 4.5 GMAC per second of audio. Names of the
weights are as published by SEED's authors and by the program that they took it from, except for the feature matrices,
which are computed here. (Heo et al., 2020, "Clova baseline system for the VoxCeleb speaker recognition challenge
2020".)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks import mel

RATE, N_FFT, WINDOW, HOP, BANDS = 16000, 512, 400, 160, 64
OFFSET = 1e-6


class Squeeze(nn.Module):
    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels),
            nn.Sigmoid(),
        )

    def forward(self, h: Tensor) -> Tensor:
        return h * self.fc(h.mean(dim=(2, 3)))[:, :, None, None]


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.se = Squeeze(outputs)
        self.downsample = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn1(F.relu(self.conv1(x)))
        return F.relu(self.se(self.bn2(self.conv2(h))) + self.downsample(x))


class ResNetSE34(nn.Module):
    """Map waves (B, N) at 16 kHz, of any length, to embeddings (B, dimension).

    `floor`: lower bound of the variance over time, 1e-5 in Clova's program.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        dimension: int = 512,
        channels: tuple[int, ...] = (32, 64, 128, 256),
        blocks: tuple[int, ...] = (3, 4, 6, 3),
        floor: float = 1e-4,
    ):
        super().__init__()
        self.floor = floor
        self.register_buffer("window", torch.hamming_window(WINDOW), persistent=False)
        self.register_buffer("filters", mel.triangles(N_FFT, RATE, BANDS, 0, RATE / 2), persistent=False)
        self.conv1, self.bn1 = nn.Conv2d(1, channels[0], 3, padding=1), nn.BatchNorm2d(channels[0])
        inputs = channels[0]
        for level, (width, count) in enumerate(zip(channels, blocks)):
            rows = [Block(width if row else inputs, width, 2 if level and not row else 1) for row in range(count)]
            self.add_module(f"layer{level + 1}", nn.Sequential(*rows))
            inputs = width
        wide = channels[-1] * BANDS // 8
        self.attention = nn.Sequential(
            nn.Conv1d(wide, 128, 1), nn.ReLU(), nn.BatchNorm1d(128), nn.Conv1d(128, wide, 1), nn.Softmax(dim=2)
        )
        self.fc = nn.Linear(2 * wide, dimension)

    def mel(self, waves: Tensor) -> Tensor:
        """Return mel powers (B, 64, T) of `waves` (B, N), every 10 ms."""
        power = mel.power_spectrum(mel.pre_emphasis(waves), N_FFT, HOP, self.window, "reflect")
        return (power @ self.filters + OFFSET).transpose(1, 2)

    def features(self, waves: Tensor) -> Tensor:
        """Return log mel features (B, 64, T) of `waves` (B, N), every band with mean 0 and variance 1."""
        return F.instance_norm(self.mel(waves).log())

    def forward(self, waves: Tensor) -> Tensor:
        h = self.bn1(F.relu(self.conv1(self.features(waves)[:, None])))
        for level in range(1, 5):
            h = self.get_submodule(f"layer{level}")(h)
        h = h.flatten(1, 2)
        weight = self.attention(h)
        mean = (weight * h).sum(dim=2)
        spread = ((weight * h.square()).sum(dim=2) - mean.square()).clamp_min(self.floor).sqrt()
        return self.fc(torch.cat([mean, spread], dim=1))
