"""Join a new upper band to the existing lower band by a linear-phase crossover, with a limited level in pauses.

The crossover begins 5 % below the edge of the lower band and ends at the edge. From there on, the new signal replaces the
old one. Below, nothing changes. Where the lower band is quiet, the new band is limited so that it adds less than half a
dB. Signals are (C, N) at 48 kHz.
"""

from functools import lru_cache

import numpy as np

RATE, HOP = 48000, 480
WIDTH = 0.05  # of the crossover, relative to the edge
ATTENUATION = 75.0  # dB, of the filter outside of its band
# The lower band is quiet below, and loud above, these levels relative to its active level
QUIET_DB, LOUD_DB = -33.0, -25.0
ADDED_DB, ABOVE_DB = -20.0, 20.0  # highest level of the new band relative to the lower one, where that is quiet or loud
AROUND = 2  # frames on either side whose lowest gain a frame gets
LONGEST_TAPS = 2401


def reach(edge: float) -> int:
    """Return the number of samples on either side on which a new sample depends."""
    return len(high_pass_taps(edge)) + (2 * AROUND + 2) * HOP


def reach_of_all() -> int:
    """Return the largest `reach` of all edges."""
    return LONGEST_TAPS + (2 * AROUND + 2) * HOP


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


def joined(low: np.ndarray, wide: np.ndarray, edge: float, level: np.ndarray) -> np.ndarray:
    """Return the signal to add to `low` (C, N), so that it continues with the band of `wide` (C, N) above `edge` Hz.

    `level` (N,) or (1,): linear level of the sound in the recording, from the mean power of its channels.
    """
    difference = wide - low
    gains = pause_gains(low, high_pass(difference, edge), level)
    return high_pass(gains * difference, edge)


def pause_gains(low: np.ndarray, high: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return gains (C, N) for the band `high` (C, N). All channels have the same gains, except silent ones, which get 0."""
    channels, samples = low.shape
    of_low, of_high = _powers(low), _powers(high).mean(axis=0)
    centers, positions = (np.arange(of_low.shape[1]) + 0.5) * HOP, np.arange(samples) + 0.5
    around = level[np.minimum(centers.astype(int), len(level) - 1)]
    quiet = 10 * np.log10(np.maximum(of_low.mean(axis=0), 1e-20) / np.maximum(around, 1e-10) ** 2)
    most = np.interp(quiet, [QUIET_DB, LOUD_DB], [ADDED_DB, ABOVE_DB])
    gains = np.sqrt(np.minimum(1, 10 ** (most / 10) * of_low.mean(axis=0) / np.maximum(of_high, 1e-20)))
    gains = -_largest_around(-gains, AROUND)
    gains = gains * (of_low > 1e-16)
    rows = np.broadcast_to(gains, of_low.shape)
    return np.stack([np.interp(positions, centers, row) for row in rows]).astype(np.float32)


def _powers(audio: np.ndarray) -> np.ndarray:
    """Return the mean power of every frame of 10 ms (C, T), as the maximum over the frame and its neighbors."""
    padded = np.pad(audio, ((0, 0), (0, -audio.shape[1] % HOP)))
    frames = np.square(padded, dtype=np.float64).reshape(len(audio), -1, HOP).mean(axis=2)
    return _largest_around(frames, 1)


def _largest_around(values: np.ndarray, reach: int) -> np.ndarray:
    """Return for each of (..., T) the largest of it and `reach` neighbors on either side."""
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(reach, reach)], mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=-1).max(axis=-1)


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
