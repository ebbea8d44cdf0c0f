"""Compute the data for pictures of a recording in one pass and constant memory: spectrum and waveform in columns, level.

A spectrum is the mean power over all channels in windows of 32 ms, from 0 Hz to the Nyquist frequency. Columns start as
fine as the windows allow. Whenever there are twice as many as a picture shows, neighboring columns are merged in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.read import AudioFile

COLUMNS = 1000  # at least as many, in recordings of 10 s or more, and less than twice as many
ROWS = 320
_WINDOW = 0.032  # seconds
_FINEST = 0.002  # seconds of a column of the waveform
_BATCH = 256  # windows transformed at once


@dataclass(frozen=True)
class Overview:
    """Hold the survey of a recording.

    `spectrum`: mean power (F, T), row 0 at 0 Hz, column t over `hop` seconds. `extremes`: lowest and highest sample of any
    channel (2, K). `seconds`, `rate` in Hz, `loudness` in LUFS, `peak` and `noise_floor` in dBFS, None where not defined.
    """

    spectrum: np.ndarray
    hop: float
    extremes: np.ndarray
    seconds: float
    rate: int
    channels: int
    loudness: float | None
    peak: float | None
    noise_floor: float | None


def overview(audio: AudioFile, *, start: float = 0.0, duration: float | None = None) -> Overview:
    """Return the survey of an open file, from `start` s for `duration` s (None: to its end).

    Raises AudioError if it cannot be read.
    """
    info = audio.info
    meter = Meter(info.rate, info.channels, layout=info.layout)
    spectrum = _Spectrum(info.rate, info.channels, info.frames)
    waveform = _Columns(lambda a, b: np.stack([np.minimum(a[0], b[0]), np.maximum(a[1], b[1])]))
    piece = max(round(_FINEST * info.rate), 1)
    rest = np.zeros((info.channels, 0), np.float32)
    for block in audio.blocks(start=start, duration=duration):
        meter.push(block)
        spectrum.push(block)
        rest = np.concatenate([rest, block.astype(np.float32)], axis=1)
        whole = rest.shape[1] // piece * piece
        if whole:
            pieces = rest[:, :whole].reshape(info.channels, -1, piece)
            waveform.push(np.stack([pieces.min(axis=(0, 2)), pieces.max(axis=(0, 2))]))
            rest = rest[:, whole:]
    if rest.shape[1]:
        waveform.push(np.stack([rest.min(keepdims=True)[0], rest.max(keepdims=True)[0]]))
    power = spectrum.finished()
    return Overview(
        power, spectrum.columns.merged * spectrum.step / info.rate, waveform.values(), meter.frames / info.rate,
        info.rate, info.channels, meter.loudness, _decibels(meter.peak), meter.noise_floor,
    )  # fmt: skip


def spectral_change(before: Overview, after: Overview, gain: float = 0.0) -> float | None:
    """Return the mean difference of two spectra in dB over the time that both have, None for two silent ones.

    `gain`: gain in dB of the second recording as a whole, which is not counted as a change. Levels of 80 dB or more below
    the loudest point are treated as silence, and so is a band that one of the recordings lacks.
    """
    columns = min(before.spectrum.shape[1], after.spectrum.shape[1])
    height = max(survey.rate / len(survey.spectrum) for survey in (before, after))  # of a row, in Hz, twice
    spectra = [_resized(survey.spectrum, columns) for survey in (before, after)]
    a, b = (_resized(x.T, round(y.rate / height)).T for x, y in zip(spectra, (before, after), strict=True))
    rows = max(len(a), len(b))
    a, b = (np.pad(x, ((0, rows - len(x)), (0, 0))) for x in (a, b * 10 ** (-gain / 10)))
    floor = max(a.max(), b.max()) * 1e-8
    if not floor > 0:
        return None
    return float(np.abs(10 * np.log10(np.maximum(a, floor) / np.maximum(b, floor))).mean())


class _Spectrum:
    """Collect the power spectra (F,) of windows of a signal in columns."""

    def __init__(self, rate: int, channels: int, frames: int | None):
        self.size = max(2 * round(_WINDOW * rate / 2), 16)
        fitting = self.size // 4 if frames is None else frames // COLUMNS
        self.step = min(max(fitting, self.size // 8), self.size)
        self.columns = _Columns(lambda a, b: (a + b) / 2)
        window = np.hanning(self.size + 1)[:-1]
        self._window = (window / window.sum()).astype(np.float32)  # so that rates can be compared
        self._waiting = np.zeros((channels, self.size // 2), np.float32)  # half a window ahead of the first sample

    def push(self, block: np.ndarray) -> None:
        """Take (C, n) samples."""
        signal = np.concatenate([self._waiting, block.astype(np.float32)], axis=1)
        count = max((signal.shape[1] - self.size) // self.step + 1, 0)
        for first in range(0, count, _BATCH):
            last = min(first + _BATCH, count)
            piece = signal[:, first * self.step : (last - 1) * self.step + self.size]
            windows = np.lib.stride_tricks.sliding_window_view(piece, self.size, axis=1)[:, :: self.step]
            power = np.square(np.abs(np.fft.rfft(windows * self._window))).mean(axis=0)
            self.columns.push(_pooled(power.T.astype(np.float32)))
        self._waiting = signal[:, count * self.step :]

    def finished(self) -> np.ndarray:
        """Return the mean powers (F, T)."""
        self.push(np.zeros((len(self._waiting), self.size // 2), np.float32))
        return self.columns.values()


class _Columns:
    """Collect columns (K, n). If there are too many, `merge` combines pairs of them: two arrays (K, n) to one."""

    def __init__(self, merge: Callable[[np.ndarray, np.ndarray], np.ndarray]):
        self._merge, self._count, self.merged = merge, 0, 1
        self._done: list[np.ndarray] = []
        self._odd: np.ndarray | None = None  # columns that do not make a whole one yet

    def push(self, columns: np.ndarray) -> None:
        if self._odd is not None:
            columns = np.concatenate([self._odd, columns], axis=1)
        columns, self._odd = self._reduced(columns, self.merged)
        self._done.append(columns)
        self._count += columns.shape[1]
        while self._count >= 2 * COLUMNS:
            together, left = self._reduced(np.concatenate(self._done, axis=1), 2)
            if left is not None:  # one column of the old width. Those after it are finer
                finer = np.repeat(left, self.merged, axis=1)
                self._odd = finer if self._odd is None else np.concatenate([finer, self._odd], axis=1)
            self.merged *= 2
            self._done, self._count = [together], together.shape[1]

    def _reduced(self, columns: np.ndarray, by: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return every `by` columns merged into one, and the remaining columns."""
        whole = columns.shape[1] // by * by
        rest = columns[:, whole:] if whole < columns.shape[1] else None
        columns = columns[:, :whole]
        while by > 1:
            columns, by = self._merge(columns[:, ::2], columns[:, 1::2]), by // 2
        return columns, rest

    def values(self) -> np.ndarray:
        """Return all columns (K, T). The last one may be made of fewer than the others."""
        if self._odd is not None and self._odd.shape[1]:
            missing = self.merged - self._odd.shape[1]
            last, _ = self._reduced(np.pad(self._odd, ((0, 0), (0, missing)), mode="edge"), self.merged)
            return np.concatenate([*self._done, last], axis=1)
        return np.concatenate(self._done, axis=1)


def _pooled(power: np.ndarray) -> np.ndarray:
    """Return (F, n) powers in at most ROWS rows, each the mean of equally many."""
    by = math.ceil(len(power) / ROWS)
    whole = len(power) // by * by
    return power[:whole].reshape(-1, by, power.shape[1]).mean(axis=1)


def _resized(power: np.ndarray, columns: int) -> np.ndarray:
    """Return (F, T) powers resampled to `columns` columns, each of which is the mean over its time."""
    total = np.concatenate([np.zeros((len(power), 1)), np.cumsum(power, axis=1, dtype=np.float64)], axis=1)
    edges = np.linspace(0, power.shape[1], columns + 1)
    whole = np.minimum(edges.astype(int), power.shape[1] - 1)
    until = total[:, whole] + (edges - whole) * (total[:, whole + 1] - total[:, whole])
    return np.maximum(np.diff(until, axis=1), 0) * (columns / power.shape[1])


def _decibels(value: float) -> float | None:
    return 20 * math.log10(value) if value > 0 else None
