"""Denoise a stream: out = x + wet * (change in the model's band + change above that band).

The signal is brought to the model's rate. The change (clean estimate less its own input, both through the same
synthesis) is brought back to the file's rate and added to the untouched input. A model that changes nothing therefore
returns the input sample for sample, at any rate and length. Above the band of a model, audio.upper_band suppresses
noise. Above that of DeepFilterNet, at 48 kHz, the signal follows with the gain that the model gave the top of its own
band.

Networks with a finite context run in windows, networks with memory as a stream with their state. A model with a first
stage runs as both: the first stage as a stream at 48 kHz, its own network in windows that refine the band below its own
Nyquist frequency.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from enhance_cli.audio.level import Meter
from enhance_cli.audio.level_track import LevelTrack
from enhance_cli.audio.resample import Resampler
from enhance_cli.audio.upper_band import UpperBand
from enhance_cli.errors import UsageError
from enhance_cli.models.streams import maps_spectra, open_stream
from enhance_cli.tasks.engine import Order, engine_for
from enhance_cli.tasks.options import DenoiseOptions
from enhance_cli.tasks.stream import Pair, Waiting, measured, paired, resampled
from enhance_cli.tasks.windows import WindowPlan

if TYPE_CHECKING:
    from enhance_cli.models.graphs.denoiser import GraphDenoiser, GraphDenoiserModel
    from enhance_cli.models.load import Model
    from enhance_cli.models.windowed_denoiser import WindowedDenoiser

WINDOW_SECONDS = 5.0  # longer ones are a little faster and take more memory, above all when several run at a time
UNBOUNDED_WINDOW_SECONDS = 10.0  # for networks whose context has no end
FADE_SECONDS = 0.5  # on either side of a border, for networks whose context has no end


class Denoiser:
    """Clean streams of audio. `process` has the form that batch.files.enhance_file asks for. One Denoiser serves many
    files, also at the same time.
    """

    def __init__(self, model: Model | GraphDenoiserModel, options: DenoiseOptions = DenoiseOptions()):
        """Prepare the model. Raises UsageError for steps, sampler, settings or guide that the model does not allow."""
        self.spec, self.options = model.spec, options
        self.stream_network = model.stream_network
        self.gain_known = self.stream_network is not None and not maps_spectra(self.stream_network)
        self.windowed: WindowedDenoiser | GraphDenoiser | None = None  # a model without a process is a stream
        self.plan = WindowPlan(0, 0, 0)
        if model.process is None:
            self.spec.choose(options.steps, options.sampler)
            if options.sampler_args:
                raise UsageError(f"{self.spec.name} does not sample: it has no such settings", "leave them away")
        else:
            self.windowed = model.windowed(
                steps=options.steps, sampler=options.sampler, sampler_args=options.sampler_args,
                guide=options.guide, seed=options.seed,
            )  # fmt: skip
            self.plan = self._plan(self.windowed)
        run = self._refine if self.stream_network else self._denoise
        longest = self.plan.whole if self.windowed is None or self.windowed.fills_up else 0
        self.engine = engine_for(model, run, options.batch_size, longest, options.threads)

    def _plan(self, model: WindowedDenoiser | GraphDenoiser) -> WindowPlan:
        usual = UNBOUNDED_WINDOW_SECONDS if model.reach is None else WINDOW_SECONDS
        window = int((self.options.window_seconds or self.spec.window_seconds or usual) * model.rate)
        if model.reach is not None:
            return WindowPlan.exact(window, model.reach + model.guide_reach, grid=model.grid)
        fade = int(FADE_SECONDS * model.rate) // model.hop * model.hop
        return WindowPlan.faded(window, fade, around=model.guide_reach, grid=model.grid)

    @property
    def lanes(self) -> int:
        """Return the number of files at a time that keep the device busy."""
        return self.engine.lanes

    def process(self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: Meter) -> Iterator[np.ndarray]:
        """Clean blocks (C, n) at `rate`. Yields as many samples, in blocks of other sizes. `level` measured the file."""
        wet = self.options.wet
        unsampled = self.windowed is not None and not self.windowed.steps
        if wet == 0 or unsampled or not level.active_levels.any():
            yield from blocks
            return
        waiting = Waiting()
        compute = self._stream_changes if self.stream_network else self._window_changes
        finish = self._with_gain_above if self.gain_known else self._with_upper_band
        rows = compute(waiting.pass_through(blocks), rate, channels, self._level(level))
        for x, change in finish(paired(waiting, rows), rate, channels):
            yield (x + wet * change).astype(x.dtype)
        if waiting.samples:  # resampling there and back may end a sample or two early
            yield waiting.take(waiting.samples)

    def _with_gain_above(self, pairs: Iterable[Pair], rate: int, channels: int) -> Iterator[Pair]:
        """Yield the input and its whole change, from the input and the rows of `_stream_changes`."""
        for x, rows in pairs:
            change = rows[:channels]
            if len(rows) > channels:
                low, rise = np.split(rows[channels:], 2)
                change = change + (rise if self.options.full_band else -1) * (x - low)
            yield x, change

    def _with_upper_band(self, pairs: Iterable[Pair], rate: int, channels: int) -> Iterator[Pair]:
        """Yield the input and its whole change, from the input, the change in the model's band, and that band itself."""
        edge = self.spec.sample_rate / 2
        upper = UpperBand(rate, edge, channels) if self.options.full_band and UpperBand.fits(rate, edge) else None
        inputs, changes = Waiting(), Waiting()
        end = np.zeros((channels, 0), np.float32), np.zeros((2 * channels, 0), np.float32)
        for (x, rows), last in chain(((pair, False) for pair in pairs), [(end, True)]):
            change, low = np.split(rows, 2)
            if upper is None:
                if not last:
                    yield x, (change if self.options.full_band else change - (x - low))
                continue
            inputs.add(x)
            changes.add(change)
            above = upper.push(x - low, low, change, last)
            if above.shape[1]:
                yield inputs.take(above.shape[1]), changes.take(above.shape[1]) + above

    def _level(self, level: Meter) -> LevelTrack:
        """Return the level of each channel that is brought to the target of `_scale`.

        By active level each channel is followed by itself, so that a source keeps its place between them. By peak the
        whole file has one factor.
        """
        if self.spec.normalise == "peak":
            return LevelTrack(np.full(level.active_levels.size, max(level.peak, 1e-8)))
        if self.spec.normalise == "none":
            return LevelTrack(np.ones(level.active_levels.size))
        return level.track

    def _scale(self, level: LevelTrack, start: int, samples: int, rate: int) -> np.ndarray:
        """Return the factors that the input is multiplied by for the model, (C, samples) or (C, 1)."""
        target = self.spec.level if self.spec.normalise == "level" else 1.0
        return target / level.at(start, samples, rate)

    def _window_changes(
        self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: LevelTrack
    ) -> Iterator[np.ndarray]:
        """Yield (2C, m) at the file's rate: the change in the model's band, and that band itself."""
        own_rate = self.spec.sample_rate
        down, up = Resampler(rate, own_rate, channels), Resampler(own_rate, rate, 2 * channels)
        windows = self.plan.cut(resampled(blocks, down, channels))
        for change in self.plan.join(self.engine.map(Order(window, level) for window in windows)):
            yield up.push(change)
        yield up.push(np.zeros((2 * channels, 0), np.float32), last=True)

    def _denoise(self, orders: list[Order]) -> list[np.ndarray]:
        windows = [order.window for order in orders]
        rate = self.spec.sample_rate
        scales = [self._scale(o.given, o.window.start, o.window.audio.shape[1], rate) for o in orders]
        assert self.windowed is not None
        return self.windowed.changes([w.audio for w in windows], [w.start for w in windows], scales)

    def _refine(self, orders: list[Order]) -> list[np.ndarray]:
        windows = [order.window for order in orders]
        assert self.windowed is not None
        return self.windowed.refinements([w.audio for w in windows], [w.start for w in windows])

    def _stream_changes(
        self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: LevelTrack
    ) -> Iterator[np.ndarray]:
        """Yield (2C, m) at the file's rate: the change in the model's band, and that band itself.

        If the gain above it is known, it follows, less one: a resampler returns zeros exactly but not ones, least of
        all at the ends of the file. If nothing is above the band, the change then comes alone.
        """
        own_rate = self.spec.working_rate
        down = Resampler(rate, own_rate, channels)
        top = min(rate, own_rate) / 2
        streamed = self._streamed(resampled(blocks, down, channels), channels, level, top)
        parts = 2 + self.gain_known if rate != own_rate else 2 - self.gain_known
        up = Resampler(own_rate, rate, parts * channels)
        position = 0
        for rows in self._refined(streamed, channels) if self.windowed else streamed:
            noisy, cleaned, *gain = np.split(rows, len(rows) // channels)
            scale = self._scale(level, position, rows.shape[1], own_rate)
            position += rows.shape[1]
            changes = [(cleaned - noisy) / scale, noisy / scale, *(g - 1 for g in gain)]
            yield up.push(np.concatenate(changes[:parts], dtype=np.float32))
        yield up.push(np.zeros((up.channels, 0), np.float32), last=True)

    def _streamed(
        self, blocks: Iterable[np.ndarray], channels: int, level: LevelTrack, top: float
    ) -> Iterator[np.ndarray]:
        """Yield at the working rate the scaled signal and its estimate by the network with memory, (2C, m).

        If it is known, the gain just below `top` Hz follows.
        """
        stream, waiting = open_stream(self.stream_network, channels, top), Waiting()

        def scaled() -> Iterator[np.ndarray]:
            position = 0
            for block in blocks:
                scale = self._scale(level, position, block.shape[1], self.spec.working_rate)
                position += block.shape[1]
                yield (scale * block).astype(np.float32)

        pieces = ((block, False) for block in waiting.pass_through(scaled()))
        for block, last in chain(pieces, [(np.zeros((channels, 0), np.float32), True)]):
            rows = self.engine.call(stream.push, block, last)
            if rows.shape[1]:
                yield np.concatenate([waiting.take(rows.shape[1]), rows])

    def _refined(self, streamed: Iterable[np.ndarray], channels: int) -> Iterator[np.ndarray]:
        """Yield the rows of `_streamed` with the estimate refined in the band of the model."""
        waiting, rate, own_rate = Waiting(), self.spec.working_rate, self.spec.sample_rate
        down, up = Resampler(rate, own_rate, 2 * channels), Resampler(own_rate, rate, channels)
        pairs = (rows[: 2 * channels] for rows in waiting.pass_through(streamed))
        windows = self.plan.cut(resampled(pairs, down, 2 * channels))
        orders = (Order(window, None) for window in windows)
        for change in self.plan.join(self.engine.map(orders)):
            yield from _added(waiting, up.push(change), channels)
        yield from _added(waiting, up.push(np.zeros((channels, 0), np.float32), last=True), channels)
        if waiting.samples:
            yield waiting.take(waiting.samples)


def _added(waiting: Waiting, change: np.ndarray, channels: int) -> Iterator[np.ndarray]:
    """Yield the next waiting rows, those of `_streamed`, with the change (C, m) added to the estimate."""
    count = min(change.shape[1], waiting.samples)
    if count:
        rows = waiting.take(count)
        rows[channels : 2 * channels] += change[:, :count]
        yield rows


def run(
    audio: np.ndarray, rate: int, model: Model | GraphDenoiserModel, options: DenoiseOptions = DenoiseOptions()
) -> np.ndarray:
    """Clean (C, N) at `rate`. Returns (C, N), the same as the command gives for a file with these samples."""
    level = measured(audio, rate)
    denoiser = Denoiser(model, options)
    return np.concatenate(list(denoiser.process(iter([audio]), rate, audio.shape[0], level)), axis=1)
