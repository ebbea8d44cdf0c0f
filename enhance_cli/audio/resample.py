"""Resample by soxr, at once or in a stream, with exact lengths and without delay.

Sample k of the output is the signal at time k / rate_out. N samples in give exactly round(N * rate_out / rate_in) out,
half a sample rounded up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr


def resampled_length(n: int, rate_in: int, rate_out: int) -> int:
    """Return the number of samples that `n` samples become. Half a sample rounds up."""
    return (2 * n * rate_out + rate_in) // (2 * rate_in)


class Resampler:
    """Resample (C, n) blocks from `rate_in` to `rate_out` (Hz). Its results, joined, are the whole signal."""

    def __init__(self, rate_in: int, rate_out: int, channels: int, quality: str = "VHQ"):
        self.rate_in, self.rate_out, self.channels = rate_in, rate_out, channels
        self._taken = self._given = 0
        self._stream = None
        if rate_in != rate_out:
            self._stream = soxr.ResampleStream(rate_in, rate_out, channels, "float32", quality)

    def push(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """Take (C, n) samples and return the (C, m) that are ready, with `last` all the rest.

        Nothing may follow `last`.
        """
        if self._stream is None:
            return block
        self._taken += block.shape[1]
        samples = np.ascontiguousarray(block.T, dtype=np.float32)
        ready = self._stream.resample_chunk(samples, last=last).T
        if last:
            ready = _fit(ready, resampled_length(self._taken, self.rate_in, self.rate_out) - self._given)
        self._given += ready.shape[1]
        return np.ascontiguousarray(ready)


def resample_blocks(blocks: Iterable[np.ndarray], rate_in: int, rate_out: int, channels: int) -> Iterator[np.ndarray]:
    """Yield (C, n) blocks at `rate_in` as blocks at `rate_out`, to the last sample. At equal rates they stay as they are."""
    if rate_in == rate_out:
        yield from blocks
        return
    resampler = Resampler(rate_in, rate_out, channels)
    for block in blocks:
        yield resampler.push(block)
    yield resampler.push(np.zeros((channels, 0), np.float32), last=True)


def resample(audio: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """Return (C, N) at `rate_in` as (C, resampled_length(N)) at `rate_out`, float32."""
    return Resampler(rate_in, rate_out, audio.shape[0]).push(audio, last=True)


def _fit(block: np.ndarray, length: int) -> np.ndarray:
    """Return the block with exactly `length` samples. soxr rounds its total length in its own way."""
    missing = length - block.shape[1]
    return np.pad(block, ((0, 0), (0, missing))) if missing > 0 else block[:, :length]
