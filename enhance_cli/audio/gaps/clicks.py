"""Find clicks in a stream: a few samples that can be predicted neither from those before them nor from those after them.

At a click, the errors of linear prediction in both directions are many times as large as everywhere around it. The pulses
of a voice recur, and plosives and drums continue, so neither of them stands alone on both sides.
"""

from dataclasses import dataclass

import numpy as np

from enhance_cli.audio.gaps.gap import Gap
from enhance_cli.audio.levels.level_track import LevelTrack
from enhance_cli.audio.running_maximum import largest_around

CLICK = "click"
ORDER = 20
FRAME = 0.04  # seconds with the same coefficients
LONGEST = 0.002  # seconds of a click
AROUND = 0.025  # seconds before and after a click without another one
CLIPPED = 3.0  # times the median: samples are clipped here before the coefficients are computed
TIMES = 7.0  # least ratio of the error of a click to the largest error around it
LOUD = 1.5  # least ratio of the error of a click to the level of the sound around it
EDGE = 3.0  # a click extends to where its errors are still so many times the largest error around it
FAINTEST = 10 ** (-30 / 20)  # least error of a click, relative to the level around it
EDGE_FRAMES = 2  # frames before and after the searched ones that affect their errors
MARGIN = 2  # samples that are added on either side
MOST = 10_000  # clicks in a recording: if there are more, they belong to its sound


@dataclass(frozen=True, order=True)
class Spike:
    """Hold the samples [start, end) of a click in a `channel`, and its error, linear."""

    start: int
    end: int
    channel: int
    error: float


class ClickFinder:
    """Find clicks in a stream of (C, n) blocks at `rate` Hz. Only one block and a few frames are kept in memory."""

    def __init__(self, rate: int):
        self.rate = rate
        self.frame = max(int(FRAME * rate), 4 * ORDER)
        self.around, self.half = int(AROUND * rate), max(int(LONGEST * rate / 2), 1)
        self.spikes: list[Spike] = []
        self._held: np.ndarray | None = None
        self.edge = EDGE_FRAMES * self.frame
        self._start = -self.edge  # of the held samples, always at a frame

    def push(self, block: np.ndarray) -> None:
        """Take the next (C, n) samples."""
        if self._held is None:
            self._held = np.zeros((len(block), self.edge))
        self._held = np.concatenate([self._held, block], axis=1)
        frames = self._held.shape[1] // self.frame
        if frames > 2 * EDGE_FRAMES:
            self._search(self._held[:, : frames * self.frame])
            searched = (frames - 2 * EDGE_FRAMES) * self.frame
            self._held, self._start = self._held[:, searched:], self._start + searched

    def _search(self, x: np.ndarray) -> None:
        """Search all frames of x (C, K frame) but those at its edges."""
        length = 2 * self.half + 1
        span = self.around - length
        reach = length + span // 2
        for channel, wave in enumerate(x):
            if not wave.any() or self.too_many:
                continue
            before, behind = prediction_errors(wave, self.frame)
            error = np.minimum(*(largest_around(one, length) for one in (before, behind)))
            largest = largest_around(error, max(span, 1))
            around = np.maximum(np.roll(largest, reach), np.roll(largest, -reach))
            large = np.flatnonzero(error[self.edge : -self.edge] > TIMES * around[self.edge : -self.edge]) + self.edge
            for places in np.split(large, np.flatnonzero(np.diff(large) > 1) + 1):
                if places.size:
                    best = places[np.argmax(error[places] / (around[places] + 1e-30))]
                    self._keep(wave, before, behind, int(best), float(around[best]), float(error[best]), channel)

    def _keep(
        self,
        wave: np.ndarray,
        before: np.ndarray,
        behind: np.ndarray,
        place: int,
        around: float,
        error: float,
        channel: int,
    ) -> None:
        """Keep the click at `place`, unless it is small compared with the sound around it.

        It begins where the prediction from the samples before fails, and ends where the prediction from those after fails.
        """
        first = place - 2 * self.half
        near = slice(first, place + 2 * self.half + 1)
        start = first + int(np.flatnonzero(before[near] > EDGE * around)[0]) - MARGIN
        end = first + int(np.flatnonzero(behind[near] > EDGE * around)[-1]) + 1 + MARGIN
        sides = np.concatenate([wave[place - self.around : start], wave[max(end, 0) :][: self.around]])
        level = np.sqrt(np.mean(np.square(sides)))  # 0 around the pulses of a metronome
        if start < end and error >= LOUD * level > 0:
            self.spikes.append(Spike(self._start + start, self._start + end, channel, error))

    @property
    def too_many(self) -> bool:
        """Return whether there are so many clicks that they belong to the sound."""
        return len(self.spikes) > MOST

    def found(self, levels: LevelTrack) -> list[Gap]:
        """End the recording and return its clicks. `levels`: those of its channels."""
        if self._held is not None:
            if self._start + self._held.shape[1] < 2 * self.around:  # too short to judge
                self.spikes.clear()
                return []
            self.push(np.zeros((len(self._held), self.edge + self.frame)))
            self._held = None
        if self.too_many:
            return []
        heard = [
            spike for spike in self.spikes if spike.error > FAINTEST * levels.of(spike.channel, spike.start, self.rate)
        ]
        return sorted(Gap(spike.start, spike.end, spike.channel, CLICK) for spike in heard)


def prediction_errors(wave: np.ndarray, frame: int) -> np.ndarray:
    """Return the errors (2, K frame) of predicting each sample of `wave` from the samples before and from those after it.

    Each frame has its own coefficients, from the autocorrelation of the frame and half of its neighbors.
    """
    half = frame // 2
    around = np.lib.stride_tricks.sliding_window_view(np.pad(wave, half), 2 * half + frame)[::frame]
    usual = CLIPPED * np.median(np.abs(around), axis=1, keepdims=True)
    around = np.clip(around, -usual, usual)  # otherwise a loud click would dominate the coefficients
    power = np.abs(np.fft.rfft(around * np.hanning(around.shape[1]), 2 * around.shape[1])) ** 2
    correlation = np.fft.irfft(power)[:, : ORDER + 1]
    correlation[:, 0] *= 1 + 1e-6
    a = _levinson(correlation)
    padded = np.lib.stride_tricks.sliding_window_view(np.pad(wave, ORDER), 2 * ORDER + frame)[::frame]
    before, behind = np.zeros((2, len(a), frame))
    for lag in range(ORDER + 1):
        before += a[:, lag, None] * padded[:, ORDER - lag : ORDER - lag + frame]
        behind += a[:, lag, None] * padded[:, ORDER + lag : ORDER + lag + frame]
    return np.abs([before.reshape(-1), behind.reshape(-1)])


def _levinson(correlation: np.ndarray) -> np.ndarray:
    """Return coefficients (K, p + 1), the first of each 1, for autocorrelations (K, p + 1)."""
    a = np.zeros_like(correlation)
    a[:, 0] = 1.0
    error = np.maximum(correlation[:, 0], 1e-30)
    for k in range(1, correlation.shape[1]):
        r = -(a[:, :k] * correlation[:, k:0:-1]).sum(axis=1) / error
        a[:, : k + 1] += r[:, None] * a[:, k::-1].copy()
        error = np.maximum(error * (1 - r * r), 1e-30)
    return a
