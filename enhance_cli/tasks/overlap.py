"""Cut a stream of audio into overlapping windows and average their results, as music separation programs do.

A window starts every `step` samples. The signal is extended at both ends, by its mirror image or by silence, so that as many
windows cover its first and last samples as any other. Results are averaged with weights that rise and fall over `fade` samples
at the ends of a window. Memory holds a few windows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from enhance_cli.tasks.windows import Window


@dataclass(frozen=True)
class OverlappingWindow(Window):
    """Hold a window whose core is the part of it that lies in the file.

    `first`: it begins before the extended signal, and its weights do not rise. `last`: it ends behind, and they do not fall.
    """

    first: bool
    last: bool


@dataclass(frozen=True)
class OverlapPlan:
    """Describe overlapping windows, in samples.

    Args:
        whole: length of a window.
        step: distance between the starts of two windows.
        fade: samples over which weights rise and fall.
        mirrored: extend signals that are longer than twice the overlap by their mirror image, and likewise pad the last
            window if more than half of it is there. Otherwise signals are extended and padded by silence.
    """

    whole: int
    step: int
    fade: int
    mirrored: bool

    @classmethod
    def of_model(cls, window: int, *, windows: int, fade: float, mirrored: bool) -> "OverlapPlan":
        """Plan windows of `window` samples, of which `windows` cover each sample. `fade`: share of a window."""
        return cls(window, window // windows, int(window * fade), mirrored)

    def cut(self, blocks: Iterable[np.ndarray]) -> Iterator[OverlappingWindow]:
        """Yield the windows over a stream of (C, n) blocks, in order."""
        stream, begun, end, border = iter(blocks), [], 0, self.whole - self.step
        while end <= 2 * border and (block := next(stream, None)) is not None:
            begun.append(block)
            end += block.shape[1]
        if not end:
            return
        audio = np.concatenate(begun, axis=1)
        if self.mirrored and end <= 2 * border:
            border = 0
        held = np.concatenate([self._continued(audio[:, 1 : border + 1], border), audio], axis=1)
        position = origin = -border  # of the next window and of the held samples, in the file
        for block in stream:
            while end > position + self.whole:
                yield self._window(held[:, position - origin :], position, end, border)
                position += self.step
                drop = min(position, end - border - 1) - origin
                held, origin = held[:, drop:], origin + drop
            held = np.concatenate([held, block], axis=1)
            end += block.shape[1]
        held = np.concatenate([held, self._continued(held[:, held.shape[1] - border - 1 : -1], border)], axis=1)
        while position < end:
            yield self._window(held[:, position - origin :], position, end, border)
            position += self.step

    def _continued(self, beside: np.ndarray, border: int) -> np.ndarray:
        return beside[:, ::-1] if self.mirrored else np.zeros((beside.shape[0], border), np.float32)

    def _window(self, audio: np.ndarray, position: int, end: int, border: int) -> OverlappingWindow:
        """Return the window that begins at `position` with `audio`. `end`: end of the file, as far as it has been read."""
        audio = audio[:, : self.whole]
        mirrored = self.mirrored and audio.shape[1] > self.whole // 2 + 1
        mode: Literal["reflect", "constant"] = "reflect" if mirrored else "constant"
        audio = np.pad(audio, ((0, 0), (0, self.whole - audio.shape[1])), mode=mode)
        skip = max(0, -position)
        length = min(end, position + self.whole) - position - skip
        last = position + self.whole >= end + border
        return OverlappingWindow(audio, position, skip, length, position == -border, last)

    def join(self, done: Iterable[tuple[Any, np.ndarray]]) -> Iterator[np.ndarray]:
        """Yield the mean (R, n) of the results (R, n) of the windows of `cut`, as one stream."""
        total, weight, origin = np.zeros((0, 0), np.float32), np.zeros(0, np.float32), 0
        for window, result in done:
            core = slice(window.skip, window.skip + window.length)
            begin = window.start + window.skip - origin
            missing = begin + window.length - len(weight)
            if missing > 0:
                rows = result.shape[0]
                total = np.concatenate([total.reshape(rows, -1), np.zeros((rows, missing), np.float32)], axis=1)
                weight = np.concatenate([weight, np.zeros(missing, np.float32)])
            weights = self._weights(window)[core]
            total[:, begin : begin + window.length] += result[:, core] * weights
            weight[begin : begin + window.length] += weights
            ready = min(max(window.start + self.step - origin, 0), len(weight))
            if ready:
                yield _mean(total[:, :ready], weight[:ready])
                total, weight, origin = total[:, ready:], weight[ready:], origin + ready
        if len(weight):
            yield _mean(total, weight)

    def _weights(self, window: OverlappingWindow) -> np.ndarray:
        weights = np.ones(self.whole, np.float32)
        rise = np.linspace(0, 1, self.fade, dtype=np.float32)
        if not window.first:
            weights[: self.fade] = rise
        if not window.last or window.first:  # a single window falls, as in the published programs
            weights[self.whole - self.fade :] = rise[::-1]
        return weights


def _mean(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
