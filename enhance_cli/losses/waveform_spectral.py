"""Compare waveforms by their samples and by their spectra at two resolutions.

D = mean |e - s| + w sum over windows of mean |E - S|, with complex spectra of orthonormal transforms, so that an error
of a given energy weighs alike in both. Windows overlap by half, since the transforms would otherwise cost more than a
small network does. (The sum of L1 terms that band-split networks for music are trained with. Lu et al., 2023, "Music
source separation with band-split RoPE transformer".)
"""

import torch
from torch import Tensor

from enhance_cli.contracts import Frontend

WINDOWS = (2048, 512)
WEIGHT = 0.5


def distance(estimate: Tensor, target: Tensor, frontend: Frontend | None = None) -> Tensor:
    """Return the distance of waveforms (..., N) of at least 2048 samples, a scalar. `frontend` is ignored."""
    error = (estimate - target).float().flatten(0, -2)
    total = error.abs().mean()
    for n_fft in WINDOWS:
        window = torch.hann_window(n_fft, device=error.device)
        spectrum = torch.stft(error, n_fft, n_fft // 2, window=window, normalized=True, return_complex=True)
        parts = torch.view_as_real(spectrum)
        total = total + WEIGHT * (parts.square().sum(-1) + 1e-12).sqrt().mean() / len(WINDOWS)
    return total
