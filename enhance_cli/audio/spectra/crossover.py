"""Join a new upper band to the existing lower band by a linear-phase crossover, with a limited level in pauses.

The crossover begins 5 % below the edge of the lower band and ends at the edge. From there on, the new signal replaces the
old one. Below, nothing changes. Where the lower band is quiet, the new band is limited so that it adds less than half a
dB. It is also limited where the sum would exceed full scale, since the level of the whole file would be lowered then.
Signals are (C, N) at 48 kHz.
"""

from functools import lru_cache

import numpy as np

RATE, HOP = 48000, 120
WIDTH = 0.05  # of the crossover, relative to the edge
ATTENUATION = 75.0  # dB, of the filter outside of its band
# The lower band is quiet below, and loud above, these levels relative to its active level
QUIET_DB, LOUD_DB = -33.0, -25.0
ADDED_DB, ABOVE_DB = -20.0, 20.0  # highest level of the new band relative to the lower one, where that is quiet or loud
# Frames for which the level of the lower band is held, longer than a period of a voice. The gain rises at once, since the
# attack of a sound is its brightest moment
HELD = 6
FULL_SCALE = 1.0
LEAST_ROOM = 0.1  # peak of the new band that is always allowed, relative to that of the lower one
LONGEST_TAPS = 2401


def reach_of_all() -> int:
    """Return the number of samples on either side on which a new sample depends at most, over all edges."""
    return LONGEST_TAPS + (HELD + 2) * HOP


@lru_cache(maxsize=64)
def high_pass_taps(edge: float) -> np.ndarray:
    """Return the taps of the high pass of the crossover at `edge` Hz. The low pass is a unit impulse minus these."""
    count = int((ATTENUATION - 7.95) / (2.285 * 2 * np.pi * WIDTH * edge / RATE)) | 1
    count = min(count, LONGEST_TAPS)
    positions, cutoff = np.arange(count) - count // 2, 2 * (1 - WIDTH / 2) * edge / RATE
    low = np.sinc(cutoff * positions) * np.kaiser(count, 0.1102 * (ATTENUATION - 8.7))
    taps = -low / low.sum()
    taps[count // 2] += 1
    return taps.astype(np.float32)


def high_pass(audio: np.ndarray, edge: float) -> np.ndarray:
    """Return the part of `audio` (C, N) above the crossover, without delay."""
    return _convolved(audio, high_pass_taps(edge))


def joined(low: np.ndarray, wide: np.ndarray, edge: float, level: np.ndarray, *, peak: float = 1.0) -> np.ndarray:
    """Return the signal to add to `low` (C, N), so that it continues with the band of `wide` (C, N) above `edge` Hz.

    `level` (N,) or (1,): linear level of the sound in the recording, from the mean power of its channels. `peak`: that of the
    recording, linear. The sum exceeds neither it nor full scale by much.
    """
    high = high_pass(wide - low, edge)
    return high_pass(band_gains(low, high, level, max(peak, FULL_SCALE)) * high, edge)


def band_gains(low: np.ndarray, high: np.ndarray, level: np.ndarray, most: float) -> np.ndarray:
    """Return gains (C, N) for the band `high` (C, N), so that the sum has peaks up to `most` if possible.

    All channels have the same gains, except silent ones, which get 0.
    """
    channels, samples = low.shape
    lows, highs = _frames(low), _frames(high)
    of_low = _largest(np.square(lows, dtype=np.float64).mean(axis=2), before=HELD)
    of_high = _largest(np.square(highs, dtype=np.float64).mean(axis=(0, 2)), before=1, behind=1)
    centers, positions = (np.arange(of_low.shape[1]) + 0.5) * HOP, np.arange(samples) + 0.5
    around = level[np.minimum(centers.astype(int), len(level) - 1)]
    quiet = 10 * np.log10(np.maximum(of_low.mean(axis=0), 1e-20) / np.maximum(around, 1e-10) ** 2)
    allowed = np.interp(quiet, [QUIET_DB, LOUD_DB], [ADDED_DB, ABOVE_DB])
    gains = np.sqrt(np.minimum(1, 10 ** (allowed / 10) * of_low.mean(axis=0) / np.maximum(of_high, 1e-20)))
    peaks = [_largest(np.abs(frames).max(axis=(0, 2)), before=1, behind=1) for frames in (lows, highs)]
    room = np.maximum(most - peaks[0], LEAST_ROOM * peaks[0])
    gains = np.minimum(gains, room / np.maximum(peaks[1], 1e-20))
    rows = gains * (of_low > 1e-16)
    return np.stack([np.interp(positions, centers, row) for row in rows]).astype(np.float32)


def _frames(audio: np.ndarray) -> np.ndarray:
    """Return `audio` (C, N) in frames (C, T, HOP), the last one filled up with zeros."""
    return np.pad(audio, ((0, 0), (0, -audio.shape[1] % HOP))).reshape(len(audio), -1, HOP)


def _largest(values: np.ndarray, *, before: int, behind: int = 0) -> np.ndarray:
    """Return for each of (..., T) values >= 0 the largest of it and so many neighbors before and behind it."""
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(before, behind)])
    return np.lib.stride_tricks.sliding_window_view(padded, before + 1 + behind, axis=-1).max(axis=-1)


def _convolved(audio: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Return audio (C, N) through a linear-phase filter without its delay, by overlap-add of transformed blocks."""
    size = 1 << (4 * len(taps)).bit_length()
    step, samples = size - len(taps) + 1, audio.shape[1]
    blocks = np.pad(audio, ((0, 0), (0, -samples % step))).reshape(len(audio), -1, step)
    done = np.fft.irfft(np.fft.rfft(blocks, size) * np.fft.rfft(taps, size), size).astype(np.float32)
    whole = np.zeros((len(audio), blocks.shape[1] + 1, step), np.float32)
    whole[:, :-1] += done[..., :step]
    whole[:, 1:, : size - step] += done[..., step:]
    late = len(taps) // 2
    return whole.reshape(len(audio), -1)[:, late : late + samples]
