"""Find digital dropouts in a stream: samples that do not change within sound, caused by buffers and lost packets.

A dropout begins and ends abruptly in the middle of sound. Before pauses of gates and synthetic voices, sound fades.
Crests of square waves and of clipped sound are not dropouts either, since they lie at the limits of the range, or recur.
"""

from dataclasses import dataclass

import numpy as np

from enhance_cli.audio.gaps.gap import Gap, smallest_step
from enhance_cli.audio.levels.level_track import LevelTrack

DROPOUT, PACKET = "dropout", "lost packet"
SHORTEST_ZEROS, SHORTEST_HELD, LONGEST = 0.001, 0.0025, 1.0  # seconds
AROUND = 0.005  # seconds on either side that must be sound
QUIETEST = 10 ** (-30 / 20)  # least level of the sound, relative to the level around it
FAINTEST = 10 ** (-78 / 20)  # least level of the sound, relative to full scale: that of noise of 16 bits is lower
# Least level of the sound in steps of the sample format, since faint sound with few bits may not change
FEWEST_STEPS = 12
CREST = 0.9  # highest constant value of a dropout, relative to the range of the sound around it
PACKETS = (0.02, 0.01)  # seconds: lost packets have a multiple of one of these lengths
MOST_LOST = 0.1  # seconds of packets in a row, since rests of music may last a round number of milliseconds as well
RECURRING, WITHIN, SHORT = 3, 0.05, 0.008  # more than 3 runs within 50 ms, each below 8 ms, belong to a waveform
MOST = 10_000  # dropouts in a recording: if there are more, they belong to its sound


@dataclass(frozen=True, order=True)
class Run:
    """Hold a run [start, end) of equal samples in a `channel`, and the level of the quieter of its two sides."""

    start: int
    end: int
    channel: int
    level: float
    zero: bool


class DropoutFinder:
    """Find dropouts in a stream of (C, n) blocks at `rate` Hz. About the longest possible dropout is kept in memory."""

    def __init__(self, rate: int):
        self.rate = rate
        self.around = max(int(AROUND * rate), 2)
        self.keep = int(LONGEST * rate) + 2 * self.around
        self.runs: list[Run] = []
        self._held: np.ndarray | None = None
        # Number of the first sample in memory, and of the first one that was not searched yet
        self._start = self._next = 0
        self._step = np.inf

    def push(self, block: np.ndarray) -> None:
        """Take the next (C, n) samples."""
        self._held = block.copy() if self._held is None else np.concatenate([self._held, block], axis=1)
        self._step = min(self._step, smallest_step(block))
        ready = self._held.shape[1] - self.around  # after runs that end before this sample, all of the sound is known
        first = self._next - self._start
        for channel, x in enumerate(self._held):
            for begin, end in _equal_runs(x, max(int(SHORTEST_ZEROS * self.rate), 4)):
                if first <= end < ready and begin >= self.around and len(self.runs) <= MOST:
                    self._consider(x, begin, end, channel)
        self._next = self._start + max(ready, first)
        drop = max(self._held.shape[1] - self.keep, 0)
        self._held, self._start = self._held[:, drop:], self._start + drop

    def _consider(self, x: np.ndarray, begin: int, end: int, channel: int) -> None:
        value, sides = x[begin], (x[begin - self.around : begin], x[end : end + self.around])
        level = min(float(np.sqrt(np.mean(np.square(side)))) for side in sides)
        if level < FAINTEST or end - begin > LONGEST * self.rate:
            return
        if value != 0:  # the first of the equal samples is the last sample of the sound
            crest = max(float(np.abs(side).max()) for side in sides)
            if end - begin < SHORTEST_HELD * self.rate or abs(value) > CREST * crest:
                return
            begin += 1
        self.runs.append(Run(self._start + begin, self._start + end, channel, level, bool(value == 0)))

    @property
    def too_many(self) -> bool:
        """Return whether there are so many runs that they belong to the sound."""
        return len(self.runs) > MOST

    def found(self, levels: LevelTrack) -> list[Gap]:
        """Return the dropouts of a recording whose channels have these `levels`."""
        if self.too_many:
            return []
        least = lambda run: max(QUIETEST * levels.of(run.channel, run.start, self.rate), FEWEST_STEPS * self._step)
        loud = sorted(run for run in self.runs if run.level > least(run))
        starts = [
            np.array([run.start for run in loud if run.channel == channel]) for channel in range(len(levels.overall))
        ]
        gaps: dict[tuple[int, int], list[Run]] = {}
        for run in loud:
            first, last = np.searchsorted(starts[run.channel], run.start + WITHIN * self.rate * np.array([-1, 1]))
            if run.end - run.start >= SHORT * self.rate or last - first <= RECURRING:
                gaps.setdefault((run.start, run.end), []).append(run)
        return [
            Gap(start, end, channel, self._kind(runs[0]))
            for (start, end), runs in gaps.items()
            for channel in ([-1] if len(runs) == len(levels.overall) else [run.channel for run in runs])
        ]

    def _kind(self, run: Run) -> str:
        length = run.end - run.start
        packet = any(length > size / 2 and abs(length - round(length / size) * size) <= 1 for size in self._sizes())
        return PACKET if run.zero and packet and length <= MOST_LOST * self.rate + 1 else DROPOUT

    def _sizes(self) -> list[float]:
        return [size * self.rate for size in PACKETS]


def _equal_runs(x: np.ndarray, shortest: int) -> list[tuple[int, int]]:
    """Return where at least `shortest` samples of x (n,) are equal, as [begin, end)."""
    edges = np.flatnonzero(np.diff(x) != 0) + 1
    edges = np.concatenate([[0], edges, [len(x)]])
    long = np.flatnonzero(np.diff(edges) >= shortest)
    return [(int(edges[n]), int(edges[n + 1])) for n in long]
