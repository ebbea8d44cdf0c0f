"""Cut a stream of audio into windows with enough context for the model, and join their results.

Every window has a core and up to `margin` samples of context on either side (less at the ends of the file). The cores tile
the file. If the margin is as large as the model's receptive field, the joined cores equal the result of the whole file. For a
model without a finite receptive field, neighbors cross-fade around the border of their cores instead.

Without fades, all windows but the last ones have one length: the first has a longer core, since nothing precedes it. So a
runtime that has computed one window has allocated the memory for all of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

PIECE = 16384  # samples of a result that are yielded at a time, so that resampling and writing hold no more of them in memory


@dataclass(frozen=True)
class Window:
    """Hold `audio` (C, n).

    Its samples [skip, skip + length) are the core, and `start` is the position of `audio` in the file.
    """

    audio: np.ndarray
    start: int
    skip: int
    length: int


@dataclass(frozen=True)
class WindowPlan:
    """Describe how a stream is cut, in samples: `core` and `margin` of the windows, and `fade` on either side of a border."""

    core: int
    margin: int
    fade: int

    @property
    def whole(self) -> int:
        """Return the length of a window with both margins."""
        return self.core + 2 * self.margin

    @classmethod
    def exact(cls, window: int, reach: int, *, grid: int) -> "WindowPlan":
        """Plan windows whose joined results equal that of the whole stream. `reach`: receptive field on either side.

        Cores and margins are multiples of `grid`.
        """
        return cls(max(1, window // grid) * grid, -(-reach // grid) * grid, 0)

    @classmethod
    def faded(cls, window: int, fade: int, *, around: int = 0, grid: int) -> "WindowPlan":
        """Plan windows that fade into each other, without a finite receptive field. `around`: further samples of margin."""
        return cls(max(1, window // grid) * grid, -(-(fade + around) // grid) * grid, fade)

    def cut(self, blocks: Iterable[np.ndarray]) -> Iterator[Window]:
        """Yield windows over a stream of (C, n) blocks, in order. Memory holds one window and one block."""
        held: list[np.ndarray] = []
        start = position = available = 0  # of the held audio, of the next core, end of the held audio: all in the file
        core = self.core if self.fade else self.core + self.margin
        for block in blocks:
            held.append(block)
            available += block.shape[1]
            while available >= position + core + self.margin:
                audio = _joined(held)
                end = position + core + self.margin
                yield Window(audio[:, : end - start], start, position - start, core)
                position += core
                core = self.core
                drop = max(position - self.margin, 0) - start
                held, start = [audio[:, drop:]], start + drop
        while position < available:
            audio = _joined(held)
            length = min(core, available - position)
            end = min(position + length + self.margin, available)
            yield Window(audio[:, : end - start], start, position - start, length)
            position += length
            core = self.core
            drop = max(position - self.margin, 0) - start
            held, start = [audio[:, drop:]], start + drop

    def join(self, done: Iterable[tuple[Window, np.ndarray]], *, keep_power: bool = False) -> Iterator[np.ndarray]:
        """Yield the results (R, n) of consecutive windows as one stream, in pieces. Each covers its window's whole `audio`.

        Around every border the one window's result fades linearly into the other's, over `fade` samples on either side as
        far as the margins reach. With `keep_power` the sum is raised where the two differ, so that it is as loud as they are.
        """
        tail = None
        for window, result in done:
            begin, end = window.skip, window.skip + window.length
            if tail is not None:
                half = tail.shape[1] // 2
                ramp = (np.arange(2 * half, dtype=np.float32) + 0.5) / max(2 * half, 1)
                head = result[:, begin - half : begin + half]
                mixed = tail + ramp * (head - tail)
                yield mixed / _power(ramp, tail, head) if keep_power else mixed
                begin += half
            half = min(self.fade, result.shape[1] - end)
            for position in range(begin, end - half, PIECE):
                yield result[:, position : min(position + PIECE, end - half)]
            tail = result[:, end - half : end + half]


def _joined(blocks: list[np.ndarray]) -> np.ndarray:
    """Return (C, n) blocks end to end. A long block by itself is not copied again for each of its windows."""
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)


def _power(ramp: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return the level of a fade along `ramp` (n,) between two equally loud signals (R, n): 1 if they are the same."""
    energies = [float(np.vdot(a, b)) for a, b in ((old, new), (old, old), (new, new))]
    alike = max(energies[0], 0.0) / max((energies[1] * energies[2]) ** 0.5, 1e-20) if energies[1] * energies[2] else 1.0
    return np.sqrt((1 - ramp) ** 2 + ramp**2 + 2 * min(alike, 1.0) * ramp * (1 - ramp)).astype(old.dtype)
