"""Raise the filling of a gap, band by band, to a level between those of the sound before and after it.

A network that estimates the mean of all possible sounds in a gap fills it too quietly. The target level of the filling is
a line, in dB, from the level before the gap to the level after it. Most of the missing level is added. The filling is never
attenuated.
"""

import numpy as np

from enhance_cli.audio.spectra.stft_numpy import istft, make_window, stft

SIZE = 0.032  # seconds of a frame
PER_FRAME = 4  # hops
SIDE_SECONDS = 0.06  # of the sound on either side whose mean level is used
OCTAVES = 1 / 3  # width of a band
NARROWEST = 4  # bins of a band, at least
SMOOTHED = 5  # frames over which the level of the filling is averaged
SHARE, MOST_DB = 0.7, 12.0  # share of the missing level that is added, and limit in dB


def raised(wave: np.ndarray, begin: int, end: int, rate: int, *, strength: float = 1.0) -> np.ndarray:
    """Return `wave` (C, N) at `rate` Hz with its filling [begin, end) raised, float32. Other samples are not changed.

    `strength`: factor (0 to 1) for the gain in dB. A gap without a frame of sound on each side is not changed.
    """
    size = round(SIZE * rate / PER_FRAME) * PER_FRAME
    hop = size // PER_FRAME
    window = make_window("sqrthann", size)
    spectra = stft(np.asarray(wave, np.float32), window, hop)  # (C, T, F)
    centers = np.arange(spectra.shape[1]) * hop
    reach, half = SIDE_SECONDS * rate + size / 2, size // 2
    before = (centers >= max(begin - reach, half)) & (centers <= begin - half)
    behind = (centers >= end + half) & (centers <= min(end + reach, wave.shape[1] - half))
    inside = (centers > begin) & (centers < end)
    if not (before.any() and behind.any() and inside.any()):
        return np.asarray(wave, np.float32)
    starts = _band_starts(spectra.shape[2])
    powers = np.add.reduceat(np.square(np.abs(spectra), dtype=np.float64), starts, axis=2)
    levels = [_decibels(powers[:, side].mean(axis=1, keepdims=True)) for side in (before, behind)]
    way = ((centers - begin) / (end - begin))[inside, None]
    lacking = (1 - way) * levels[0] + way * levels[1] - _decibels(_smoothed(powers))[:, inside]
    gains = np.zeros(powers.shape)
    gains[:, inside] = strength * np.clip(SHARE * lacking, 0, MOST_DB)
    widths = np.diff([*starts, spectra.shape[2]])
    changed = istft(spectra * np.repeat(10 ** (gains / 20), widths, axis=2), window, hop, wave.shape[1])
    result = np.array(wave, np.float32)
    result[:, begin:end] = changed[:, begin:end]
    return result


def _band_starts(bins: int) -> np.ndarray:
    """Return the first bin of each band."""
    starts = [0]
    while starts[-1] + NARROWEST < bins - NARROWEST:
        starts.append(max(starts[-1] + NARROWEST, round(starts[-1] * 2**OCTAVES)))
    return np.array([start for start in starts if start < bins - NARROWEST or start == 0])


def _smoothed(powers: np.ndarray) -> np.ndarray:
    """Return the mean of `SMOOTHED` frames around each of (C, T, K)."""
    side = SMOOTHED // 2
    padded = np.pad(powers, ((0, 0), (side, side), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED, axis=1).mean(axis=-1)


def _decibels(powers: np.ndarray) -> np.ndarray:
    return 10 * np.log10(powers + 1e-12)
