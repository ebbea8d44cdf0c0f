"""Compare spectrograms by compressed magnitude, compressed complex spectrum, and SI-SNR.

D = 70 mean(|S|^.3 - |X|^.3)^2 + 30 mean |S_c - X_c|^2 - log10 SI-SNR, with S_c = |S|^.3 e^(i arg S), as in the small
speech enhancers of GTCRN (Rong et al., 2024) and FastEnhancer. The SI-SNR term leaves out items with a silent target.
"""

import torch
from torch import Tensor

from enhance_cli.contracts import Frontend

MAGNITUDE, COMPLEX, EXPONENT = 70.0, 30.0, 0.3


def distance(estimate: Tensor, target: Tensor, frontend: Frontend) -> Tensor:
    """Return the distance of spectrograms (B, 2, T, F) in the compression of `frontend` (audio.spectra.stft), a scalar."""
    (magnitude, spectrum), (true_magnitude, true_spectrum) = (
        frontend.recompress(c.float(), EXPONENT) for c in (estimate, target)
    )
    samples = (estimate.shape[2] - 1) * frontend.hop
    waves = (frontend.synthesize(c, samples) for c in (estimate, target))
    return (
        MAGNITUDE * (magnitude - true_magnitude).square().mean()
        + COMPLEX * (spectrum - true_spectrum).square().sum(dim=1).mean()
        + negative_si_snr(*waves)
    )


def negative_si_snr(estimate: Tensor, target: Tensor) -> Tensor:
    """Return the mean of -log10 SI-SNR of waveforms (B, N) over the items whose target is not silent."""
    voiced = target.square().mean(dim=1) > 1e-8
    if not voiced.any():
        return estimate.new_zeros(())
    estimate, target = estimate[voiced], target[voiced]
    projection = (estimate * target).sum(1, keepdim=True) / target.square().sum(1, keepdim=True) * target
    error = (estimate - projection).square().sum(1)
    return -torch.log10(projection.square().sum(1).clamp_min(1e-8) / error.clamp_min(1e-8)).mean()
