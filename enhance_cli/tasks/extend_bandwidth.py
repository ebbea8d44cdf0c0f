"""Extend the bandwidth of a stream: out = x + a band, made by a model, above the frequency at which x ends.

Everything happens at 48 kHz, or at the rate of the file if that is higher. The made band is added to the untouched input
through a linear-phase crossover (audio.spectra.crossover), so the band of the input stays as it was, to the sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.levels.level_track import LevelTrack
from enhance_cli.audio.resample import resample, resample_blocks
from enhance_cli.audio.spectra import crossover
from enhance_cli.audio.spectra.band_edge import BandMeter
from enhance_cli.errors import UsageError
from enhance_cli.tasks.engine import Order, engine_for
from enhance_cli.tasks.options import ExtendOptions
from enhance_cli.tasks.stream import Waiting, as_float32, measured, paired
from enhance_cli.tasks.windows import WindowPlan

if TYPE_CHECKING:
    from enhance_cli.models.graphs.extender import GraphExtenderModel
    from enhance_cli.models.load import Model

WINDOW_SECONDS = 2.0  # longer windows fragment the memory of the C library
LATENT_NETWORK = "latent_extender"
FADE = 15360  # samples on either side of a border between windows, 0.64 s in all


@dataclass(frozen=True)
class Recording:
    """Hold the facts about a file that the model needs: the `edge` of its band in Hz, its level, and its peak, linear."""

    edge: float
    level: LevelTrack
    peak: float


class BandwidthExtender:
    """Extend streams of audio.

    `process` is a transform for batch.files.enhance_file. One BandwidthExtender serves many files, also at the
    same time.
    """

    def __init__(self, model: Model | GraphExtenderModel, options: ExtendOptions = ExtendOptions()):
        """Prepare the model. Raises UsageError for steps and settings that it does not support."""
        self.spec, self.options = model.spec, options
        self.windowed, self.plan = windows_of(model, options)
        self.engine = engine_for(model, self._run, options.batch_size, self.plan.whole, options.threads)

    @property
    def lanes(self) -> int:
        """Return the number of files at a time that keep the device busy."""
        return self.engine.lanes

    def run(self, audio: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
        """Extend a whole recording (C, N) at `rate`. Returns (C, M) and its rate.

        This is the result of the command for a file with these samples. Raises UsageError for a cutoff or a band that cannot
        be continued.
        """
        level = measured(audio, rate)
        level.extra = band = BandMeter(rate, self.options.cutoff)
        band.push(audio)
        wide_rate = band.wide_rate
        audio = resample(audio, rate, wide_rate) if wide_rate != rate else audio
        return np.concatenate(list(self.process(iter([audio]), wide_rate, audio.shape[0], level)), axis=1), wide_rate

    def process(self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: Meter) -> Iterator[np.ndarray]:
        """Extend blocks (C, n) at `rate`. Yields as many samples, in blocks of other sizes.

        `level` has measured the file and the end of its band, and receives the level of the made band. Files with a full band,
        and silence, pass through. Raises UsageError for a band that the model cannot continue.
        """
        band = level.extra
        edge = band.edge if isinstance(band, BandMeter) else None
        if not isinstance(band, BandMeter) or edge is None or not level.active_levels.any():
            yield from blocks
            return
        self.windowed.check(edge)
        recording = Recording(edge, level.common_track, level.peak)
        waiting, energy, frames = Waiting(), 0.0, 0
        for x, made in paired(waiting, self._bands(waiting.pass_through(blocks), rate, channels, recording)):
            energy, frames = energy + float(np.square(made, dtype=np.float64).mean(axis=0).sum()), frames + x.shape[1]
            yield (x + made).astype(x.dtype)
        if waiting.samples:  # resampling there and back may end a sample or two early
            yield waiting.take(waiting.samples)
        band.made_power = energy / max(frames, 1)

    def _bands(
        self, blocks: Iterable[np.ndarray], rate: int, channels: int, recording: Recording
    ) -> Iterator[np.ndarray]:
        """Yield the made band (C, m) at the file's rate."""
        own_rate = self.windowed.rate
        windows = self.plan.cut(resample_blocks(as_float32(blocks), rate, own_rate, channels))
        done = self.engine.map(Order(window, recording) for window in windows)
        yield from resample_blocks(self.plan.join(done, keep_power=True), own_rate, rate, channels)

    def _run(self, orders: list[Order]) -> list[np.ndarray]:
        windows, given = [order.window for order in orders], [order.given for order in orders]
        audio = [window.audio for window in windows]
        starts, edges = [w.start for w in windows], [r.edge for r in given]
        levels = [r.level.at(w.start, w.audio.shape[1], self.windowed.rate)[0] for w, r in zip(windows, given)]
        wide = self.windowed.wide(audio, starts, edges, levels)
        return [
            crossover.joined(x, y, r.edge, level, peak=r.peak) for x, y, r, level in zip(audio, wide, given, levels)
        ]


def windows_of(model: Model | GraphExtenderModel, options: ExtendOptions) -> tuple[Any, WindowPlan]:
    """Return the object that computes windows, and the plan by which they are cut and joined.

    Raises UsageError for steps and settings that the model does not have.
    """
    if model.spec.network == LATENT_NETWORK:
        latent = cast("Model", model).latent_windows(
            seed=options.seed,
            steps=options.steps,
            guidance=options.guidance,
            spacing=options.spacing,
            window_seconds=options.window_seconds,
        )
        around = max(latent.reach, crossover.reach_of_all())
        margin = -(-(FADE + around) // latent.grid) * latent.grid
        if latent.window < 2 * margin + latent.grid:
            raise UsageError(f"window_seconds {options.window_seconds:g}: too short", "give 1.28 or more")
        plan = WindowPlan.faded(latent.window - 2 * margin, FADE, around=around, grid=latent.grid)
        return latent, plan
    model.spec.choose(options.steps, None)
    model.spec.choose_guidance(options.guidance)
    if options.spacing is not None:
        raise UsageError(f"--spacing {options.spacing}: {model.spec.name} takes no steps", "leave it out")
    windowed = model.extender(seed=options.seed)
    window = int((options.window_seconds or model.spec.window_seconds or WINDOW_SECONDS) * windowed.rate)
    return windowed, WindowPlan.exact(window, windowed.reach + crossover.reach_of_all(), grid=windowed.grid)
