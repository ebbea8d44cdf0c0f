"""Suppress noise above the band of a model, steered by the change that the model made inside its band.

Every band, about a sixth of an octave wide, gets a Wiener gain from frames of 21 ms: G = max(1 - L / P, floor), with the power
P of the frame and the noise power L. The noise power is tracked in dB by quantiles (after Stahl, Fischer and Bippus, 2000).
It is the smaller of two values: the median over frames in which the model removed nearly everything, and a low quantile
over all frames, which voices that the model mistook for noise cannot raise. Only the part above a natural floor counts as
noise. That floor lies some dB below the speech in the same band, and below the noise that the model removed next to it. So
the hiss of a recording is kept if the noise has no treble. Bands without a steady noise floor are not changed. Just below
the model's highest frequency, where resampling has removed a part of the band, the model's own gain is used.

All state is passed from frame to frame. Frames lie on a grid from the first sample on and are computed in chunks of a fixed
size, so results do not depend on the sizes of blocks.
"""

import numpy as np
from numpy.fft import irfft, rfft  # SciPy takes a second to import

from enhance_cli.audio.levels.quantiles import Quantiles

HOP_SECONDS = 512 / 48000  # half a frame
CHUNK = 32  # frames that are computed at a time
LOWEST = 1.025  # times the model's highest frequency: first edge of the bands
RATIO = 1.122  # of each edge to the one before
NARROWEST = 6  # bins: a narrower band at the top is merged with the one below
STEER = (0.5, 0.9)  # part of the model's band whose change distinguishes noise from speech
BESIDE = (0.8, 0.9)  # part of the model's band whose gain is used just below its highest frequency
PAUSE = 0.1  # frames with a smaller share of speech in STEER are pauses
SPEECH_SECONDS = 3.0  # time over which the power of speech is averaged
BELOW_SPEECH, BELOW_NOISE = 15.0, 16.0  # dB, distance of the natural floor from speech and from noise
DEPTH = 15.0  # dB, highest attenuation
STEADY, UNSTEADY = 6.0, 8.0  # dB between two quantiles at which the noise floor is trusted fully, and not at all
SILENT = 1e-14  # power per bin: digital silence is ignored


