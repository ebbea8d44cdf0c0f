"""Lower the true peaks of a streaming signal by a gain that falls ahead of them and recovers slowly.

In dB, the reduction of a sample is the largest that a peak in the LOOK_AHEAD needs, falls by RELEASE_DB a second at most, and
is averaged over the LOOK_AHEAD before it, by a Hann window. So it is complete when the peak arrives, without a step. All
channels share it. The result is not delayed, and the memory is fixed.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from enhance_cli.audio.levels.true_peaks import CONTEXT, TruePeaks
from enhance_cli.audio.running_maximum import running_maximum

LOOK_AHEAD = 0.01  # seconds
RELEASE_DB = 60.0  # per second
_HEARD_DB = 0.1  # a smaller reduction does not count in `share`


class Limiter:
    """Limit one signal of (C, n) blocks. `most` is the largest reduction so far, in dB."""

    def __init__(self, rate: int, channels: int, threshold: float):
        """Set the highest true peak, `threshold`, linear."""
        self._threshold, self._peaks = threshold, TruePeaks(channels, above=threshold)
        self._ahead = 2 * max(round(LOOK_AHEAD * rate / 2), 1)  # samples, even
        window = np.hanning(self._ahead + 3)[1:-1]
        self._window, self._fall = window / window.sum(), RELEASE_DB / rate
        self._held = np.zeros((channels, CONTEXT + self._ahead))
        self._needed = np.zeros(self._ahead)  # in dB, as the following two
        self._falling = 0.0
        self._recent = np.zeros(self._ahead)
        self.most, self._frames, self._limited = 0.0, 0, 0

    @property
    def share(self) -> float:
        """Return the share of the samples so far that were lowered by more than 0.1 dB."""
        return self._limited / max(self._frames, 1)

    def run(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the limited signal, with as many samples as `blocks` in total, of the same type."""
        late = self._held.shape[1]
        for block in (block for block in blocks if block.shape[1]):
            limited = self._push(block, late)
            late = max(late - block.shape[1], 0)
            if limited.shape[1]:
                yield limited
        yield self._push(np.zeros_like(self._held), late)

    def _push(self, block: np.ndarray, late: int) -> np.ndarray:
        """Return the signal that is complete with the next (C, n) samples, without the first `late` ones before its start."""
        count = block.shape[1]
        held = np.concatenate([self._held.astype(block.dtype), block], axis=1)
        self._held = held[:, count:]
        reduction = self._smoothed(self._peaks.push(block) / self._threshold)[late:]
        ready = held[:, late:count]
        self._frames += reduction.size
        if not reduction.any():
            return ready
        self.most = max(self.most, float(reduction.max()))
        self._limited += int(np.count_nonzero(reduction > _HEARD_DB))
        return ready * (10 ** (-reduction / 20)).astype(block.dtype)

    def _smoothed(self, excess: np.ndarray) -> np.ndarray:
        """Return the reduction (n,) in dB of n samples, `_ahead` before those whose peaks exceed the threshold by `excess`."""
        needed = 20 * np.log10(np.maximum(excess, 1.0))
        joined, count = np.concatenate([self._needed, needed]), needed.size
        self._needed = joined[count:]
        if not (joined.any() or self._falling or self._recent.any()):
            return np.zeros(count)
        largest = running_maximum(joined, self._ahead + 1)
        fallen = self._fall * np.arange(1, count + 1)
        falling = np.maximum(np.maximum.accumulate(largest + fallen), self._falling) - fallen
        self._falling = max(float(falling[-1]), 0.0)
        joined = np.concatenate([self._recent, np.maximum(falling, 0.0)])
        self._recent = joined[count:]
        return np.convolve(joined, self._window, "valid")
