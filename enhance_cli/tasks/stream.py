"""Measure recordings, and hold back the input of a stream until its result is ready, for all tasks."""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.read import HIGHEST_RATE, LOWEST_RATE, MOST_CHANNELS
from enhance_cli.errors import AudioError, UsageError

Pair = tuple[np.ndarray, np.ndarray]  # input (C, n), and the samples made for it (..., n)


def whole_rate(rate: float) -> int:
    """Return a sample rate in Hz as an integer, also for 16000.0. Raises UsageError for an impossible rate."""
    if isinstance(rate, (int, float, np.number)) and LOWEST_RATE <= rate <= HIGHEST_RATE and rate == int(rate):
        return int(rate)
    raise UsageError(f"rate {rate!r}: must be whole Hz from {LOWEST_RATE} to {HIGHEST_RATE}", "as in 48000")


def measured(audio: np.ndarray, rate: int) -> Meter:
    """Return the level of a whole recording (C, N) in memory, full scale 1.

    Raises UsageError for audio of another shape or type, AudioError for samples that are not finite.
    """
    refuse_other_arrays(audio)
    if not np.isfinite(audio).all():
        raise AudioError("the audio holds samples that are not finite", "repair it first")
    level = Meter(rate, audio.shape[0], loudness=False)
    level.push(audio)
    return level


def as_float32(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield blocks as float32, in which models compute. Those of files with more precision arrive as float64."""
    return (block.astype(np.float32, copy=False) for block in blocks)


def refuse_other_arrays(audio: np.ndarray) -> None:
    """Raise UsageError unless `audio` has the shape (C, N) and real floats, which alone have a full scale of 1."""
    if audio.dtype.kind != "f":
        hint = "pass the array of soundfile.read, or samples / 32768 for int16"
        raise UsageError(f"audio of type {audio.dtype} is not an array of floats, full scale 1", hint)
    if audio.ndim != 2 or not 0 < audio.shape[0] <= MOST_CHANNELS:
        hint = "pass (channels, samples): soundfile gives the transpose, audio.T"
        if audio.ndim > 2:
            hint = "pass one recording (channels, samples) at a time"
        raise UsageError(f"audio of shape {audio.shape} is not a recording of 1 to {MOST_CHANNELS} channels", hint)


class Waiting:
    """Hold the blocks (..., n) of the input until their result is ready. `samples`: number of samples held."""

    def __init__(self) -> None:
        self.held: deque[np.ndarray] = deque()
        self.samples = 0

    def pass_through(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.add(block)
            yield block

    def add(self, block: np.ndarray) -> None:
        self.held.append(block)
        self.samples += block.shape[-1]

    def take(self, count: int) -> np.ndarray:
        """Return the next `count` samples (..., count), which must have arrived."""
        parts, missing = [], count
        self.samples -= count
        while missing:
            block = self.held.popleft()
            if block.shape[-1] > missing:
                self.held.appendleft(block[..., missing:])
                block = block[..., :missing]
            parts.append(block)
            missing -= block.shape[-1]
        return np.concatenate(parts, axis=-1)


def paired(waiting: Waiting, blocks: Iterable[np.ndarray]) -> Iterator[Pair]:
    """Yield each block (..., m) after the waiting input that it was computed from, cut at the end of the input."""
    for made in blocks:
        count = min(made.shape[-1], waiting.samples)
        if count:
            yield waiting.take(count), made[..., :count]
