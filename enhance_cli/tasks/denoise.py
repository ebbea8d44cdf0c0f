"""Denoise a stream: out = x + wet * (change in the model's band + change above that band).

The signal is resampled to the model's rate. The change computed there (tasks.band_changes) is resampled back, continued above
the model's band (tasks.above_band) and added to the untouched input. So a model that changes nothing returns the input sample
for sample, at any rate and length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.resample import resample_blocks
from enhance_cli.audio.spectra.upper_band import UpperBand
from enhance_cli.errors import UsageError
from enhance_cli.models.graphs.denoiser_stream import StreamingDenoiser
from enhance_cli.models.sampling import Sampling
from enhance_cli.tasks import above_band
from enhance_cli.tasks.band_changes import CarryingChanges, RefinedChanges, StreamChanges, WindowChanges
from enhance_cli.tasks.engine import engine_for
from enhance_cli.tasks.options import DenoiseOptions
from enhance_cli.tasks.scale import Scale
from enhance_cli.tasks.stream import Pair, Waiting, as_float32, measured, paired

if TYPE_CHECKING:
    from enhance_cli.models.graphs.denoiser import GraphDenoiserModel
    from enhance_cli.models.load import Model

# A shorter clip gets only a share of the change: networks take 20 ms of speech for noise, and lower it by up to 20 dB.
SETTLED_SECONDS = 0.06


class Denoiser:
    """Clean streams of audio.

    `process` is a transform for batch.files.enhance_file. One Denoiser serves many files, also at the same
    time.
    """

    def __init__(self, model: Model | GraphDenoiserModel, options: DenoiseOptions = DenoiseOptions()):
        """Prepare the model. Raises UsageError for steps, sampler, settings or guide that the model does not allow."""
        self.spec, self.options = model.spec, options
        self.band_changes = changes_of(model, options)

    @property
    def lanes(self) -> int:
        """Return the number of files at a time that keep the device busy."""
        return self.band_changes.engine.lanes

    def run(self, audio: np.ndarray, rate: int) -> np.ndarray:
        """Clean a whole recording (C, N) at `rate`. Returns (C, N), the result of the command for a file with these samples."""
        level = measured(audio, rate)
        return np.concatenate(list(self.process(iter([audio]), rate, audio.shape[0], level)), axis=1)

    def process(self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: Meter) -> Iterator[np.ndarray]:
        """Clean blocks (C, n) at `rate`. Yields as many samples, in blocks of other sizes. `level` measured the file.

        With the option `residual`, each block (2 C, m) holds the result, then the sound that was removed.
        """
        if not self.options.residual:
            yield from self._result(blocks, rate, channels, level)
            return
        waiting = Waiting()
        for cleaned in self._result(waiting.pass_through(blocks), rate, channels, level):
            x = waiting.take(cleaned.shape[1]).astype(np.float64)  # the parts sum to it whatever the file's format
            yield np.concatenate([cleaned, x - cleaned])

    def _result(self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: Meter) -> Iterator[np.ndarray]:
        """Yield the cleaned blocks."""
        if self.options.wet == 0 or self.band_changes.steps == 0 or not level.active_levels.any():
            yield from blocks
            return
        offset = level.offsets[:, None]
        if not offset.any():
            yield from self._cleaned(blocks, rate, channels, level)
            return
        for cleaned in self._cleaned(((x - offset).astype(x.dtype) for x in blocks), rate, channels, level):
            yield (cleaned + offset).astype(cleaned.dtype)

    def _cleaned(self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: Meter) -> Iterator[np.ndarray]:
        """Yield the cleaned blocks of a signal without offset."""
        settled = 1.0 if self.spec.converted else min(level.frames / rate / SETTLED_SECONDS, 1.0)
        wet, waiting = self.options.wet * settled, Waiting()
        changes = self._changes(waiting.pass_through(blocks), rate, channels, self._scale(level))
        for x, change in self._with_change_above(paired(waiting, changes), rate, channels):
            yield (x + wet * change).astype(x.dtype)
        if waiting.samples:  # resampling there and back may end a sample or two early
            yield waiting.take(waiting.samples)

    def _changes(self, blocks: Iterable[np.ndarray], rate: int, channels: int, scale: Scale) -> Iterator[np.ndarray]:
        """Yield the change in the model's band and the other parts of tasks.band_changes, (P, C, m), at the file's rate."""
        parts = 1 if rate == self.band_changes.rate else self.band_changes.parts  # nothing lies above
        top = min(rate, self.band_changes.rate) / 2
        in_band = resample_blocks(as_float32(blocks), rate, self.band_changes.rate, channels)
        changes = self.band_changes.of(in_band, channels, scale, top=top, parts=parts)
        rows_made = (made.reshape(parts * channels, -1) for made in changes)
        for rows in resample_blocks(rows_made, self.band_changes.rate, rate, parts * channels):
            yield rows.reshape(parts, channels, -1)

    def _with_change_above(self, pairs: Iterator[Pair], rate: int, channels: int) -> Iterator[Pair]:
        """Return an iterator over the input and its whole change, from the input and the parts of its change."""
        edge = self.band_changes.rate / 2
        if rate == self.band_changes.rate:  # nothing lies above
            return above_band.keep(pairs)
        if not self.options.full_band:
            return above_band.cut(pairs)
        if self.band_changes.tells_gain:
            return above_band.follow_gain(pairs)
        if UpperBand.fits(rate, edge):
            return above_band.suppress_noise(pairs, UpperBand(rate, edge, channels))
        return above_band.keep(pairs)

    def _scale(self, level: Meter) -> Scale:
        """Return the factors that scale the file to the level of the model.

        With "level", each channel has its own factors, which follow its active level. With "peak", the whole file has one.
        """
        if self.spec.normalise == "level":
            return Scale(self.spec.level, level.track)
        if self.spec.normalise == "peak":
            return Scale(1 / max(level.peak, 1e-8))
        return Scale(1.0)


def changes_of(
    model: Model | GraphDenoiserModel, options: DenoiseOptions
) -> WindowChanges | CarryingChanges | StreamChanges:
    """Return the object that computes the changes of `model`, in one of the ways of tasks.band_changes.

    Raises UsageError for steps, a sampler, settings or a guide that the model does not allow.
    """
    if model.process is None:
        model.spec.choose(options.steps, options.sampler)
        if options.sampler_args:
            raise UsageError(f"{model.spec.name} does not sample: it has no such settings", "leave them out")
        return StreamChanges(model, engine_for(model, None, options.batch_size, 0, options.threads))
    sampling = Sampling(options.steps, options.sampler, options.sampler_args, options.seed)
    windowed = model.windowed(sampling, guide=options.guide)
    if model.stream_network is not None:
        return RefinedChanges(model, windowed, options)
    if isinstance(windowed, StreamingDenoiser):
        return CarryingChanges(model, windowed, options)
    return WindowChanges(model, windowed, options)
