"""Compute mel features for speaker networks: frames, power spectra, triangular filters, DCT.

Waves are (B, N), spectra (B, T, F) and features (B, T, bands). The two mel scales in use are HTK's, 2595 log10(1 + f /
700), and Slaney's, linear below 1 kHz and logarithmic above.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def power_spectrum(waves: Tensor, n_fft: int, hop: int, window: Tensor, pad_mode: str) -> Tensor:
    """Return |STFT|^2 of waves (B, N) in frames centered on multiples of `hop`: (B, N // hop + 1, n_fft / 2 + 1)."""
    spectrum = torch.stft(
        waves, n_fft, hop, len(window), window=window, center=True, pad_mode=pad_mode, return_complex=True
    )
    return torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2)


def pre_emphasis(waves: Tensor, coefficient: float = 0.97) -> Tensor:
    """Return x[n] - c x[n - 1] of waves (B, N), where the sample before the first is the second (reflection)."""
    before = F.pad(waves[:, None], (1, 0), mode="reflect")[:, 0, :-1]
    return waves - coefficient * before


def triangles(
    n_fft: int, rate: int, bands: int, low: float, high: float, scale: str = "htk", area: bool = False
) -> Tensor:
    """Return (n_fft / 2 + 1, bands) triangles in Hz between edges evenly spaced on a mel scale ("htk" or "slaney").

    Their peaks are 1, or with `area` their areas are 2 over the bandwidth, as librosa's are.
    """
    hz = _from_slaney if scale == "slaney" else lambda mel: 700 * (10 ** (mel / 2595) - 1)
    to_mel = _to_slaney if scale == "slaney" else lambda f: 2595 * math.log10(1 + f / 700)
    edges = hz(torch.linspace(to_mel(low), to_mel(high), bands + 2, dtype=torch.float64))
    below, center, above = edges[:-2], edges[1:-1], edges[2:]
    bins = torch.linspace(0, rate / 2, n_fft // 2 + 1, dtype=torch.float64)[:, None]
    shapes = torch.minimum((bins - below) / (center - below), (above - bins) / (above - center)).clamp_min(0)
    return (shapes * 2 / (above - below) if area else shapes).float()


def dct(bands: int) -> Tensor:
    """Return the orthonormal DCT-II (bands, bands), to be multiplied from the right."""
    n = torch.arange(bands, dtype=torch.float64)
    matrix = math.sqrt(2 / bands) * torch.cos(math.pi / bands * (n[:, None] + 0.5) * n)
    matrix[:, 0] /= math.sqrt(2)
    return matrix.float()


def _to_slaney(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def _from_slaney(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
