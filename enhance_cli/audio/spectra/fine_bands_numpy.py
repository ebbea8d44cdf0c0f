"""Provide the functions of audio.spectra.fine_bands with NumPy, for models that run without torch.

Spectra are complex64 (..., F, T), levels in dB (..., K, T).
"""

from functools import cache, lru_cache

import numpy as np

from enhance_cli.audio.spectra.stft_numpy import istft, make_window, stft

RATE, FRAME, HOP = 48000, 960, 480
BINS, BIN_HZ = FRAME // 2 + 1, RATE / FRAME
FLOOR_DB = -90.0  # of a band, in dB where full-scale noise has about 0
MOST_GAIN = 40.0  # dB that a carrier is raised by at most
EULER = 0.5772156649


@lru_cache(maxsize=1)
def band_starts() -> tuple[int, ...]:
    """Return the first bin of each band, and the number of bins as the last."""
    starts = [0]
    while starts[-1] < BINS:
        starts.append(starts[-1] + max(2, round(starts[-1] / 16)))
    if starts[-1] - BINS > 8:
        starts.pop()
    return (*starts[:-1], BINS)


BANDS = len(band_starts()) - 1


def known_bands(edge: float) -> int:
    """Return how many bands lie below `edge` Hz as a whole."""
    return sum(stop * BIN_HZ <= edge for stop in band_starts()[1:])


def octave_bins(first: int) -> int:
    """Return the even number of bins in the octave below bin `first`."""
    return max(2, first // 2 // 2 * 2)


def analyze(wave: np.ndarray) -> np.ndarray:
    """Return the spectra (..., 481, T + 1) of waves (..., 480 T): white noise of variance 1 has a mean power of 1."""
    spectra = stft(wave, make_window("sqrthann", FRAME), HOP) * np.float32((2 / FRAME) ** 0.5)
    return spectra.swapaxes(-1, -2)


def synthesize(spectra: np.ndarray, samples: int) -> np.ndarray:
    """Return the waves (..., samples) of spectra (..., 481, T)."""
    scaled = spectra.swapaxes(-1, -2) * np.float32((FRAME / 2) ** 0.5)
    return istft(scaled, make_window("sqrthann", FRAME), HOP, samples)


def levels(power: np.ndarray) -> np.ndarray:
    """Return the levels of a power spectrum (..., F, T) in dB (..., K, T)."""
    return np.float32(10) * np.log10(_averaging() @ power + np.float32(10 ** (FLOOR_DB / 10)))


def peakiness(power: np.ndarray) -> np.ndarray:
    """Return the level of each band minus the mean level of its bins, averaged with its neighbors, in dB (..., K, T)."""
    logarithm = np.float32(10) * np.log10(power + np.float32(10 ** (FLOOR_DB / 10)))
    difference = levels(power) - _averaging() @ logarithm
    padded = np.concatenate([difference[..., :1, :], difference, difference[..., -1:, :]], axis=-2)
    return (padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]) / np.float32(3)


def fill(spectra: np.ndarray, edge: float, wanted: np.ndarray, peaks: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return spectra (C, F, T) with new bins from `edge` Hz on. For the arguments see audio.spectra.fine_bands.fill."""
    first = int(edge / BIN_HZ)
    copies = _moved_up(spectra, first)
    power = _power(copies).mean(axis=0)
    carrier, of_noise = levels(power), _noise_peakiness()
    tonal = np.clip((peaks - of_noise) / np.maximum(peakiness(power) - of_noise, np.float32(0.1)), 0, 1)
    tonal = np.where(carrier > FLOOR_DB + 3, tonal, np.float32(0))
    octave = _power(spectra[:, first - octave_bins(first) : first]).mean(axis=1, keepdims=True)  # that is copied
    of_channel = np.sqrt(octave / np.maximum(octave.mean(axis=0), np.float32(1e-20)))
    made = copies * _gain(tonal, wanted - carrier)
    made += of_channel * noise * _gain(1 - tonal, wanted - levels(_power(noise)))
    made *= _to_bins((wanted > FLOOR_DB + 3).astype(np.float32))
    return np.where(np.arange(BINS)[:, None] >= first, made, spectra)


def _moved_up(spectra: np.ndarray, first: int) -> np.ndarray:
    """Return spectra in which the bins from `first` on are repeated copies of the octave below it."""
    patch, bins = octave_bins(first), np.arange(BINS)
    return spectra[..., np.where(bins < first, bins, first - patch + (bins - first) % patch), :]


def _gain(share: np.ndarray, raised: np.ndarray) -> np.ndarray:
    """Return the factors (..., F, T) for a carrier with this `share` of the power, which is `raised` by so many dB."""
    factor = np.float32(10) ** (np.minimum(raised, np.float32(MOST_GAIN)) / np.float32(20))
    return _to_bins(np.sqrt(share) * factor)


def _power(spectra: np.ndarray) -> np.ndarray:
    return np.square(spectra.real) + np.square(spectra.imag)


def _to_bins(bands: np.ndarray) -> np.ndarray:
    return np.repeat(bands, np.diff(band_starts()), axis=-2)


@cache
def _averaging() -> np.ndarray:
    starts, matrix = band_starts(), np.zeros((BANDS, BINS), np.float32)
    for band, (start, stop) in enumerate(zip(starts, starts[1:])):
        matrix[band, start:stop] = 1 / (stop - start)
    return matrix


@cache
def _noise_peakiness() -> np.ndarray:
    """Return the expected peakiness (K, 1) of noise: the digamma function of whole numbers is a sum of fractions."""
    widths = np.diff(band_starts())
    digamma = np.array([sum(1 / k for k in range(1, width)) for width in widths]) - EULER
    return (10 / np.log(10) * (digamma - np.log(widths) + EULER)).astype(np.float32)[:, None]
