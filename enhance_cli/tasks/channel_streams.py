"""Run a stream of its own for each channel, in the threads of an engine. While they compute, the next block is made ready."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future

import numpy as np

from enhance_cli.models.graphs.denoiser_stream import StreamingDenoiser
from enhance_cli.tasks.engine import Engine
from enhance_cli.tasks.stream import Waiting


def run_streams(
    engine: Engine, denoiser: StreamingDenoiser, channels: int, blocks: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """Yield the results (C, m) of blocks, which so many channels pass through streams of their own.

    `blocks`: rows (R C, n), those of all channels one after another, for models that refine followed by their estimates.
    """
    streams = [denoiser.open() for _ in range(channels)]
    asked: list[Future] = []

    def results() -> list[np.ndarray]:
        rows = [future.result() for future in asked]
        return [np.concatenate(rows)] if rows and rows[0].shape[1] else []

    try:
        for block, last in resized(blocks, denoiser.block):
            ready = results()
            asked = [engine.submit(stream.push, block[n::channels], last) for n, stream in enumerate(streams)]
            yield from ready
        yield from results()
    finally:
        for future in asked:
            future.cancel()


def resized(blocks: Iterable[np.ndarray], samples: int) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield blocks (R, n) of so many samples, and whether it is the last one, which may be shorter."""
    waiting = Waiting()
    for block in blocks:
        waiting.add(block)
        while waiting.samples > samples:
            yield waiting.take(samples), False
    if waiting.samples:
        yield waiting.take(waiting.samples), True
