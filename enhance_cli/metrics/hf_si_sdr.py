"""Compute the SI-SDR of the band above 8 kHz in dB: both signals pass through metrics.high_band first.

The SI-SDR of the whole signal says next to nothing about this band, which holds a hundredth of the energy of speech.
"""

import numpy as np

from enhance_cli.metrics.high_band import band_pass, require_high_band
from enhance_cli.metrics.projection import distortion_ratio


def score(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """Return the SI-SDR in dB of the bands of `estimate` (N,) and `reference` (N,) at 20 kHz or more.

    It is inf if they differ by a factor only, and -inf if the estimate is silent. Raises AudioError where the reference
    has nothing above 8 kHz.
    """
    require_high_band(reference, rate, "SI-SDR above 8 kHz")
    return distortion_ratio(band_pass(reference, rate), band_pass(estimate, rate))
