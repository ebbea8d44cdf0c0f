"""Measure the level of a streaming signal in fixed memory: peak, true peak, integrated loudness, active level.

Loudness follows ITU-R BS.1770-4 (K-weighting, 400 ms windows, absolute and relative gate). The windows are kept as a fine
histogram instead of a list.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from enhance_cli.audio.channels import Layout, loudness_weights
from enhance_cli.audio.levels.k_weighting import KWeighting
from enhance_cli.audio.levels.level_track import LevelTrack, follow, follow_music
from enhance_cli.audio.levels.true_peaks import TruePeak

_PIECE = 1 << 16  # samples at a time, so that a whole file in one push needs no more memory than a stream
_SLOT_FRAMES = 5  # frames of 20 ms in a slot of level_track
_OFFSET_DB = -10.0  # the mean of a channel counts as a DC offset if it is at least this strong relative to its sound
_BIN = 0.05  # LU, width of the bins of the histogram of loudness from -70 (the absolute gate) to +30 LUFS


class SampleMeter(Protocol):
    """Measure (C, n) blocks that are pushed, for one task (batch.measurements)."""

    def push(self, block: np.ndarray) -> None: ...


class Meter:
    """Measure (C, n) blocks that are pushed. The properties may be read at any time.

    `layout`: loudspeaker of each channel, which determines its weight in the loudness. `extra`: meter of a task, which
    receives the same samples.
    """

    def __init__(
        self,
        rate: int,
        channels: int,
        loudness: bool = True,
        true_peak: bool = False,
        layout: Layout | None = None,
        extra: SampleMeter | None = None,
    ):
        self.extra = extra
        self.frames = 0
        self.peak = 0.0
        self._mono = np.zeros(2)  # sum and sum of squares of the mean of all channels
        self._loudness = _Loudness(rate, channels, layout) if loudness else None
        self._frames = [_Slices(rate / 50) for _ in range(2 * channels)]  # of the powers and of the samples
        # bins of 0.25 dB from -120 dB on. The first and the last one count all levels outside
        self._levels = np.zeros(560 + 2, dtype=np.int64)
        # sums over all frames (power p, mean m) of p, p^2, m, m^2 and p m
        self._sums = np.zeros((5, channels))
        self._true_peak = TruePeak(channels) if true_peak else None
        self._slot_frames = np.zeros((2 * channels, 0))  # powers and means of the frames of the incomplete slot
        self._slots: list[np.ndarray] = []
        self._counted = 0  # frames

    def push(self, block: np.ndarray) -> None:
        """Take the next (C, n) samples."""
        for begin in range(0, block.shape[1], _PIECE):
            self._push(block[:, begin : begin + _PIECE].astype(np.float64))

    def _push(self, x: np.ndarray) -> None:
        self.frames += x.shape[1]
        self.peak = max(self.peak, float(x.max()), -float(x.min()))
        mono = x.mean(axis=0)
        self._mono += mono.sum(), np.square(mono).sum()  # not mono @ mono, which OpenBLAS computes in several threads
        if self._true_peak:
            self._true_peak.push(x)
        if self.extra:
            self.extra.push(x)
        if self._loudness:
            self._loudness.push(x)
        values = np.concatenate([np.square(x), x])
        frames = np.stack([frames.push(y) / frames.length for frames, y in zip(self._frames, values, strict=True)])
        self._count_levels(frames, *np.split(frames, 2))

    def _count_levels(self, both: np.ndarray, powers: np.ndarray, means: np.ndarray) -> None:
        """Count the `powers` and `means` (C, k) of k frames, `both` (2C, k)."""
        frames = np.concatenate([self._slot_frames, both], axis=1)
        whole = frames.shape[1] // _SLOT_FRAMES * _SLOT_FRAMES
        slots = frames[:, :whole].reshape(len(frames), -1, _SLOT_FRAMES).mean(axis=2)
        self._slots.append(np.minimum(slots, np.finfo(np.float32).max).astype(np.float32))
        self._slot_frames = frames[:, whole:]
        self._sums += [v.sum(axis=1) for v in (powers, np.square(powers), means, np.square(means), powers * means)]
        self._counted += powers.shape[1]
        decibels = 10 * np.log10(np.maximum(powers.mean(axis=0), 1e-30))
        index = np.clip(np.floor((decibels + 120) * 4).astype(int) + 1, 0, len(self._levels) - 1)
        self._levels += np.bincount(index, minlength=len(self._levels))

    @property
    def deviation(self) -> float:
        """Return the standard deviation of the mean of all channels, 0.0 before the first sample."""
        mean, power = self._mono / max(self.frames, 1)
        return math.sqrt(max(power - mean * mean, 0.0))

    @property
    def true_peak(self) -> float:
        """Return the peak of the oversampled signal, linear and at least `peak`. Needs Meter(..., true_peak=True)."""
        if self._true_peak is None:
            raise ValueError("Meter(..., true_peak=True) measures true peak")
        return max(self.peak, self._true_peak.value)

    @property
    def loudness(self) -> float | None:
        """Return the integrated loudness in LUFS, or None if it is not defined (silence, or less than 0.4 s)."""
        return self._loudness.value() if self._loudness else None

    @property
    def active_levels(self) -> np.ndarray:
        """Return the active level of each channel (C,), linear: the energy-weighted mean energy of all frames of 20 ms.

        Because of the weights, pauses hardly count. Silence, and less than one frame, give 0.0.
        """
        p, pp, m, mm, pm = self._sums
        offset, count = self.offsets, self._counted
        energy = p - 2 * offset * m + count * offset**2
        squared = pp - 4 * offset * pm + offset**2 * (4 * mm + 2 * p) - 4 * offset**3 * m + count * offset**4
        heard = energy > np.maximum(1e-20, 1e-12 * p)  # less is a rounding error of the offset
        return np.sqrt(np.divide(np.maximum(squared, 0), energy, out=np.zeros_like(energy), where=heard))

    @property
    def offsets(self) -> np.ndarray:
        """Return the DC offset (C,) of each channel, which is 0 unless it is large compared with the sound."""
        mean = self._sums[2] / max(self._counted, 1)
        power = np.maximum(self._sums[0] / max(self._counted, 1) - mean**2, 0)
        return np.where(mean**2 > power * 10 ** (_OFFSET_DB / 10), mean, 0.0)

    @property
    def track(self) -> LevelTrack:
        """Return the level of speech through the recording."""
        return follow(self._powers, self.active_levels)

    @property
    def common_track(self) -> LevelTrack:
        """Return the same for all channels together, by their mean power. There must be sound."""
        return self.track.of_all(self.active_levels > 0)

    @property
    def music_track(self) -> LevelTrack:
        """Return the level of music through the recording, one for all channels."""
        return follow_music(self._powers, self.active_levels)

    @property
    def _powers(self) -> np.ndarray:
        """Return the powers (C, K) of all slots, without DC offsets."""
        powers, means = np.split(
            np.concatenate([*self._slots, np.zeros((len(self._frames), 0), np.float32)], axis=1), 2
        )
        offset = self.offsets[:, None]
        return np.maximum(powers - 2 * offset * means + offset**2, 0) if offset.any() else powers

    @property
    def noise_floor(self) -> float | None:
        """Return the 10 % quantile of the levels of frames of 20 ms in dBFS, the level in pauses. None below -120."""
        below = np.cumsum(self._levels)
        index = int(np.searchsorted(below, 0.1 * below[-1])) if below[-1] else 0
        return -120 + (index - 0.5) / 4 if index else None


def leveled(wave: np.ndarray, rate: int, level: float) -> np.ndarray:
    """Return a wave (n,) float32 whose speech has the active level `level` (linear) throughout, also in quiet passages."""
    meter = Meter(rate, 1, loudness=False)
    meter.push(wave[None])
    return (wave * (level / meter.track.at(0, wave.size, rate)[0])).astype(np.float32)


def without_offset(wave: np.ndarray, rate: int) -> np.ndarray:
    """Return a wave (n,) without its DC offset, the same array if that is small compared with the sound."""
    meter = Meter(rate, 1, loudness=False)
    meter.push(wave[None])
    return (wave - meter.offsets[0]).astype(wave.dtype) if meter.offsets.any() else wave


class _Loudness:
    """Measure integrated loudness over a histogram of 400 ms windows that begin every 100 ms."""

    def __init__(self, rate: int, channels: int, layout: Layout | None):
        self._filter = KWeighting(rate, channels)
        self._weights = loudness_weights(layout, channels)
        self._hops = _Slices(rate / 10)
        self._recent = np.zeros(3)  # energies of the last three 100 ms hops: with the next one a 400 ms window
        self._hops_seen = 0
        self._window = 0.4 * rate
        self._windows = np.zeros(int(100 / _BIN) + 1)
        self._energies = np.zeros_like(self._windows)

    def push(self, x: np.ndarray) -> None:
        weighted = self._filter.push(x)
        np.square(weighted, out=weighted)
        self._count_windows(self._hops.push(self._weights @ weighted))

    def _count_windows(self, hops: np.ndarray) -> None:
        if not len(hops):
            return
        chain = np.concatenate([self._recent, hops])
        energy = np.convolve(chain, np.ones(4), "valid") / self._window
        energy = energy[max(3 - self._hops_seen, 0) :]  # without windows that begin before the signal
        self._hops_seen += len(hops)
        self._recent = chain[-3:]
        energy = energy[energy >= _energy(-70.0)]
        index = np.minimum(((_loudness(energy) + 70.0) / _BIN).astype(int), len(self._windows) - 1)
        np.add.at(self._windows, index, 1)
        np.add.at(self._energies, index, energy)

    def value(self) -> float | None:
        if not self._windows.any():
            return None
        gate = _loudness(self._energies.sum() / self._windows.sum()) - 10.0
        first = min(max(int((gate + 70.0) / _BIN), 0), len(self._windows) - 1)  # the last bin has everything louder
        return float(_loudness(self._energies[first:].sum() / self._windows[first:].sum()))


class _Slices:
    """Sum a stream of values over consecutive slices. Slice k ends at sample int((k + 1) * length)."""

    def __init__(self, length: float):
        self.length = length
        self._position = self._done = 0
        self._sum = 0.0

    def push(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of the slices that these values complete."""
        end = self._position + len(values)
        count = int((end + 1) / self.length) - self._done + 1
        edges = ((self._done + 1 + np.arange(max(count, 0))) * self.length).astype(np.int64)
        edges = edges[edges <= end] - self._position
        self._position = end
        if not len(edges):
            self._sum += values.sum()
            return np.empty(0)
        sums = np.add.reduceat(np.append(values, 0.0), np.concatenate([[0], edges]))
        sums[0] += self._sum
        self._sum, self._done = sums[-1], self._done + len(edges)
        return sums[:-1]


def _energy(loudness: float) -> float:
    return 10 ** ((loudness + 0.691) / 10)


def _loudness(energy: Any) -> Any:
    return -0.691 + 10 * np.log10(energy)
