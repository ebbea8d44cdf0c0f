"""Judge the filling of gaps: its SDR, its log-spectral distance and its level, within the gaps alone.

The log-spectral distance is the mean, over Hann-windowed frames of 32 ms every 8 ms that touch a gap, of the root mean square
over the bins of the difference of log10 of the power.
"""

from collections.abc import Sequence

import numpy as np

from enhance_cli.errors import AudioError

FRAME, HOP = 0.032, 0.008  # seconds
FLOOR = 1e-6  # of the loudest bin of the reference in these frames: lower power counts as silence


def score(reference: np.ndarray, estimate: np.ndarray, rate: int, gaps: Sequence[tuple[int, int]]) -> dict[str, float]:
    """Return the measures of `estimate` (N,), which is `reference` (N,) at `rate` Hz but for `gaps`, in samples.

    sdr: energy of the reference over that of the difference, in dB. lsd: log-spectral distance. level: energy of the
    estimate over that of the reference, in dB. Raises AudioError where the reference is silent in all gaps.
    """
    wanted = np.concatenate([reference[start:end] for start, end in gaps]).astype(np.float64)
    made = np.concatenate([estimate[start:end] for start, end in gaps]).astype(np.float64)
    energy = np.square(wanted).sum()
    if not energy:
        raise AudioError("nothing to score", "the reference is silent where the gaps are")
    decibels = lambda ratio: float(10 * np.log10(max(ratio, 1e-10)))
    return {
        "sdr": decibels(energy / max(np.square(wanted - made).sum(), 1e-10 * energy)),
        "lsd": _distance(reference, estimate, rate, gaps),
        "level": decibels(np.square(made).sum() / energy),
    }


def _distance(reference: np.ndarray, estimate: np.ndarray, rate: int, gaps: Sequence[tuple[int, int]]) -> float:
    """Return the log-spectral distance (arguments as in `score`)."""
    length, hop = int(FRAME * rate), int(HOP * rate)
    starts = np.arange(0, len(reference), hop)  # the last frames reach beyond the end, where there is silence
    touched = np.zeros(len(starts), bool)
    for start, end in gaps:
        touched |= (starts < end) & (starts + length > start)
    window = np.hanning(length)
    powers = [
        np.square(np.abs(np.fft.rfft(np.stack([x[n : n + length] for n in starts[touched]]) * window)))
        for x in (np.pad(audio.astype(np.float64), (0, length)) for audio in (reference, estimate))
    ]
    floor = FLOOR * powers[0].max()
    one, other = (np.log10(np.maximum(power, floor)) for power in powers)
    return float(np.sqrt(np.square(one - other).mean(axis=1)).mean())
