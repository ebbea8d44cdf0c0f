"""Compute the ratio behind SI-SDR: the part of an estimate that lies along the reference, over the rest."""

import numpy as np


def distortion_ratio(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return 10 log10(|a s|^2 / |e - a s|^2) in dB for reference s (N,), not silent, and estimate e (N,).

    The factor a = <e, s> / <s, s> makes the gain of the estimate irrelevant (Le Roux et al., 2019). The ratio is inf if
    the two differ by a factor only, and -inf if the estimate is silent.
    """
    reference, estimate = reference.astype(np.float64), estimate.astype(np.float64)
    if not estimate.any():
        return -np.inf
    target = (estimate @ reference / (reference @ reference)) * reference
    distortion = estimate - target
    with np.errstate(divide="ignore"):
        return float(10 * (np.log10(target @ target) - np.log10(distortion @ distortion)))
