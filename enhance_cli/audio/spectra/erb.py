"""Compute the spectrogram and the features of DeepFilterNet: 48 kHz, frames of 960 samples every 480, 32 ERB bands.

Frame t covers the samples 480 (t - 1) to 480 (t + 1) - 1, so there are 480 zeros before the signal. With the Vorbis window
for analysis and synthesis, the frames add up to the signal. Both features are normalized by running means of the level
(time constant 1 s). C channels, T frames, 481 bins.
"""

from functools import cache

import numpy as np
from numpy import fft  # SciPy takes a second to import

RATE, FRAME, HOP, BINS = 48000, 960, 480, 481
BANDS, MIN_BINS = 32, 2
FILTERED_BINS = 96
DECAY = 0.99  # of the running means, per frame


@cache
def window() -> np.ndarray:
    """Return the Vorbis window (960,), float32."""
    phase = np.pi * (np.arange(FRAME) + 0.5) / FRAME
    return np.sin(np.pi / 2 * np.sin(phase) ** 2).astype(np.float32)


def analyze(signal: np.ndarray) -> np.ndarray:
    """Return the spectra (C, T, 481) of a signal (C, 480 (T + 1)), complex64."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, FRAME, axis=-1)[:, ::HOP]
    return fft.rfft(frames * window(), axis=-1).astype(np.complex64, copy=False) * np.float32(1 / FRAME)


def synthesize(spectra: np.ndarray, tail: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Overlap and add the frames of spectra (C, T, 481), complex64.

    tail: second half of the frame before, (C, 480), zeros at the start. Returns the signal (C, 480 T), from the first
    sample of the first frame on, and the new tail.
    """
    frames = fft.irfft(spectra, FRAME, axis=-1).astype(np.float32, copy=False) * (FRAME * window())
    first, second = frames[..., :HOP], frames[..., HOP:]
    before = np.concatenate([tail[:, None], second[:, :-1]], axis=1)
    return (first + before).reshape(len(spectra), -1), second[:, -1]


def envelope(values: np.ndarray, tail: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of frames (C, T) interpolated to samples (C, 480 T), and the new tail, as `synthesize` does."""
    frames = values[..., None] * np.square(window())
    first, second = frames[..., :HOP], frames[..., HOP:]
    before = np.concatenate([tail[:, None], second[:, :-1]], axis=1)
    return (first + before).reshape(len(values), -1), second[:, -1]


@cache
def band_widths() -> np.ndarray:
    """Return the number of bins of each band (32,). They sum to 481."""
    scale, offset = 9.265, 24.7 * 9.265
    top = scale * np.log1p(RATE / 2 / offset)
    edges = np.round(offset * np.expm1(np.arange(1, BANDS + 1) * top / BANDS / scale) / (RATE / FRAME)).astype(int)
    widths, below, owed = [], 0, 0
    for edge in edges:
        width = edge - below - owed
        owed = max(0, MIN_BINS - width)
        widths.append(width + owed)
        below = edge
    widths[-1] += BINS - sum(widths)
    return np.array(widths)


@cache
def _starts() -> np.ndarray:
    return np.concatenate([[0], np.cumsum(band_widths())[:-1]])


def band_means(power: np.ndarray) -> np.ndarray:
    """Return the mean of (..., 481) over each band, (..., 32)."""
    return np.add.reduceat(power, _starts(), axis=-1) / band_widths().astype(power.dtype)


def band_below(frequency: float) -> int:
    """Return the number of the highest band that lies completely below `frequency` in Hz, at least 0."""
    ends = (np.cumsum(band_widths()) - 1) * RATE / FRAME
    return max(0, int(np.searchsorted(ends, frequency, side="right")) - 1)


def to_bins(bands: np.ndarray) -> np.ndarray:
    """Return (..., 481) where every bin has the value of its band in (..., 32)."""
    return np.repeat(bands, band_widths(), axis=-1)


class Features:
    """Compute the features of consecutive frames. The running means are kept from call to call."""

    def __init__(self, channels: int):
        self._level = np.tile(np.linspace(-60, -90, BANDS, dtype=np.float32), (channels, 1))  # dB
        self._magnitude = np.tile(np.linspace(1e-3, 1e-4, FILTERED_BINS, dtype=np.float32), (channels, 1))

    def push(self, spectra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ERB feature (C, T, 32) and the complex feature (C, 2, T, 96) of spectra (C, T, 481), float32."""
        power = np.square(spectra.real) + np.square(spectra.imag)
        decibels = 10 * np.log10(band_means(power) + np.float32(1e-10))
        level, self._level = _running_mean(decibels, self._level)
        low = spectra[..., :FILTERED_BINS]
        magnitude, self._magnitude = _running_mean(np.sqrt(power[..., :FILTERED_BINS]), self._magnitude)
        normalized = low / np.sqrt(np.maximum(magnitude, np.float32(1e-12)))
        complex_feature = np.stack([normalized.real, normalized.imag], axis=1)
        return ((decibels - level) / 40).astype(np.float32), complex_feature.astype(np.float32)


def _running_mean(values: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return s_t = 0.01 v_t + 0.99 s_(t-1) for all frames of (C, T, K) from the state (C, K), and the last one."""
    means = np.float32(1 - DECAY) * values
    for t in range(means.shape[1]):
        means[:, t] += np.float32(DECAY) * state
        state = means[:, t]
    return means, state.copy()
