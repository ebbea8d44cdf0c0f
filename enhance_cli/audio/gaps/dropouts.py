"""Find digital dropouts in a stream: samples that stay the same within sound, as buffers and lost packets leave them.

A dropout begins and ends in the middle of sound. Pauses of gates and of synthetic voices do not: sound fades before them.
Crests of square waves and of clipped sound are no dropouts either: they lie at the ends of the range, or recur.
"""

from dataclasses import dataclass

import numpy as np

from enhance_cli.audio.gaps.gap import Gap, smallest_step

DROPOUT, PACKET = "dropout", "lost packet"
SHORTEST_ZEROS, SHORTEST_HELD, LONGEST = 0.001, 0.0025, 1.0  # seconds
AROUND = 0.005  # seconds on either side that have to be sound
QUIETEST = 10 ** (-30 / 20)  # of the active level, to be sound
FAINTEST = 10 ** (-60 / 20)  # of full scale
FEWEST_STEPS = 12  # of the sample format: fainter sound of few bits stands still by itself
CREST = 0.9  # of the range around, which a held value of a dropout stays below
PACKETS = (0.02, 0.01)  # seconds: lengths of which a lost packet is a multiple
RECURRING, WITHIN, SHORT = 3, 0.05, 0.008  # so many others within so many seconds are a waveform, if they are so short
MOST = 10_000  # in a recording: more of them belong to its sound


@dataclass(frozen=True, order=True)
class Run:
    """Hold a run [start, end) of equal samples in a `channel`, and the level of the quieter of its two sides."""

    start: int
    end: int
    channel: int
    level: float
    zero: bool


class DropoutFinder:
    """Find dropouts in (C, n) blocks at `rate` Hz that are pushed. Memory holds a little more than the longest of them."""

    def __init__(self, rate: int):
        self.rate = rate
        self.around = max(int(AROUND * rate), 2)
        self.keep = int(LONGEST * rate) + 2 * self.around
        self.runs: list[Run] = []
        self._held: np.ndarray | None = None
        self._start = self._next = 0  # of the held samples, first sample that no run has been searched from
        self._step = np.inf

    def push(self, block: np.ndarray) -> None:
        """Take the next (C, n) samples."""
        self._held = block.copy() if self._held is None else np.concatenate([self._held, block], axis=1)
        self._step = min(self._step, smallest_step(block))
        ready = self._held.shape[1] - self.around  # a run that ends before has its other side
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
        if value != 0:  # the first of the held samples is the last of the sound
            crest = max(float(np.abs(side).max()) for side in sides)
            if end - begin < SHORTEST_HELD * self.rate or abs(value) > CREST * crest:
                return
            begin += 1
        self.runs.append(Run(self._start + begin, self._start + end, channel, level, bool(value == 0)))

    @property
    def too_many(self) -> bool:
        """Tell whether there are so many that they belong to the sound."""
        return len(self.runs) > MOST

    def found(self, active: np.ndarray) -> list[Gap]:
        """Return the dropouts of a recording whose channels have the `active` levels (C,)."""
        if self.too_many:
            return []
        least = np.maximum(QUIETEST * active, FEWEST_STEPS * self._step)
        loud = sorted(run for run in self.runs if run.level > least[run.channel])
        starts = [np.array([run.start for run in loud if run.channel == channel]) for channel in range(len(active))]
        gaps: dict[tuple[int, int], list[Run]] = {}
        for run in loud:
            first, last = np.searchsorted(starts[run.channel], run.start + WITHIN * self.rate * np.array([-1, 1]))
            if run.end - run.start >= SHORT * self.rate or last - first <= RECURRING:
                gaps.setdefault((run.start, run.end), []).append(run)
        return [
            Gap(start, end, channel, self._kind(runs[0]))
            for (start, end), runs in gaps.items()
            for channel in ([-1] if len(runs) == len(active) else [run.channel for run in runs])
        ]

    def _kind(self, run: Run) -> str:
        length = run.end - run.start
        packet = any(length > size / 2 and abs(length - round(length / size) * size) <= 1 for size in self._sizes())
        return PACKET if run.zero and packet else DROPOUT

    def _sizes(self) -> list[float]:
        return [size * self.rate for size in PACKETS]


def _equal_runs(x: np.ndarray, shortest: int) -> list[tuple[int, int]]:
    """Return where at least `shortest` samples of x (n,) are equal, as [begin, end)."""
    edges = np.flatnonzero(np.diff(x) != 0) + 1
    edges = np.concatenate([[0], edges, [len(x)]])
    long = np.flatnonzero(np.diff(edges) >= shortest)
    return [(int(edges[n]), int(edges[n + 1])) for n in long]
