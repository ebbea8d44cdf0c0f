"""Find clicks in a stream: a few samples that cannot be predicted from those before them, nor from those behind.

Both errors of a short linear prediction, of a sample from those before it and from those behind it, exceed all of their
surroundings many times. The pulses of a voice recur, plosives and drums go on: neither is alone on both sides.
"""

from dataclasses import dataclass

import numpy as np

from enhance_cli.audio.gaps.gap import Gap

CLICK = "click"
ORDER = 20
FRAME = 0.04  # seconds with the same coefficients
LONGEST = 0.002  # seconds of a click
AROUND = 0.025  # seconds on either side that it is alone in
CLIPPED = 3.0  # times the median, above which samples count no more for the coefficients
TIMES = 7.0  # as large as the largest error around
LOUD = 1.5  # times the level of the sound around
EDGE = 3.0  # times, down to which the errors belong to it
FAINTEST = 10 ** (-30 / 20)  # of the active level
EDGE_FRAMES = 2  # on either side of those that are searched, which the errors around them depend on
MARGIN = 2  # samples more on either side
MOST = 10_000  # in a recording: more of them belong to its sound


@dataclass(frozen=True, order=True)
class Spike:
    """Hold the samples [start, end) of a click in a `channel`, and its error, linear."""

    start: int
    end: int
    channel: int
    error: float


class ClickFinder:
    """Find clicks in (C, n) blocks at `rate` Hz that are pushed. Memory holds a block and some frames."""

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
        from scipy.ndimage import maximum_filter1d

        length = 2 * self.half + 1
        span = self.around - length
        reach = length + span // 2
        for channel, wave in enumerate(x):
            if not wave.any() or self.too_many:
                continue
            before, behind = prediction_errors(wave, self.frame)
            error = np.minimum(*(maximum_filter1d(one, length, mode="constant") for one in (before, behind)))
            largest = maximum_filter1d(error, max(span, 1), mode="constant")
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
        """Keep the click at `place`, unless it is small beside the sound around it.

        The first sample of a click differs from those before it, the last from those behind it.
        """
        first = place - 2 * self.half
        near = slice(first, place + 2 * self.half + 1)
        start = first + int(np.flatnonzero(before[near] > EDGE * around)[0]) - MARGIN
        end = first + int(np.flatnonzero(behind[near] > EDGE * around)[-1]) + 1 + MARGIN
        sides = np.concatenate([wave[place - self.around : start], wave[max(end, 0) :][: self.around]])
        if start < end and error >= LOUD * np.sqrt(np.mean(np.square(sides))):
            self.spikes.append(Spike(self._start + start, self._start + end, channel, error))

    @property
    def too_many(self) -> bool:
        """Tell whether there are so many that they belong to the sound."""
        return len(self.spikes) > MOST

    def found(self, active: np.ndarray) -> list[Gap]:
        """Return the clicks of the recording, which ends here. Its channels have the `active` levels (C,)."""
        if self._held is not None:
            if self._start + self._held.shape[1] < 2 * self.around:  # too short to be alone in
                self.spikes.clear()
                return []
            self.push(np.zeros((len(self._held), self.edge + self.frame)))
            self._held = None
        if self.too_many:
            return []
        heard = [spike for spike in self.spikes if spike.error > FAINTEST * active[spike.channel]]
        return sorted(Gap(spike.start, spike.end, spike.channel, CLICK) for spike in heard)


def prediction_errors(wave: np.ndarray, frame: int) -> np.ndarray:
    """Return the errors (2, K frame) of the prediction of each sample of `wave` from before and from behind it.

    Each frame has coefficients of its own, by the autocorrelation of the frame and half of its neighbors.
    """
    half = frame // 2
    around = np.lib.stride_tricks.sliding_window_view(np.pad(wave, half), 2 * half + frame)[::frame]
    usual = CLIPPED * np.median(np.abs(around), axis=1, keepdims=True)
    around = np.clip(around, -usual, usual)  # else a loud click would shape the coefficients that are to reveal it
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
