"""Classify sounds by Cnn14 of PANNs at "decision level": probabilities of 527 AudioSet classes in every 0.32 s.

Six blocks of two 3x3 convolutions over 64 log-mel bands at 32 kHz, each but the last halving time and frequency, then
the mean over frequency, and a classification of every segment of 32 frames. Names and order of the weights are those of
the published checkpoints, whose STFT and mel matrices are computed here instead. 80.8 M parameters, 2.1 GMAC per second
of audio.

Kong et al., 2020, "PANNs: large-scale pretrained audio neural networks for audio pattern recognition".
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks import mel

RATE, N_FFT, HOP, BAND = 32000, 1024, 320, (50.0, 14000.0)  # the last in Hz
SEGMENT = 32  # frames per segment: five halvings make one of them
SEGMENT_SECONDS = SEGMENT * HOP / RATE
REACH_SECONDS = 2.0  # on either side of a segment, all that its result depends on
VOICES = (0, 1, 2, 3, 4, 5, 27, 32, 33, 34, 35)
"""Classes in which somebody speaks or sings: speech (of men, women, children, conversation, narration) and singing."""


class ConvBlock(nn.Module):
    """Map (B, inputs, T, F) to (B, outputs, T / pool, F / pool)."""

    def __init__(self, inputs: int, outputs: int, pool: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.pool = pool

    def forward(self, h: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(h)))
        return F.avg_pool2d(F.relu(self.bn2(self.conv2(h))), self.pool)


class Cnn14DecisionLevel(nn.Module):
    """Map audio (B, N) at 32 kHz to probabilities in every segment of 0.32 s, (B, segments, classes).

    The probability in the whole clip is the largest of them. `width`: channels of the first block, 64 in the published
    models.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, classes: int = 527, width: int = 64, mel_bands: int = 64):
        super().__init__()
        self.register_buffer(
            "filters", mel.triangles(N_FFT, RATE, mel_bands, *BAND, scale="slaney", area=True), persistent=False
        )
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.bn0 = nn.BatchNorm2d(mel_bands)
        channels = [1, *(width << level for level in range(6))]
        for number, (inputs, outputs) in enumerate(zip(channels, channels[1:]), 1):
            self.add_module(f"conv_block{number}", ConvBlock(inputs, outputs, 1 if number == 6 else 2))
        self.fc1 = nn.Linear(channels[-1], channels[-1])
        self.fc_audioset = nn.Linear(channels[-1], classes)

    def log_mel(self, audio: Tensor) -> Tensor:
        """Return the log-mel spectrogram (B, T, bands) of `audio` (B, N) in dB, one frame every 10 ms.

        Audio shorter than a segment is padded with zeros.
        """
        audio = F.pad(audio, (0, max(0, SEGMENT * HOP - audio.shape[-1])))
        power = mel.power_spectrum(audio, N_FFT, HOP, self.window, "reflect")
        return 10 * (power @ self.filters).clamp_min(1e-10).log10()

    def features(self, audio: Tensor) -> Tensor:
        """Return features (B, channels, segments) of `audio` (B, N)."""
        h = self.log_mel(audio)[:, None]
        h = self.bn0(h.transpose(1, 3)).transpose(1, 3)  # every band has its own statistics
        for number in range(1, 7):
            h = self.get_submodule(f"conv_block{number}")(h)
        return h.mean(dim=3)

    def forward(self, audio: Tensor) -> Tensor:
        h = self.features(audio)
        h = F.max_pool1d(h, 3, stride=1, padding=1) + F.avg_pool1d(h, 3, stride=1, padding=1)
        return self.fc_audioset(F.relu(self.fc1(h.transpose(1, 2)))).sigmoid()