class UpperBand:
    """Suppress the noise above `edge` Hz, the highest frequency of a model, in C channels at `rate` Hz."""

    def __init__(self, rate: int, edge: float, channels: int):
        self._channels = channels
        self._hop = round(rate * HOP_SECONDS)
        self._window = np.sin(np.pi * (np.arange(2 * self._hop) + 0.5) / (2 * self._hop)).astype(np.float32)
        self._starts = _band_starts(rate, edge, self._hop)
        frequencies = np.arange(self._hop + 1) * rate / (2 * self._hop)
        self._steer, self._beside = (slice(*np.searchsorted(frequencies, np.array(p) * edge)) for p in (STEER, BESIDE))
        first = np.searchsorted(frequencies, edge)
        self._widths = np.diff(np.r_[0, first, self._starts[1:], self._hop + 1])  # in bins, of the gains
        self._input = np.zeros((3 * channels, self._hop), np.float32)  # frame 0 begins before the signal
        self._tail: np.ndarray = np.zeros((channels, self._hop), np.float32)
        self._pending = 0  # samples that have come in and not gone out
        self._skip = self._hop  # samples before the signal
        bands = self._starts.size
        # Median noise of each band in pauses and of the model's change there, then two quantiles of each band over all.
        self._levels = Quantiles(
            np.repeat([0.5, 0.3, 0.1], [bands + 1, bands, bands]),
            np.repeat([0.15, 0.25, 0.25], [bands + 1, bands, bands]),
            channels,
        )
        self._speech = np.zeros((channels, bands))
        self._frames = 0

    @staticmethod
    def fits(rate: int, edge: float) -> bool:
        """Return whether a signal at `rate` Hz has at least one band above `edge` Hz."""
        return rate / 2 > LOWEST * RATIO * edge

    def push(self, above: np.ndarray, band: np.ndarray, change: np.ndarray, last: bool = False) -> np.ndarray:
        """Take the next samples and return the change (C, m) of the signal above the band, as far as it is ready.

        Args:
            above: (C, n), signal above the model's band.
            band: (C, n), input of the model in its band.
            change: (C, n), change that the model made to it. While it is zero, so is the result.
            last: no samples follow, so that all the rest is returned.
        """
        self._pending += above.shape[1]
        block = np.concatenate([above, band, change], dtype=np.float32, casting="same_kind")
        self._input = np.concatenate([self._input, block], axis=1)
        frames = self._input.shape[1] // self._hop - 1
        rest = 0
        if last:
            frames = -(-(self._pending + self._skip) // self._hop)
            short = (frames + 1) * self._hop - self._input.shape[1]
            self._input = np.pad(self._input, ((0, 0), (0, short)))
            rest = frames % CHUNK
        sizes = [CHUNK] * (frames // CHUNK) + [rest] * (rest > 0)
        done = np.concatenate([np.zeros((self._channels, 0), np.float32), *map(self._chunk, sizes)], axis=1)
        skipped = min(self._skip, done.shape[1])
        self._skip -= skipped
        done = done[:, skipped:][:, : self._pending]
        self._pending -= done.shape[1]
        return done

    def _chunk(self, frames: int) -> np.ndarray:
        """Compute the next frames: (C, frames * hop)."""
        hop = self._hop
        signal = self._input[:, : (frames + 1) * hop]
        windows = np.lib.stride_tricks.sliding_window_view(signal, 2 * hop, axis=1)[:, ::hop]
        above, band, change = np.split(rfft(windows * self._window, axis=2), 3)
        self._input = self._input[:, frames * hop :]
        cleaned = band + change
        gains = self._gains(
            self._band_powers(above), _power(cleaned[..., self._steer]), _power(change[..., self._steer])
        )
        before, after = _power(band[..., self._beside]), _power(cleaned[..., self._beside])
        beside = np.minimum(np.sqrt((after + SILENT) / (before + SILENT)), 1)
        gains = np.concatenate([beside[..., None], gains], axis=2)
        changed = irfft(above * np.repeat(gains - 1, self._widths, axis=2).astype(np.float32), axis=2) * self._window
        first, second = changed[..., :hop], changed[..., hop:]
        done = first + np.concatenate([self._tail[:, None], second[:, :-1]], axis=1)
        self._tail = second[:, -1]
        return done.reshape(self._channels, -1)

    def _band_powers(self, spectra: np.ndarray) -> np.ndarray:
        """Return the mean power of each band, (C, T, B), of (C, T, F)."""
        power = np.square(spectra.real) + np.square(spectra.imag)
        counts = np.diff(np.r_[self._starts, power.shape[2]])
        return np.add.reduceat(power, self._starts, axis=2).astype(np.float64) / counts

    def _gains(self, power: np.ndarray, speech: np.ndarray, removed: np.ndarray) -> np.ndarray:
        """Return the gains (C, T, B). `power`: (C, T, B). `speech`, `removed`: powers (C, T) of both in the model's band."""
        bands = power.shape[2]
        share = np.where(removed > 0, speech / np.maximum(speech + removed, 1e-30), 1.0)
        pause = np.clip((PAUSE - share) / PAUSE, 0, 1)[..., None]
        heard = (power > SILENT).astype(np.float64)
        values = 10 * np.log10(np.concatenate([power, removed[..., None], power, power], axis=2) + 1e-20)
        weights = np.concatenate([pause * heard, pause, heard, heard], axis=2)
        followed = np.stack([self._levels.push(values[:, t], weights[:, t]) for t in range(power.shape[1])], axis=1)
        median, near, low, lowest = np.split(followed, [bands, bands + 1, 2 * bands + 1], axis=2)
        noise = 10 ** (np.minimum(median + 1, low + 2) / 10)  # quantiles lie below the mean
        floor = np.maximum(
            self._speech_powers(np.maximum(power - 2 * noise, 0)) * 10 ** (-BELOW_SPEECH / 10),
            10 ** ((near - BELOW_NOISE) / 10),
        )
        trust = np.clip((UNSTEADY - (low - lowest)) / (UNSTEADY - STEADY), 0, 1)
        excess = np.maximum(noise - floor, 0) * trust
        kept = np.minimum(1, np.maximum(10 ** (-DEPTH / 10), floor / np.maximum(excess, 1e-30)))
        wiener = 1 - excess / np.maximum(power, 1e-30)
        return np.where(excess > 0, np.maximum(wiener, np.sqrt(kept)), 1.0)

    def _speech_powers(self, power: np.ndarray) -> np.ndarray:
        """Return the running mean of (C, T, B). At first it is the mean over all frames so far."""
        averages = np.empty_like(power)
        slowest = 1 - np.exp(-HOP_SECONDS / SPEECH_SECONDS)
        for t in range(power.shape[1]):
            self._frames += 1
            self._speech = self._speech + max(slowest, 1 / self._frames) * (power[:, t] - self._speech)
            averages[:, t] = self._speech
        return averages


def _power(spectra: np.ndarray) -> np.ndarray:
    """Return the mean power (C, T) of (C, T, F)."""
    return (np.square(spectra.real) + np.square(spectra.imag)).mean(axis=2, dtype=np.float64)


def _band_starts(rate: int, edge: float, hop: int) -> np.ndarray:
    """Return the first bins of the bands from just above `edge` Hz to half the rate."""
    count = int(np.log(rate / 2 / (LOWEST * edge)) / np.log(RATIO)) + 1
    edges = LOWEST * edge * RATIO ** np.arange(count)
    starts = np.unique(np.ceil(edges * 2 * hop / rate).astype(int))
    return starts[(hop + 1 - starts >= NARROWEST) | (np.arange(starts.size) == 0)]
