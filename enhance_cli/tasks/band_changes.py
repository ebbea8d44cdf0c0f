"""Compute the change that a denoising model makes to a stream in its own band, at the rate of the model.

`WindowChanges` is for networks that run in windows, `CarryingChanges` for those whose convolutions carry a state, a stream
for each channel, and `StreamChanges` for networks with memory. `RefinedChanges` is for models with a first stage: it runs as a
stream, and the model's own network refines its estimate in one of the first two ways, in the band below its Nyquist frequency.

All yield arrays (P, C, m) with the first P of these parts for each of C channels: the change (the clean estimate minus the
signal in the band), the signal in the band, and for networks that report it, the gain just below the end of the band minus 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from enhance_cli.audio.resample import resample_blocks
from enhance_cli.models.graphs.denoiser_stream import StreamingDenoiser
from enhance_cli.models.streams import Stream, maps_spectra, open_stream
from enhance_cli.tasks.channel_streams import run_streams
from enhance_cli.tasks.engine import Engine, Order, engine_for
from enhance_cli.tasks.options import DenoiseOptions
from enhance_cli.tasks.quiet_passages import QuietPassages
from enhance_cli.tasks.scale import Scale
from enhance_cli.tasks.stream import Waiting
from enhance_cli.tasks.windows import WindowPlan

if TYPE_CHECKING:
    from enhance_cli.models.graphs.denoiser import GraphDenoiser, GraphDenoiserModel
    from enhance_cli.models.load import Model
    from enhance_cli.models.windowed_denoiser import WindowedDenoiser

WINDOW_SECONDS = 5.0  # longer ones are a little faster, but several at a time take much more memory
UNBOUNDED_WINDOW_SECONDS = 10.0  # for networks without a finite receptive field
FADE_SECONDS = 0.5  # on either side of a border, for networks without a finite receptive field


class WindowChanges:
    """Compute changes in windows."""

    parts, tells_gain = 2, False

    def __init__(
        self, model: Model | GraphDenoiserModel, windowed: WindowedDenoiser | GraphDenoiser, options: DenoiseOptions
    ):
        self.rate, self.steps = model.spec.sample_rate, windowed.steps
        self.windowed, self.plan = windowed, plan_windows(model, windowed, options)
        longest = self.plan.whole if windowed.fills_up else 0
        self.engine = engine_for(model, self._run, options.batch_size, longest, options.threads)

    def of(
        self, blocks: Iterable[np.ndarray], channels: int, scale: Scale, *, top: float, parts: int
    ) -> Iterator[np.ndarray]:
        """Yield the first `parts` of the change and the band, (P, C, m), of blocks (C, n) at `rate`. `top` is not used."""
        windows = self.plan.cut(blocks)
        for rows in self.plan.join(self.engine.map(Order(window, scale) for window in windows)):
            yield rows.reshape(2, channels, -1)[:parts]

    def _run(self, orders: list[Order]) -> list[np.ndarray]:
        windows = [order.window for order in orders]
        scales = [order.given.at(w.start, w.audio.shape[1], self.rate) for order, w in zip(orders, windows)]
        return self.windowed.changes([w.audio for w in windows], [w.start for w in windows], scales)


class CarryingChanges:
    """Compute changes as a stream for each channel."""

    parts, tells_gain = 2, False

    def __init__(self, model: Model | GraphDenoiserModel, denoiser: StreamingDenoiser, options: DenoiseOptions):
        self.rate, self.steps = denoiser.rate, denoiser.steps
        self._denoiser, self.engine = denoiser, engine_for(model, None, options.batch_size, 0, options.threads)

    def of(
        self, blocks: Iterable[np.ndarray], channels: int, scale: Scale, *, top: float, parts: int
    ) -> Iterator[np.ndarray]:
        """Yield the first `parts` of the change and the band, (P, C, m), of blocks (C, n) at `rate`. `top` is not used."""
        waiting, position = Waiting(), 0

        def scaled() -> Iterator[np.ndarray]:
            start = 0
            for block in waiting.pass_through(blocks):
                yield (block * scale.at(start, block.shape[1], self.rate)).astype(np.float32)
                start += block.shape[1]

        for change in run_streams(self.engine, self._denoiser, channels, scaled()):
            band = waiting.take(change.shape[1])
            factor = scale.at(position, change.shape[1], self.rate)
            position += change.shape[1]
            yield np.stack([change / factor, band][:parts], dtype=np.float32)


class StreamChanges:
    """Compute changes as a stream."""

    def __init__(self, model: Model | GraphDenoiserModel, engine: Engine):
        self.engine = engine
        self.rate, self.steps = model.spec.working_rate, 1
        self._network = model.stream_network
        self.tells_gain = not maps_spectra(self._network)
        self.parts = 2 + self.tells_gain

    def of(
        self, blocks: Iterable[np.ndarray], channels: int, scale: Scale, *, top: float, parts: int
    ) -> Iterator[np.ndarray]:
        """Yield the first `parts` of the change, the band, and the gain if the network reports it, (P, C, m).

        `blocks` (C, n) are at `rate`. `top`: frequency in Hz where the signal ends.
        """
        for _, changes in self._streamed(blocks, channels, scale, top=top, parts=parts):
            yield changes

    def _streamed(
        self, blocks: Iterable[np.ndarray], channels: int, scale: Scale, *, top: float, parts: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the signal at the overall level with its estimate, (2, C, m), and the parts of `of`."""
        for estimates in self._estimates(blocks, channels, scale, top):
            noisy, clean, *gains = estimates
            rises = [gain - 1 for gain in gains]  # a resampler keeps zeros as they are, but not ones
            changes = [(clean - noisy) / scale.overall, noisy / scale.overall, *rises]
            yield estimates[:2], np.stack(changes[:parts], dtype=np.float32)

    def _estimates(self, blocks: Iterable[np.ndarray], channels: int, scale: Scale, top: float) -> Iterator[np.ndarray]:
        """Yield the noisy signal, the clean estimate, and the gain if the network reports it, (2 or 3, C, m)."""
        track, waiting = scale.track, Waiting()
        stream: Stream | QuietPassages
        if track and track.slots is not None:
            stream = QuietPassages(lambda: open_stream(self._network, 1, top), track, self.rate)
        else:
            stream = open_stream(self._network, channels, top)
        scaled = ((scale.overall * block).astype(np.float32) for block in blocks)
        pieces = ((block, False) for block in waiting.pass_through(scaled))
        for block, last in chain(pieces, [(np.zeros((channels, 0), np.float32), True)]):
            parts = self.engine.call(stream.push, block, last)
            if parts.shape[-1]:
                yield np.concatenate([waiting.take(parts.shape[-1])[None], parts])


