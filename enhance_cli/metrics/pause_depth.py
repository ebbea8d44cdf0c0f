"""Compute the pause depth in dB: the level of a recording in pauses of speech, below the level of the voice.

Frames of 20 ms are pauses where the reference, also in the two frames on either side, lies at least 40 dB below its
active level, and voice where it lies within 20 dB of it. The depth is the ratio of the estimate's mean energies in the
two. A higher value means less noise left or invented in pauses. The gain of the estimate and distortion of the voice
have no effect.
"""

import numpy as np

from enhance_cli.errors import AudioError

FRAME_SECONDS, GUARD = 0.02, 2
VOICE, PAUSE = 20.0, 40.0  # dB below the active level
MAX_DEPTH = 100.0  # dB; no ratio is given beyond it
MIN_FRAMES = 5  # frames of either kind


def score(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """Return the pause depth in dB of `estimate` (N,) against `reference` (N,) at any rate.

    Raises AudioError if the reference has no voice in it, or less than 0.1 s of pauses.
    """
    truth, energy = _energies(reference, rate), _energies(estimate, rate)
    if not truth.any():
        raise AudioError("pause depth is not defined", "the reference is digital silence")
    active = np.square(truth).sum() / truth.sum()
    voice, quiet = truth > active * 10 ** (-VOICE / 10), truth < active * 10 ** (-PAUSE / 10)
    neighbors = np.lib.stride_tricks.sliding_window_view(np.pad(quiet, GUARD, constant_values=True), 2 * GUARD + 1)
    pause = neighbors.all(axis=1)
    if min(pause.sum(), voice.sum()) < MIN_FRAMES:
        raise AudioError("pause depth is not defined", "the reference has no pauses")
    said, left = energy[voice].mean(), energy[pause].mean()
    if not said:
        return -MAX_DEPTH if left else MAX_DEPTH
    return float(min(MAX_DEPTH, 10 * np.log10(said / max(left, said * 10 ** (-MAX_DEPTH / 10)))))


def _energies(audio: np.ndarray, rate: int) -> np.ndarray:
    """Return the mean energy of every whole frame of `audio` (N,)."""
    frame = round(FRAME_SECONDS * rate)
    whole = audio[: audio.size // frame * frame].astype(np.float64)
    return np.square(whole).reshape(-1, frame).mean(axis=1)
