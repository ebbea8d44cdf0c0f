"""Compute mel features for speaker and sound networks: power spectra with torch, mel filters and DCT with torchaudio.

Waves are (B, N), spectra (B, T, F) and features (B, T, bands). torchaudio is imported when such a network is built.
"""

from types import ModuleType

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance_cli.errors import ModelError, one_line


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
    n_fft: int, rate: int, bands: int, low: float, high: float, *, scale: str = "htk", area: bool = False
) -> Tensor:
    """Return (n_fft / 2 + 1, bands) triangles in Hz between edges evenly spaced on a mel scale ("htk" or "slaney").

    Their peaks are 1, or with `area` their areas are 2 over the bandwidth, as librosa's are.
    """
    norm = "slaney" if area else None
    with torch.device("cpu"):  # also where a network is only built for the shapes of its weights
        return _torchaudio().functional.melscale_fbanks(n_fft // 2 + 1, low, high, bands, rate, norm, scale)


def kaldi_triangles(n_fft: int, rate: int, bands: int, low: float) -> Tensor:
    """Return Kaldi's filters (n_fft / 2 + 1, bands) from `low` Hz to half the rate, triangles on its mel scale."""
    _torchaudio()
    from torchaudio.compliance.kaldi import get_mel_banks

    with torch.device("cpu"):
        banks, _ = get_mel_banks(bands, n_fft, rate, low, 0.0, 0.0, 0.0, 1.0)
    return F.pad(banks, (0, 1)).T.contiguous()  # nothing at half the rate


def dct(bands: int) -> Tensor:
    """Return the orthonormal DCT-II (bands, bands), to be multiplied from the right."""
    with torch.device("cpu"):
        return _torchaudio().functional.create_dct(bands, bands, "ortho")


def _torchaudio() -> ModuleType:
    """Return torchaudio. Raises ModelError if it does not fit the torch that is installed."""
    try:
        import torchaudio
    except (ImportError, OSError, RuntimeError) as error:
        reason = one_line(error)
        raise ModelError(f"torchaudio cannot be loaded ({reason})", "install the release of your torch") from error
    return torchaudio
