"""SI-SDR, the scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019).

The estimate is split into its projection on the reference and the rest; the ratio of their energies is the
score. The mean is not removed, as in the published tables for speech enhancement: an offset counts as
distortion.
"""

import numpy as np

from enhance_cli.errors import AudioError


def score(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """SI-SDR in dB of `estimate` (N,) against `reference` (N,) at any rate.

    It is inf if they differ by a factor only, and -inf if the estimate holds nothing of the reference.
    Raises AudioError if the reference is digital silence: nothing can be projected on it.
    """
    reference = reference.astype(np.float64)
    estimate = estimate.astype(np.float64)
    energy = reference @ reference
    if energy == 0:
        raise AudioError("SI-SDR is not defined", "the reference is digital silence")
    if not estimate.any():
        return -np.inf
    target = (estimate @ reference / energy) * reference
    distortion = estimate - target
    with np.errstate(divide="ignore"):
        return float(10 * (np.log10(target @ target) - np.log10(distortion @ distortion)))
