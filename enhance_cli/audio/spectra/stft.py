"""Compute compressed complex spectrograms, the space of the speech models: c = scale * |S|^exponent * e^(i arg S).

Waveforms are (B, N), spectrograms (B, 2, T, F) with real and imaginary parts, F = n_fft/2 + 1 and T = N/hop + 1 (frames
are centered). Both directions are exact inverses of each other. Some published models use plain Hann windows, the
compression c = scale * ln(1 + |S|) * e^(i arg S), or mirror images instead of zeros outside of the signal.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from enhance_cli.audio.spectra.frontend_settings import FrontendSettings

WINDOWS, TRANSFORMS, PAD_MODES = ("sqrthann", "hann"), ("exponent", "log"), ("constant", "reflect")


@lru_cache(maxsize=8)
def make_window(name: str, n_fft: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # the window is cached for later calls, which may need gradients
        hann = torch.hann_window(n_fft, device=device)
        return hann.sqrt() if name == "sqrthann" else hann


@dataclass(frozen=True)
class Frontend(FrontendSettings):
    """Compute compressed spectrograms and their waveforms, with gradients."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for value, known in ((self.window, WINDOWS), (self.transform, TRANSFORMS), (self.pad_mode, PAD_MODES)):
            if value not in known:
                raise ValueError(f"front end: {value!r} is none of {', '.join(known)}")

    def analyze(self, wave: Tensor) -> Tensor:
        """Return the compressed spectrogram (B, 2, T, F) of `wave` (B, N)."""
        window = make_window(self.window, self.n_fft, wave.device)
        # Shorter signals have no mirror image
        pad_mode = self.pad_mode if wave.shape[-1] > self.n_fft // 2 else "constant"
        spectrum = torch.stft(wave, self.n_fft, self.hop, window=window, pad_mode=pad_mode, return_complex=True)
        return self.compress(torch.view_as_real(spectrum).permute(0, 3, 2, 1))

    def synthesize(self, compressed: Tensor, samples: int) -> Tensor:
        """Return the waveform (B, samples) of a compressed spectrogram (B, 2, T, F)."""
        spectrum = torch.view_as_complex(self.expand(compressed.float()).permute(0, 3, 2, 1).contiguous())
        window = make_window(self.window, self.n_fft, compressed.device)
        return torch.istft(spectrum, self.n_fft, self.hop, window=window, length=samples)

    def compress(self, spectrum: Tensor) -> Tensor:
        if self.transform == "log":
            magnitude = power(spectrum).sqrt()
            return spectrum * (self.scale * magnitude.log1p() / magnitude)
        return spectrum * (self.scale * power(spectrum).pow((self.exponent - 1) / 2))

    def recompress(self, compressed: Tensor, exponent: float) -> tuple[Tensor, Tensor]:
        """Return magnitudes |S|^exponent (B, 1, T, F), unscaled, and the spectrum that has them."""
        log = self.transform == "log"
        c = self.expand(compressed) if log else compressed / self.scale
        squared = power(c, floor=1e-8)
        ratio = exponent / (1 if log else self.exponent)
        return squared.pow(ratio / 2), c * squared.pow((ratio - 1) / 2)

    def expand(self, compressed: Tensor) -> Tensor:
        c = compressed / self.scale
        if self.transform == "log":
            magnitude = power(c).sqrt()
            return c * (magnitude.expm1() / magnitude)
        return c * power(c).pow((1 / self.exponent - 1) / 2)


def power(spectrum: Tensor, floor: float = 1e-12) -> Tensor:
    """Return |S|^2 of (B, 2, T, F) as (B, 1, T, F), floored so that powers of it have finite gradients."""
    return spectrum.square().sum(dim=1, keepdim=True).clamp_min(floor)
