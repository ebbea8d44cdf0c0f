"""Find lost packets that were concealed by repeating the sound before them: exact copies of the last 5 to 60 ms.

Recorded sound never repeats itself exactly. Synthetic sound does, so a repetition must also meet these conditions. It
consists of one to three copies of a whole packet, 60 ms at most, at the same level or lower. The sound jumps where the
copies begin and end: linear prediction fails there, while it works for the original samples. The original is not an attack
and has no period of its own. No longer repetition occurs within a second.
"""

from dataclasses import dataclass

import numpy as np

from enhance_cli.audio.gaps.gap import Gap
from enhance_cli.audio.gaps.linear_prediction import coefficients
from enhance_cli.audio.levels.level_track import LevelTrack

REPEATED = "repeated packet"
SHORTEST, LONGEST = 0.005, 0.06  # seconds: shortest packet, and longest repetition
MOST_COPIES = 3  # of a packet in a repetition
CHANCE = 0.0002  # seconds by which a repetition may seem longer, since the sound after it may agree by chance
WINDOW, STEP = 0.004, 0.001  # seconds: length of the windows whose signs are compared, and distance between them
AT_A_TIME = 250  # windows searched at once
FEWEST_CHANGES = 2  # of sign in a window that is compared
ALIKE = 32  # a window that resembles more places than this is compared with only one of them
FEWEST_VALUES = 16  # different values in a repetition. With fewer it is a waveform of a few levels
SOFTEST = 0.25  # least gain of a repetition
STEP_16 = 2.0**-15  # step of 16-bit samples, the rounding error that a gain causes
QUIETEST_STEPS = 64  # least level of an attenuated repetition, in such steps
HISTORY, ORDER = 0.02, 24  # seconds of sound, and coefficients, of the linear prediction
JUMP = 4.0  # least energy of the error at the start of a repetition, relative to that at the original samples
JUMP_BACK = 3.0  # least energy of the error after a repetition, relative to its median
FAINTEST_JUMP = 0.03  # least error at the start of a repetition, relative to the level
ATTACK_SECONDS, ATTACK = 0.005, 2.0  # an attack is so many times louder than the same time before
SHORTEST_PERIOD = 0.0005  # seconds, of a period within a packet
PERIODIC = 0.003  # a packet is periodic if successive periods differ by less than this share of its energy
QUIETEST, FAINTEST = 10 ** (-30 / 20), 10 ** (-60 / 20)  # least level, relative to the level around and to full scale
MOST = 10_000  # repetitions in a recording: if there are more, they belong to its sound


@dataclass(frozen=True, order=True)
class Repeat:
    """Hold a repetition [start, end) of the `lag` samples before it, its level, and whether it conceals a packet."""

    start: int
    end: int
    channel: int
    lag: int
    level: float
    packet: bool


