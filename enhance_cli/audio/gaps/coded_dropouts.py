"""Find dropouts in a stream that went through a lossy codec: sound that nearly stops and resumes, each within milliseconds.

After MP3, AAC, Vorbis or Opus, a dropout has no run of zeros that audio.gaps.dropouts could find. It has a core that is
quieter than any room, with echoes of up to 20 ms on either side. Neither voices nor instruments stop and start that fast,
and gates fade.
"""

from dataclasses import dataclass

import numpy as np

from enhance_cli.audio.gaps.dropouts import DROPOUT, FAINTEST, LONGEST, MOST, QUIETEST
from enhance_cli.audio.gaps.gap import Gap, smallest_step
from enhance_cli.audio.levels.level_track import LevelTrack

FRAME = 0.0005  # seconds
CORE_SECONDS, CORE = 0.004, 10 ** (-80 / 20)  # shortest core in seconds, and highest peak in it, of full scale
# "The sound" beside a core is the loudest 5 ms (SIDE) within 30 ms (ECHO). The following are relative to its level
CORE_BELOW = 10 ** (-40 / 20)  # highest peak in a core
SWING = 10 ** (-20 / 20)  # highest mean of a frame in a core, since Opus leaves slow oscillations there
ECHO = 0.03  # seconds
SIDE = 0.005  # seconds
EDGE = 10 ** (-12 / 20)  # the sound ends at the last peak above this
STEEP, WITHIN = 10 ** (-20 / 20), 0.003  # the level falls below this within so many seconds
LOUD = 10 ** (-6 / 20)  # least level of the last 5 ms of the sound


@dataclass(frozen=True, order=True)
class Hole:
    """Hold the frames [start, end) of a dropout in a `channel`, and the level of the quieter of its two sides, linear."""

    start: int
    end: int
    channel: int
    level: float


class CodedDropoutFinder:
    """Find dropouts in a stream of (C, n) blocks at `rate` Hz. Levels of about a second are kept in memory."""

    def __init__(self, rate: int):
        self.rate = rate
        self.frame = max(round(FRAME * rate), 4)
        count = lambda seconds: max(round(seconds * rate / self.frame), 1)
        self.core, self.echo, self.side, self.within = map(count, (CORE_SECONDS, ECHO, SIDE, WITHIN))
        self.around = self.echo + self.side
        self.longest = count(LONGEST)
        self.holes: list[Hole] = []
        self._rest: np.ndarray | None = None
        self._peaks = self._powers = self._means = np.zeros((0, 0))  # the first two without the means
        # Number of the first frame in memory, and of the first frame at which a core may end
        self._start = self._next = 0
        self._step = np.inf

    def push(self, block: np.ndarray) -> None:
        """Take the next (C, n) samples."""
        self._step = min(self._step, smallest_step(block))
        held = block if self._rest is None else np.concatenate([self._rest, block], axis=1)
        whole = held.shape[1] // self.frame * self.frame
        self._rest = held[:, whole:].copy()
        frames = held[:, :whole].reshape(len(held), -1, self.frame)
        swings = frames - frames.mean(axis=2, keepdims=True)
        new = (
            np.abs(swings).max(axis=2, initial=0),
            np.square(swings, dtype=np.float64).mean(axis=2),
            frames.mean(axis=2),
        )
        if self._peaks.size:
            old = self._peaks, self._powers, self._means
            peaks, powers, means = (np.concatenate(both, axis=1) for both in zip(old, new, strict=True))
        else:
            peaks, powers, means = new
        ready = peaks.shape[1] - self.around
        first = self._next - self._start
        for channel in range(len(peaks)):
            for begin, end in _runs(peaks[channel] < CORE, self.core):
                if first <= end < ready and begin >= self.around and len(self.holes) <= MOST:
                    self._consider(peaks[channel], powers[channel], means[channel], begin, end, channel)
        self._next = self._start + max(ready, first)
        drop = max(peaks.shape[1] - self.longest - 2 * self.around, 0)
        self._peaks, self._powers, self._means = peaks[:, drop:], powers[:, drop:], means[:, drop:]
        self._start += drop

    def _consider(
        self, peaks: np.ndarray, powers: np.ndarray, means: np.ndarray, begin: int, end: int, channel: int
    ) -> None:
        """Keep the hole around the core [begin, end), if it is a dropout."""
        if end - begin > self.longest:
            return
        left = slice(begin - 1, begin - 1 - self.around, -1) if begin > self.around else slice(begin - 1, None, -1)
        before = self._edge(peaks[left], powers[left])
        behind = self._edge(peaks[end : end + self.around], powers[end : end + self.around])
        if before is None or behind is None:
            return
        level = min(before[1], behind[1])
        flat = np.abs(means[begin:end]).max() <= SWING * level
        if level >= FAINTEST and flat and peaks[begin:end].max() <= CORE_BELOW * level:
            start, stop = begin - before[0], end + behind[0]
            self.holes.append(Hole(self._start + start, self._start + stop, channel, level))

    def _edge(self, peaks: np.ndarray, powers: np.ndarray) -> tuple[int, float] | None:
        """Return the number of frames between the core and the sound beside it, and the level of that sound.

        `peaks` and `powers` belong to the frames beside the core, nearest first. Returns None if the sound fades.
        """
        levels = np.sqrt(np.convolve(powers, np.full(self.side, 1 / self.side), "valid"))  # of 5 ms from each frame on
        sound = float(levels.max())
        edge = int(np.argmax(peaks >= EDGE * sound))
        inside = powers[max(edge - self.within - 1, 0) : max(edge - self.within + 1, 0)]
        steep = not inside.size or np.sqrt(inside.max()) <= STEEP * sound
        if edge >= len(levels) or levels[edge] < LOUD * sound or not steep:
            return None
        return edge, sound

    @property
    def too_many(self) -> bool:
        """Return whether there are so many holes that they belong to the sound."""
        return len(self.holes) > MOST

    def found(self, levels: LevelTrack) -> list[Gap]:
        """Return the dropouts of a recording whose channels have these `levels`."""
        if self.too_many or self._step > CORE:  # with so few bits, every pause looks like a core
            return []
        loud = [
            hole
            for hole in self.holes
            if hole.level > QUIETEST * levels.of(hole.channel, hole.start * self.frame, self.rate)
        ]
        gaps = []
        for hole in loud:
            others = [one for one in loud if one.start < hole.end and hole.start < one.end]
            everywhere = len({one.channel for one in others}) == len(levels.overall)
            start, end = hole.start, hole.end
            if everywhere:
                start, end = min(one.start for one in others), max(one.end for one in others)
            gaps.append(Gap(start * self.frame, end * self.frame, -1 if everywhere else hole.channel, DROPOUT))
        return sorted(set(gaps))


def _runs(true: np.ndarray, shortest: int) -> list[tuple[int, int]]:
    """Return where at least `shortest` values of (n,) are true, as [begin, end)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]])))
    return [(int(begin), int(end)) for begin, end in zip(edges[::2], edges[1::2]) if end - begin >= shortest]
