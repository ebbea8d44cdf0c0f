"""Compute the SDR of a stem by frames of one second, and their median, as tables of music separation report it.

SDR = 10 log10(|s|^2 / |s - e|^2), the definition of the Music Demixing Challenge (Mitsufuji et al., 2022). No gain and
no filter is forgiven. BSS Eval 4 (museval), whose frames and median are used here, forgives a filter and gives slightly
higher values.
"""

import numpy as np

FRAME = 1.0  # s
FLOOR = 1e-7  # energy of a frame below which a signal is silent


def score(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """Return the median in dB over the frames of reference and estimate (..., N) in which neither is silent, else nan."""
    size = round(FRAME * rate)
    values = []
    for start in range(0, max(1, reference.shape[-1] - size + 1), size):
        s, e = (audio[..., start : start + size].astype(np.float64) for audio in (reference, estimate))
        if min(np.sum(s**2), np.sum(e**2)) > FLOOR:
            values.append(10 * np.log10(np.sum(s**2) / max(np.sum((s - e) ** 2), 1e-20)))
    return float(np.median(values)) if values else float("nan")
