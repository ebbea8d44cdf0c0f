"""Embed speakers by ResNet34 as WeSpeaker publishes it: (B, N) at 16 kHz -> 256 numbers.

A residual network over 80 Kaldi filter bank features, then mean and standard deviation over time. 6.6 M parameters, 4.6
GMAC per second of audio. Names of the weights are as published. Samples count as 16-bit integers, on which the floor of
the logarithm depends. (Wang et al., 2023, "WeSpeaker: a research and production oriented speaker embedding learning
toolkit". Features: Povey et al., 2011, "The Kaldi speech recognition toolkit".)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks import mel

RATE, N_FFT, WINDOW, HOP, BANDS = 16000, 512, 400, 160, 80
LOWEST = 20.0  # Hz
FULL_SCALE = 32768.0


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(h)) + self.shortcut(x))


class WeSpeakerResNet34(nn.Module):
    """Map waves (B, N) at 16 kHz, N at least 400, to embeddings (B, dimension)."""

    window: Tensor
    filters: Tensor

    def __init__(self, dimension: int = 256, channels: int = 32, blocks: tuple[int, ...] = (3, 4, 6, 3)):
        super().__init__()
        self.register_buffer("window", torch.hamming_window(WINDOW, periodic=False), persistent=False)
        self.register_buffer("filters", mel.kaldi_triangles(N_FFT, RATE, BANDS, LOWEST), persistent=False)
        self.conv1, self.bn1 = nn.Conv2d(1, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        inputs = channels
        for level, count in enumerate(blocks):
            width = channels << level
            rows = [Block(width if row else inputs, width, 2 if level and not row else 1) for row in range(count)]
            self.add_module(f"layer{level + 1}", nn.Sequential(*rows))
            inputs = width
        self.seg_1 = nn.Linear(2 * inputs * BANDS // 8, dimension)

    def fbank(self, waves: Tensor) -> Tensor:
        """Return (B, (N - 400) // 160 + 1, 80) logarithms of powers in frames that lie wholly inside the wave."""
        frames = (FULL_SCALE * waves).unfold(1, WINDOW, HOP)
        frames = frames - frames.mean(dim=2, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        spectrum = torch.fft.rfft((frames - 0.97 * before) * self.window, N_FFT)
        power = torch.view_as_real(spectrum).square().sum(-1)
        return (power @ self.filters).clamp_min(torch.finfo(torch.float32).eps).log()

    def features(self, waves: Tensor) -> Tensor:
        """Return `fbank` without its mean over time, (B, T, 80)."""
        found = self.fbank(waves)
        return found - found.mean(dim=1, keepdim=True)

    def from_features(self, features: Tensor) -> Tensor:
        """Return embeddings (B, dimension) of features (B, T, 80)."""
        h = F.relu(self.bn1(self.conv1(features.transpose(1, 2)[:, None])))
        for level in range(1, 5):
            h = self.get_submodule(f"layer{level}")(h)
        spread = (h.var(dim=3) + 1e-7).sqrt()
        return self.seg_1(torch.cat([h.mean(dim=3).flatten(1), spread.flatten(1)], dim=1))

    def forward(self, waves: Tensor) -> Tensor:
        return self.from_features(self.features(waves))
