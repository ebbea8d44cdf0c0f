"""Extract K stems from a stream: blocks (C, n) of the mix in, blocks (K C, m) of the stems out, as many samples in all.

The mix is resampled to the model's rate and separated in windows, and the estimates are resampled back. The content above the
model's band is distributed by the energies of the stems in the upper half of that band. If all stems of a model that covers the
whole mix are requested, the rest of the mix is distributed as well (audio.spectra.mixture_consistency), so that the stems sum
to the mix. With a residual (the mix minus the stems), the rest stays there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.resample import resample_blocks
from enhance_cli.tasks.engine import Order, engine_for
from enhance_cli.tasks.options import StemOptions
from enhance_cli.tasks.overlap import OverlapPlan
from enhance_cli.tasks.scale import Scale
from enhance_cli.tasks.stream import Waiting, as_float32, measured, paired
from enhance_cli.tasks.windows import WindowPlan

if TYPE_CHECKING:
    from enhance_cli.models.demucs_model import DemucsModel
    from enhance_cli.models.graphs.stems import GraphSeparator, GraphStemModel
    from enhance_cli.models.stems import StemModel
    from enhance_cli.models.windowed_separator import WindowedSeparator

RESIDUAL = "residual"
WINDOW_SECONDS = 10.0
CANCELLED = 0.05  # share of the active level. A mean of the channels below it means that they have opposite polarities
MARGIN_SECONDS = 1.0  # on either side of a window, for networks without a finite receptive field


class StemExtractor:
    """Extract stems from many files, also at the same time. `process` returns as many results as `parts`.

    Raises UsageError if the model does not have the stems, the steps, the sampler or the noise level.
    """

    def __init__(self, model: StemModel | DemucsModel | GraphStemModel, options: StemOptions = StemOptions()):
        self.spec, self.options, spec = model.spec, options, model.spec
        self.stems = spec.choose_stems(options.stems)
        self.parts = (*self.stems, RESIDUAL) if options.residual else self.stems
        self.sums_to_mix = spec.complete and len(self.stems) == len(spec.stems) and not options.residual
        self.windowed = model.windowed(
            self.stems, steps=options.steps, sampler=options.sampler, sigma=options.sigma, seed=options.seed,
            sums_to_mix=self.sums_to_mix,
        )  # fmt: skip
        self.plan = self._plan(self.windowed)
        batch_size = options.batch_size * spec.channels
        self.engine = engine_for(model, self._run, batch_size, self.plan.whole, options.threads)

    def _plan(self, model: WindowedSeparator | GraphSeparator) -> WindowPlan | OverlapPlan:
        seconds = self.options.window_seconds or self.spec.window_seconds or WINDOW_SECONDS
        window = max(1, round(seconds * model.rate) // model.grid) * model.grid
        if self.spec.overlap:
            return OverlapPlan.of_model(window, **self.spec.overlap)
        if model.reach is not None:
            return WindowPlan.exact(window, model.reach, grid=model.grid)
        margin = min(round(MARGIN_SECONDS * model.rate), window // 4)
        return WindowPlan(window - 2 * margin, margin, margin // 2)

    @property
    def lanes(self) -> int:
        """Return the number of files at a time that keep the device busy."""
        return self.engine.lanes

    def run(self, audio: np.ndarray, rate: int) -> dict[str, np.ndarray]:
        """Return each part (C, N) by name for a whole recording (C, N) at `rate`.

        These are the results of the command for a file with these samples.
        """
        level = measured(audio, rate)
        rows = np.concatenate(list(self.process(iter([audio]), rate, audio.shape[0], level)), axis=1)
        rows = rows.astype(np.result_type(audio.dtype, np.float32), copy=False)
        return dict(zip(self.parts, rows.reshape(len(self.parts), *audio.shape)))

    def process(self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: Meter) -> Iterator[np.ndarray]:
        """Yield (parts C, m) for blocks (C, n) at `rate`, each part's channels together, as many samples in all.

        `level` measured the whole file.
        """
        count = len(self.stems)
        if not level.peak:
            for block in blocks:
                yield np.concatenate([np.zeros_like(block)] * count + [block] * (len(self.parts) - count))
            return
        waiting, shares = Waiting(), np.zeros((count, channels, 1), np.float32)
        estimates = self._estimates(waiting.pass_through(blocks), rate, channels, self._scale(level))
        for x, parts in paired(waiting, estimates):
            stems, shares, band = parts[:count], parts[count:-1], parts[-1]
            yield self._assemble(x, stems, shares, band)
        if waiting.samples:  # resampling there and back may end a sample or two early
            x = waiting.take(waiting.samples)
            silence = np.zeros((count, *x.shape), np.float32)
            yield self._assemble(x, silence, shares[..., -1:], silence[0])

    def _assemble(self, x: np.ndarray, stems: np.ndarray, shares: np.ndarray, band: np.ndarray) -> np.ndarray:
        """Return the parts (K C or (K + 1) C, n) of the mix x (C, n), from the estimates of `_estimates` for it."""
        if self.options.full_band:
            shares = shares.clip(0, 1)
            if self.sums_to_mix:
                shares = (shares + 1e-6) / (shares + 1e-6).sum(axis=0)
            stems = stems + shares * (x - band)
        stems = stems.astype(x.dtype)
        if self.options.residual:  # in double precision, so that the parts sum to the mix whatever the file's format
            stems = np.concatenate([stems, (x - stems.sum(axis=0, dtype=np.float64))[None]])
        return stems.reshape(-1, x.shape[1])

    def _scale(self, level: Meter) -> Scale:
        """Return the factors that scale the file for the model, the same for all channels, which keeps the panning."""
        spec, track = self.spec, level.music_track
        active = float(track.overall[0])
        if spec.normalise == "level" and level.active_levels.any():
            return Scale(spec.level, track)
        if spec.normalise == "deviation" and active > 1e-6 and level.active_levels.any():
            if track.slots is not None or level.deviation < CANCELLED * active:
                return Scale(1.0, track)
            return Scale(1 / level.deviation)
        return Scale(1 / max(level.peak, 1.0))

    def _estimates(self, blocks: Iterable[np.ndarray], rate: int, channels: int, scale: Scale) -> Iterator[np.ndarray]:
        """Yield (2K + 1, C, m) at the file's rate: K stems, their K shares of the content above the band, the mix in it."""
        own_rate, parts = self.spec.sample_rate, 2 * len(self.stems) + 1
        windows = self.plan.cut(resample_blocks(as_float32(blocks), rate, own_rate, channels))
        separated = self.plan.join(self.engine.map(Order(window, scale) for window in windows))
        for rows in resample_blocks(separated, own_rate, rate, parts * channels):
            yield rows.reshape(parts, channels, -1)

    def _run(self, orders: list[Order]) -> list[np.ndarray]:
        windows = [order.window for order in orders]
        audio, starts = [w.audio for w in windows], [w.start for w in windows]
        scales = [
            order.given.at(w.start, w.audio.shape[1], self.spec.sample_rate)[0] for order, w in zip(orders, windows)
        ]
        return self.windowed.separate(audio, starts, scales)