class RefinedChanges(StreamChanges):
    """Compute changes as a stream, and refine its estimate in windows, or by a stream for each channel."""

    def __init__(
        self,
        model: Model | GraphDenoiserModel,
        refiner: WindowedDenoiser | GraphDenoiser | StreamingDenoiser,
        options: DenoiseOptions,
    ):
        if isinstance(refiner, StreamingDenoiser):
            engine = engine_for(model, None, options.batch_size, 0, options.threads)
        else:
            self.plan = plan_windows(model, refiner, options)
            engine = engine_for(model, self._run, options.batch_size, self.plan.whole, options.threads)
        super().__init__(model, engine)
        self.refiner, self.steps, self._own_rate = refiner, refiner.steps, model.spec.sample_rate

    def of(
        self, blocks: Iterable[np.ndarray], channels: int, scale: Scale, *, top: float, parts: int
    ) -> Iterator[np.ndarray]:
        waiting, position = Waiting(), 0

        def pairs() -> Iterator[np.ndarray]:
            start = 0
            for pair, changes in self._streamed(blocks, channels, scale, top=top, parts=parts):
                waiting.add(changes)
                followed = scale.at(start, pair.shape[2], self.rate) / scale.overall
                start += pair.shape[2]
                yield (pair * followed).astype(np.float32).reshape(2 * channels, -1)

        refinements = self._refinements(resample_blocks(pairs(), self.rate, self._own_rate, 2 * channels), channels)
        for refinement in resample_blocks(refinements, self._own_rate, self.rate, channels):
            count = min(refinement.shape[1], waiting.samples)
            if count:
                changes = waiting.take(count)
                changes[0] += refinement[:, :count] / scale.at(position, count, self.rate)
                position += count
                yield changes
        if waiting.samples:  # resampling there and back may end a sample or two early
            yield waiting.take(waiting.samples)

    def _refinements(self, pairs: Iterable[np.ndarray], channels: int) -> Iterator[np.ndarray]:
        """Yield the change (C, m) to estimates. `pairs`: (2 C, n), the noisy signal and the estimate, at the network's rate."""
        if isinstance(self.refiner, StreamingDenoiser):
            return run_streams(self.engine, self.refiner, channels, pairs)
        return self.plan.join(self.engine.map(Order(window, None) for window in self.plan.cut(pairs)))

    def _run(self, orders: list[Order]) -> list[np.ndarray]:
        assert not isinstance(self.refiner, StreamingDenoiser)
        windows = [order.window for order in orders]
        return self.refiner.refinements([w.audio for w in windows], [w.start for w in windows])


def plan_windows(
    model: Model | GraphDenoiserModel, windowed: WindowedDenoiser | GraphDenoiser, options: DenoiseOptions
) -> WindowPlan:
    """Return how a stream is cut into windows.

    For networks with a finite receptive field, the joined results are those of the whole stream. Others fade.
    """
    usual = UNBOUNDED_WINDOW_SECONDS if windowed.reach is None else WINDOW_SECONDS
    window = int((options.window_seconds or model.spec.window_seconds or usual) * windowed.rate)
    if windowed.reach is not None:
        return WindowPlan.exact(window, windowed.reach + windowed.guide_reach, grid=windowed.grid)
    fade = int(FADE_SECONDS * windowed.rate) // windowed.hop * windowed.hop
    return WindowPlan.faded(window, fade, around=windowed.guide_reach, grid=windowed.grid)
