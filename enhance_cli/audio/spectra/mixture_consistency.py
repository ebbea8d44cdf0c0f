"""Distribute the rest of a mix over its stems, in proportion to their STFT magnitudes, so that they sum to the mix.

(Wisdom et al., 2019, "Differentiable consistency constraints for improved deep speech enhancement".)
"""

import torch
from torch import Tensor

N_FFT, HOP = 2048, 512


def share_out(stems: Tensor, rest: Tensor) -> Tensor:
    """Return the share (K, ..., n) of each of the stems (K, ..., n) in `rest` (..., n).

    The shares sum to it exactly.
    """
    sizes = spectra(stems).abs() + 1e-6
    parts = sizes / sizes.sum(dim=0) * spectra(rest)
    window = torch.hann_window(N_FFT, device=rest.device)
    waves = torch.istft(parts.flatten(0, -3), N_FFT, HOP, window=window, length=rest.shape[-1])
    waves = waves.unflatten(0, stems.shape[:-1])
    return waves + (rest - waves.sum(dim=0)) / len(stems)


def spectra(x: Tensor) -> Tensor:
    """Return the complex spectra (..., F, T) of waves (..., n)."""
    window = torch.hann_window(N_FFT, device=x.device)
    flat = torch.stft(x.flatten(0, -2), N_FFT, HOP, window=window, pad_mode="constant", return_complex=True)
    return flat.unflatten(0, x.shape[:-1])
