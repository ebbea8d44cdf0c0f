"""Embed speakers by GE2E: the last state of a three-layer LSTM over mel spectrograms, 256 non-negative numbers of length 1.

The published weights (package resemblyzer, Apache-2.0) were trained on stretches of 1.6 s at 16 kHz. The 40 mel bands
are powers, not logarithms, so recordings quieter than -30 dBFS are raised to that level first. 1.42 M parameters, 0.14
GMAC per second of audio. (Wan et al., 2018, "Generalized end-to-end loss for speaker verification".)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks import mel
from enhance_cli.networks.layers import LSTM

RATE, N_FFT, HOP, BANDS = 16000, 400, 160, 40


class GE2E(nn.Module):
    """Map waves (B, N) at 16 kHz to embeddings (B, dimension) of unit length."""

    window: Tensor
    filters: Tensor

    def __init__(self, dimension: int = 256, hidden: int = 256, layers: int = 3):
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        filters = mel.triangles(N_FFT, RATE, BANDS, 0, RATE / 2, scale="slaney", area=True)
        self.register_buffer("filters", filters, persistent=False)
        self.lstm = LSTM(BANDS, hidden, layers, batch_first=True)
        self.linear = nn.Linear(hidden, dimension)

    def features(self, waves: Tensor) -> Tensor:
        """Return mel powers (B, N // 160, 40) of `waves` (B, N), one frame every 10 ms, with zeros beyond the ends."""
        power = mel.power_spectrum(waves, N_FFT, HOP, self.window, "constant")
        return power[:, :-1] @ self.filters

    def from_features(self, features: Tensor) -> Tensor:
        """Return embeddings (B, dimension) of features (B, T, 40)."""
        _, (hidden, _) = self.lstm(features)
        return F.normalize(F.relu(self.linear(hidden[-1])), dim=1)

    def forward(self, waves: Tensor) -> Tensor:
        return self.from_features(self.features(waves))
