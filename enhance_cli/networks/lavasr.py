"""Define the network of LavaSR v2: a Vocos vocoder that makes 48 kHz of the mel spectrum below 8.7 kHz.

ConvNeXt blocks over frames of 512 samples, whose head gives amplitudes and phases. 14.0 M parameters. (Siuzdak, 2023, "Vocos:
Closing the gap between time-domain and Fourier-based neural vocoders".) The mel filters come with the weights: they were made
for 44.1 kHz, which at 48 kHz puts them a tenth higher.
"""

import torch
from torch import Tensor, nn

from enhance_cli.networks.convnext import KERNEL, ConvNeXtBlock

LOG_FLOOR = 1e-5  # of a mel band
LOUDEST = 1000.0  # magnitude


class LavaSR(nn.Module):
    """Map waves (B, N) at 48 kHz, whose upper band is empty, to waves (B, N) with that band filled."""

    mel: Tensor
    window: Tensor

    def __init__(
        self,
        mels: int = 80,
        channels: int = 512,
        hidden: int = 1536,
        layers: int = 8,
        n_fft: int = 2048,
        hop: int = 512,
    ):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("mel", torch.zeros(n_fft // 2 + 1, mels))
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.embed = nn.Conv1d(mels, channels, KERNEL, padding=KERNEL // 2)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.convnext = nn.ModuleList(ConvNeXtBlock(channels, hidden) for _ in range(layers))
        self.final_layer_norm = nn.LayerNorm(channels, eps=1e-6)
        self.out = nn.Linear(channels, n_fft + 2)

    @property
    def receptive_field(self) -> int:
        """Return the number of samples on either side that an output depends on."""
        return (1 + len(self.convnext)) * (KERNEL // 2) * self.hop + 2 * self.n_fft

    def narrow(self, wave: Tensor) -> Tensor:
        """Return the waves (B, N) as they are."""
        return wave

    def forward(self, wave: Tensor) -> Tensor:
        """Return waves (B, N)."""
        samples = wave.shape[-1]
        padded = nn.functional.pad(wave, (0, -samples % self.hop))
        return self.synthesize(self.estimate(self.analyze(padded)))[:, :samples]

    def analyze(self, wave: Tensor) -> Tensor:
        """Return the log mel spectrum (B, 80, T) of waves (B, 512 T)."""
        edge = (self.n_fft - self.hop) // 2
        padded = nn.functional.pad(wave, (edge, edge), mode="reflect" if wave.shape[-1] > edge else "constant")
        spectrum = torch.stft(padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)
        return (spectrum.abs().transpose(1, 2) @ self.mel).clamp_min(LOG_FLOOR).log().transpose(1, 2)

    def estimate(self, features: Tensor) -> Tensor:
        """Return log magnitudes and phases (B, T, 2 F) for features (B, 80, T)."""
        hidden = self.norm(self.embed(features).transpose(1, 2)).transpose(1, 2)
        for block in self.convnext:
            hidden = block(hidden)
        return self.out(self.final_layer_norm(hidden.transpose(1, 2)))

    def synthesize(self, estimate: Tensor) -> Tensor:
        """Return waves (B, 512 T) of log magnitudes and phases (B, T, 2 F)."""
        magnitude, phase = estimate.transpose(1, 2).chunk(2, dim=1)
        spectrum = torch.polar(magnitude.exp().clamp_max(LOUDEST), phase)
        frames = torch.fft.irfft(spectrum, self.n_fft, dim=1) * self.window[:, None]
        weights = self.window.square()[None, :, None].expand(1, -1, frames.shape[2])
        length, edge = (frames.shape[2] - 1) * self.hop + self.n_fft, (self.n_fft - self.hop) // 2
        add = lambda x: nn.functional.fold(x, (1, length), (1, self.n_fft), stride=(1, self.hop))[:, 0, 0]  # noqa: E731
        inner = slice(edge, length - edge)
        return add(frames)[:, inner] / add(weights)[:, inner]
