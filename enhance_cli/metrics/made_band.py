"""Judge a band that a model made: log-spectral distances, level by thirds of an octave, and level added in pauses.

The log-spectral distance is that of the literature on bandwidth extension: frames of 2048 every 512 at 48 kHz, Hann, log10 of
the power. Two draws of the same noise have .79, so its level-matched form and the level error say more than its last digits.
Lower is better in all of them.
"""

import numpy as np
from scipy.signal.windows import hann

from enhance_cli.errors import AudioError

RATE, FRAME, HOP = 48000, 2048, 512
POWER_FLOOR = 1e-8  # of a bin. A full-scale tone has about 2e5
TOP = 20000.0  # Hz, the end of hearing
QUIET_DB = 35.0  # below the active level of the reference
MIN_QUIET = 10  # frames


def score(reference: np.ndarray, estimate: np.ndarray, low: np.ndarray, cutoff: float) -> dict[str, float]:
    """Return the measures of `estimate` (N,) at 48 kHz, made from `low` (N,), which is `reference` (N,) below `cutoff` Hz.

    lsd: of the whole spectrum. lsd_high, lsd_matched: above the cutoff, and the same with its level corrected. level_error:
    mean difference of thirds of an octave above the cutoff, in dB. added: level added to quiet frames in dB, if there are any.
    Raises AudioError for silence and recordings shorter than a frame.
    """
    if reference.size < FRAME or not reference.any():
        raise AudioError("nothing to score", f"a reference needs {FRAME} samples, and sound")
    truth, found, before = (_powers(audio) for audio in (reference, estimate, low))
    frequencies = np.fft.rfftfreq(FRAME, 1 / RATE)
    above = frequencies >= cutoff
    difference = np.log10(np.maximum(found, POWER_FLOOR)) - np.log10(np.maximum(truth, POWER_FLOOR))
    distance = lambda x: float(np.sqrt(np.square(x).mean(axis=1)).mean())
    scores = {
        "lsd": distance(difference),
        "lsd_high": distance(difference[:, above]),
        "lsd_matched": distance(difference[:, above] - difference[:, above].mean()),
        "level_error": _level_error(truth.mean(axis=0), found.mean(axis=0), frequencies, cutoff),
    }
    energy = truth.sum(axis=1)
    active = np.square(energy).sum() / energy.sum()
    quiet = energy < active * 10 ** (-QUIET_DB / 10)
    if quiet.sum() >= MIN_QUIET and before[quiet].any():
        scores["added"] = float(10 * np.log10(found[quiet].sum() / before[quiet].sum()))
    return scores


def _level_error(truth: np.ndarray, found: np.ndarray, frequencies: np.ndarray, cutoff: float) -> float:
    """Return the mean absolute difference in dB of the powers (F,) in thirds of an octave from `cutoff` to 20 kHz."""
    edges = cutoff * 2 ** (np.arange(int(3 * np.log2(TOP / cutoff)) + 1) / 3)
    levels = [
        [10 * np.log10(power[(frequencies >= low) & (frequencies < high)].sum() + 1e-12) for power in (truth, found)]
        for low, high in zip(edges, [*edges[1:], TOP])
        if high > 1.1 * low
    ]
    return float(np.mean([abs(made - there) for there, made in levels]))


def _powers(audio: np.ndarray) -> np.ndarray:
    """Return the power spectra (T, F) of all whole frames of (N,)."""
    frames = np.lib.stride_tricks.sliding_window_view(audio.astype(np.float64), FRAME)[::HOP]
    spectra = np.fft.rfft(frames * hann(FRAME, sym=False))
    return np.square(spectra.real) + np.square(spectra.imag)
