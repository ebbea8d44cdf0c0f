"""Compressed complex spectrograms, the space the speech models work in: c = scale * |S|^exponent * e^(i arg S).

Waveforms are (B, N), spectrograms (B, 2, T, F) with real and imaginary parts, F = n_fft/2 + 1 and T = N/hop + 1
(frames are centred, the signal is zero outside). Both directions are exact inverses of each other.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=8)
def sqrt_hann(n_fft: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # kept for later calls, which may need gradients
        return torch.hann_window(n_fft, device=device).sqrt()


@dataclass(frozen=True)
class Frontend:
    """STFT with square-root Hann windows and magnitude compression."""

    n_fft: int = 512
    hop: int = 256
    exponent: float = 0.5
    scale: float = 0.6

    def analyse(self, wave: Tensor) -> Tensor:
        """(B, N) -> compressed (B, 2, T, F)."""
        window = sqrt_hann(self.n_fft, wave.device)
        spectrum = torch.stft(wave, self.n_fft, self.hop, window=window, pad_mode="constant", return_complex=True)
        return self.compress(torch.view_as_real(spectrum).permute(0, 3, 2, 1))

    def synthesise(self, compressed: Tensor, samples: int) -> Tensor:
        """Compressed (B, 2, T, F) -> (B, samples)."""
        spectrum = torch.view_as_complex(self.expand(compressed.float()).permute(0, 3, 2, 1).contiguous())
        window = sqrt_hann(self.n_fft, compressed.device)
        return torch.istft(spectrum, self.n_fft, self.hop, window=window, length=samples)

    def compress(self, spectrum: Tensor) -> Tensor:
        return spectrum * (self.scale * power(spectrum).pow((self.exponent - 1) / 2))

    def recompress(self, compressed: Tensor, exponent: float) -> tuple[Tensor, Tensor]:
        """Another exponent, unscaled: magnitudes |S|^exponent (B, 1, T, F) and the spectrum that has them."""
        c = compressed / self.scale
        squared = power(c, floor=1e-8)
        ratio = exponent / self.exponent
        return squared.pow(ratio / 2), c * squared.pow((ratio - 1) / 2)

    def expand(self, compressed: Tensor) -> Tensor:
        c = compressed / self.scale
        return c * power(c).pow((1 / self.exponent - 1) / 2)


def power(spectrum: Tensor, floor: float = 1e-12) -> Tensor:
    """|S|^2 of (B, 2, T, F), floored so that powers of it have finite gradients: (B, 1, T, F)."""
    return spectrum.square().sum(dim=1, keepdim=True).clamp_min(floor)