class RepeatFinder:
    """Find repetitions in a stream of (C, n) blocks at `rate` Hz. A block and a fraction of a second are kept in memory."""

    def __init__(self, rate: int):
        self.rate = rate
        self.window = 1 << max(int(np.log2(WINDOW * rate)), 4)
        self.step = max(int(STEP * rate), 1)
        self.lags = int(SHORTEST * rate), int(LONGEST * rate)
        self.chance = max(int(CHANCE * rate), 2)
        self.history = int(HISTORY * rate) + ORDER
        self.behind = self.lags[1] + self.chance + 1 + ORDER
        self.before = -(-(self.behind + self.lags[1] + self.history) // self.step) * self.step
        self.repeats: set[Repeat] = set()
        self._synthetic: set[tuple[int, int]] = set()  # (channel, second) of synthetic sound
        self._held: np.ndarray | None = None
        self._start = -self.before  # of the held samples, always a multiple of the step

    def push(self, block: np.ndarray) -> None:
        """Take the next (C, n) samples."""
        if self._held is None:
            self._held = np.zeros((len(block), self.before))
        self._held = np.concatenate([self._held, block], axis=1)
        while self._steps >= AT_A_TIME:
            self._search(AT_A_TIME)

    @property
    def _steps(self) -> int:
        """Return the number of windows for which all necessary samples have arrived."""
        assert self._held is not None
        return (self._held.shape[1] - self.before - self.behind) // self.step

    def _search(self, steps: int) -> None:
        """Search the next windows. The first one begins `before` samples after the first sample in memory."""
        assert self._held is not None
        anchors = self.before + self.step * np.arange(steps)
        for channel, x in enumerate(self._held):
            done: dict[int, int] = {}  # lag -> end of the part that has been examined, in the held samples
            for anchor, lag in self._alike(x, anchors):
                if anchor >= done.get(lag, 0) and len(self.repeats) <= MOST:
                    done[lag] = self._consider(x, anchor, lag, channel)
        searched = steps * self.step
        self._held, self._start = self._held[:, searched:], self._start + searched

    def _alike(self, x: np.ndarray, anchors: np.ndarray) -> list[tuple[int, int]]:
        """Return the windows of x (n,) at `anchors` that equal earlier windows, each with its lag."""
        signs = x > 0
        changes = np.concatenate([[0], np.cumsum(signs[1:] != signs[:-1]), [0]])
        end = anchors + self.window - 1
        anchors = anchors[changes[end] - changes[anchors] >= FEWEST_CHANGES]
        if not anchors.size:
            return []
        hashes = _hashes(signs, self.window)
        shortest, longest = self.lags
        before = np.lib.stride_tricks.sliding_window_view(hashes, longest - shortest + 1)[anchors - longest]
        same = before == hashes[anchors, None]
        many = same.sum(axis=1) > ALIKE
        same[many] &= np.cumsum(same[many, ::-1], axis=1)[:, ::-1] == 1  # one period is enough
        rows, columns = np.nonzero(same)
        if not rows.size:
            return []
        anchors, lags = anchors[rows], longest - columns
        inside = np.arange(self.window)
        copies, sources = x[anchors[:, None] + inside], x[(anchors - lags)[:, None] + inside]
        gains = (copies * sources).sum(axis=1) / np.maximum(np.square(sources).sum(axis=1), 1e-30)
        near = np.abs(copies - gains[:, None] * sources).max(axis=1) <= STEP_16
        return [(int(anchor), int(lag)) for anchor, lag in zip(anchors[near], lags[near])]

    def _consider(self, x: np.ndarray, anchor: int, lag: int, channel: int) -> int:
        """Keep the repetition in x (n,) around the window at `anchor`, if it is one. Returns the end of the examined part."""
        first = anchor - self.behind
        near, source = x[first : anchor + self.behind], x[first - lag : anchor + self.behind - lag]
        window = slice(self.behind, self.behind + self.window)
        exact, gain = bool(np.array_equal(near[window], source[window])), 1.0
        if exact:
            begin, end = _around(near == source, self.behind)
        else:
            begin, end = _around(self._softer(near, source, window), self.behind)
            begin, end = _around(self._softer(near, source, slice(begin, end)), self.behind)
            gain = _gain(near[begin:end], source[begin:end])
        copies, beyond = divmod(end - begin, lag)
        if not copies:
            return first + end
        level = float(np.sqrt(np.mean(np.square(source[begin:end]))))
        loud = exact or SOFTEST <= gain < 1 and gain * level >= QUIETEST_STEPS * STEP_16
        if level < FAINTEST or not loud:
            return first + end
        begin, end = first + begin, first + end
        if copies > min(MOST_COPIES, self.lags[1] // lag):
            self._synthetic.add((channel, (self._start + begin) // self.rate))
        elif beyond <= self.chance and len(np.unique(x[begin:end])) >= FEWEST_VALUES:
            size = copies * lag
            around = x[begin - lag - self.history : begin + size + ORDER]
            packet = self._is_cut(around, lag, size, gain) and not self._is_synthetic(around[: self.history + lag], lag)
            self.repeats.add(Repeat(self._start + begin, self._start + begin + size, channel, lag, level, packet))
        return end

    def _softer(self, near: np.ndarray, source: np.ndarray, part: slice) -> np.ndarray:
        return np.abs(near - _gain(near[part], source[part]) * source) <= STEP_16

    def _is_cut(self, x: np.ndarray, lag: int, copy: int, gain: float) -> bool:
        """Return whether x (n,) jumps where a repetition of `copy` samples begins and ends, and not at the original samples.

        x has `history` samples, then the `lag` original samples, the repetition, and `ORDER` samples after it.
        """
        known = x[: self.history + lag]
        a = coefficients([known], [np.ones(len(known))], ORDER)
        errors = np.convolve(np.square(np.convolve(x, a, "valid")), np.full(ORDER, 1 / ORDER), "valid")
        first = self.history - ORDER
        usual, here, behind = errors[[first, first + lag, first + lag + copy]]
        median = np.median(errors[first : first + lag])
        level = np.square(known).mean()
        return bool(
            here > JUMP * gain**2 * usual and here > FAINTEST_JUMP**2 * level and behind > JUMP_BACK * gain**2 * median
        )

    def _is_synthetic(self, x: np.ndarray, lag: int) -> bool:
        """Return whether the last `lag` samples of x (n,) begin with an attack, or are periodic."""
        packet, size = x[-lag:], int(ATTACK_SECONDS * self.rate)
        if np.square(packet[:size]).sum() > ATTACK**2 * np.square(x[-lag - size : -lag]).sum():
            return True
        energy = PERIODIC * np.square(packet).sum()
        periods = range(max(int(SHORTEST_PERIOD * self.rate), 2), lag // 2 + 1)
        return any(np.square(packet[period:] - packet[:-period]).sum() < energy for period in periods)

    @property
    def too_many(self) -> bool:
        """Return whether there are so many repetitions that they belong to the sound."""
        return len(self.repeats) > MOST

    def found(self, levels: LevelTrack) -> list[Gap]:
        """End the recording and return its repetitions. `levels`: those of its channels."""
        if self._held is not None:
            self._held = np.concatenate([self._held, np.zeros((len(self._held), self.behind + self.step))], axis=1)
            while self._steps > 0:
                self._search(min(self._steps, AT_A_TIME))
            self._held = None
        if self.too_many:
            return []
        spans: dict[tuple[int, int, int], list[Repeat]] = {}
        for one in sorted(self.repeats):
            around = {(one.channel, one.start // self.rate + second) for second in (-1, 0, 1)}
            if one.level > QUIETEST * levels.of(one.channel, one.start, self.rate) and not around & self._synthetic:
                spans.setdefault((one.lag, one.start, one.end), []).append(one)
        gaps: list[Gap] = []
        taken: list[set[int]] = [set() for _ in levels.overall]  # the steps of each channel within a repetition
        for (_, start, end), ones in sorted(spans.items()):  # short packets first: two of them repeat the two before
            steps = set(range(start // self.step, end // self.step))
            free = [one for one in ones if not steps & taken[one.channel]]
            for one in free:
                taken[one.channel] |= steps
            if any(one.packet for one in free):
                channels = [-1] if len(free) == len(levels.overall) else [one.channel for one in free]
                gaps += [Gap(start, end, channel, REPEATED) for channel in channels]
        return sorted(gaps)


def _hashes(signs: np.ndarray, window: int) -> np.ndarray:
    """Return a number (n - window + 1,) for each run of `window` signs (n,), the same for the same signs."""
    hashes, length = signs.astype(np.uint64), 1
    while length < window:
        factor = np.uint64(0x9E3779B97F4A7C15 ^ (2 * length)) | np.uint64(1)
        hashes = hashes[:-length] * factor + hashes[length:]
        length *= 2
    return hashes


def _gain(copy: np.ndarray, source: np.ndarray) -> float:
    return float(copy @ source) / max(float(source @ source), 1e-30)


def _around(same: np.ndarray, place: int) -> tuple[int, int]:
    """Return the run of true values (n,) around `place`, as [begin, end). It is empty where `place` is false."""
    if not same[place]:
        return place, place
    others = np.flatnonzero(~same)
    index = int(np.searchsorted(others, place))
    begin = int(others[index - 1]) + 1 if index else 0
    return begin, int(others[index]) if index < len(others) else len(same)
