"""Pause depth in dB: how far below the voice lies what a recording holds where nobody speaks.

Frames of 20 ms are pauses where the reference, also in the two frames on either side, lies at least 40 dB below its
active level, and voice where it lies within 20 dB of it. The depth is the ratio of the estimate's mean energies in the
two: a higher one means less noise left in pauses, and less invented there. The gain of the estimate does not matter; what
happened to the voice itself is for other measures.
"""

import numpy as np

from enhance_cli.errors import AudioError

FRAME_SECONDS, GUARD = 0.02, 2
VOICE, PAUSE = 20.0, 40.0  # dB below the active level
DEEPEST = 100.0  # dB; no ratio is given beyond it
FEWEST = 5  # frames of either kind


def score(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """Pause depth in dB of `estimate` (N,) against `reference` (N,) at any rate.

    Raises AudioError if the reference has no voice in it, or less than 0.1 s of pauses.
    """
    truth, energy = _energies(reference, rate), _energies(estimate, rate)
    if not truth.any():
        raise AudioError("pause depth is not defined", "the reference is digital silence")
    active = np.square(truth).sum() / truth.sum()
    voice, quiet = truth > active * 10 ** (-VOICE / 10), truth < active * 10 ** (-PAUSE / 10)
    neighbours = np.lib.stride_tricks.sliding_window_view(np.pad(quiet, GUARD, constant_values=True), 2 * GUARD + 1)
    pause = neighbours.all(axis=1)
    if min(pause.sum(), voice.sum()) < FEWEST:
        raise AudioError("pause depth is not defined", "the reference has no pauses")
    said, left = energy[voice].mean(), energy[pause].mean()
    if not said:
        return -DEEPEST if left else DEEPEST
    return float(min(DEEPEST, 10 * np.log10(said / max(left, said * 10 ** (-DEEPEST / 10)))))


def _energies(audio: np.ndarray, rate: int) -> np.ndarray:
    """(N,) -> mean energy of every whole frame."""
    frame = round(FRAME_SECONDS * rate)
    whole = audio[: audio.size // frame * frame].astype(np.float64)
    return np.square(whole).reshape(-1, frame).mean(axis=1)
