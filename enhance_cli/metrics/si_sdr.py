"""Compute SI-SDR, the scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019).

The estimate is split into its projection on the reference and the rest, and the score is the ratio of their energies.
The mean is not removed, as in the published tables for speech enhancement: an offset counts as distortion.
"""

import numpy as np

from enhance_cli.errors import AudioError
from enhance_cli.metrics.projection import distortion_ratio


def score(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """Return the SI-SDR in dB of `estimate` (N,) against `reference` (N,) at any rate.

    It is inf if they differ by a factor only, and -inf if the estimate contains nothing of the reference. Raises
    AudioError if the reference is digital silence, since nothing can be projected on it.
    """
    if not reference.any():
        raise AudioError("SI-SDR is not defined", "the reference is digital silence")
    return distortion_ratio(reference, estimate)
