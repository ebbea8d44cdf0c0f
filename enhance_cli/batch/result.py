"""Hold the result of a file until its gain is known, then write it to one file, or to one file for each part."""

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from enhance_cli.audio.formats import OutputFormat
from enhance_cli.audio.info import LOSSY, AudioInfo, depth
from enhance_cli.audio.levels.level import Meter, SampleMeter
from enhance_cli.audio.levels.limiter import Limiter
from enhance_cli.audio.tags.wave_facts import Change
from enhance_cli.audio.write import AudioWriter, as_read
from enhance_cli.batch.decibels import decibels, rounded
from enhance_cli.batch.file_options import FileOptions
from enhance_cli.batch.film import open_output, titled
from enhance_cli.batch.spool import BLOCK, Spool


class Result:
    """Hold the transformed signal of a file, (K C, n) for K parts of C channels each, and the level of every part.

    The samples are kept in `spool`. `info`: describes the input. `fmt`: format of the outputs. `options`: with which the
    input was read. `limiter`: the one of the last pass over the samples, if any.
    """

    def __init__(self, spool: Spool, info: AudioInfo, fmt: OutputFormat, options: FileOptions):
        self.names = options.parts or ("",)
        self.extra = self.written_extra = options.measurement.result_meter(fmt.rate)
        self.format, self.info, self.options, self._spool = fmt, info, options, spool
        self.levels = self._meters(true_peak=options.loudness is not None, extra=self.extra)
        self.limiter: Limiter | None = None
        self._threshold: float | None = None

    def _meters(self, *, true_peak: bool = False, extra: SampleMeter | None = None) -> dict[str, Meter]:
        rate, info, loudness = self.format.rate, self.info, self.options.measure or self.options.loudness is not None
        return {
            name: Meter(rate, info.channels, loudness, true_peak=true_peak, layout=info.layout, extra=extra)
            for name in self.names
        }

    @property
    def frames(self) -> int:
        """Return the samples of each channel."""
        return self.levels[self.names[0]].frames

    def fill(self, blocks: Iterator[np.ndarray]) -> None:
        """Take the whole signal, in blocks (K C, n)."""
        for block in blocks:
            self._measure(block)
            self._spool.write(block)

    def _measure(self, block: np.ndarray) -> None:
        for meter, rows in zip(self.levels.values(), np.split(block, len(self.names))):
            meter.push(rows)

    def limit(self, threshold: float) -> None:
        """Lower peaks above this `threshold` (linear, before the gain) in all outputs, and measure their levels anew."""
        self._threshold = threshold
        self.levels = self._meters()
        for block in self._blocks():
            self._measure(block)

    def _blocks(self) -> Iterator[np.ndarray]:
        """Yield the signal as it is written, before the gain."""
        blocks: Iterable[np.ndarray] = self._spool.blocks()
        if self._threshold is not None:
            self.limiter = Limiter(self.format.rate, len(self.names) * self.info.channels, self._threshold)
            blocks = self.limiter.run(blocks)
        yield from blocks

    def write(self, unfinished: Mapping[str, Path], gain: float) -> None:
        """Write the parts in `unfinished` with this `gain`."""
        channels = self.info.channels
        with contextlib.ExitStack() as stack:
            writers = {
                name: stack.enter_context(
                    AudioWriter(path, titled(self.format, self.info, name), channels, self.frames)
                )
                for name, path in unfinished.items()
            }
            for block in self._blocks():
                block = block if gain == 1.0 else block * block.dtype.type(gain)
                pieces = dict(zip(self.names, np.split(block, len(self.names))))
                if self.options.last_part_absorbs_rounding:
                    total = block.reshape(len(self.names), channels, -1).sum(axis=0, dtype=np.float64)
                    others = sum(as_read(pieces[name], self.format) for name in self.names[:-1])
                    pieces[self.names[-1]] = total - others
                for name, writer in writers.items():
                    writer.write(pieces[name])

    def measure_written(self, unfinished: Mapping[str, Path]) -> None:
        """Read files of a lossy codec for the task's measurement (in videos: their new track), if it wants that."""
        measurement = self.options.measurement
        if not (measurement.reads_back and self.format.subtype in LOSSY):
            return
        (path,) = unfinished.values()
        with open_output(path, self.format.film) as audio:
            self.written_extra = measurement.result_meter(audio.info.rate)
            if self.written_extra:
                for block in audio.blocks(BLOCK):
                    self.written_extra.push(block)

    def levels_of_written(self, files: Mapping[str, Path]) -> tuple[float | None, dict[str, float | None], float]:
        """Return the integrated loudness in LUFS of the sum of finished files (in videos: of their new tracks), and of each.

        The third value is the highest true peak of all, linear.
        """
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(open_output(path, self.format.film)) for path in files.values()]
            info = opened[0].info
            total = Meter(info.rate, info.channels, layout=info.layout)
            meters = [Meter(info.rate, info.channels, true_peak=True, layout=info.layout) for _ in opened]
            for blocks in zip(*(audio.blocks(BLOCK) for audio in opened)):
                samples = min(block.shape[1] for block in blocks)
                total.push(np.sum([block[:, :samples] for block in blocks], axis=0))
                for meter, block in zip(meters, blocks):
                    meter.push(block)
        each = {name: meter.loudness for name, meter in zip(files, meters)}
        return total.loudness, each, max(meter.true_peak for meter in meters)

    def loudness_of_sum(self, names: Sequence[str]) -> float | None:
        """Return the loudness in LUFS of the sum of the parts `names`, before any gain."""
        if len(names) == 1:
            return self.levels[names[0]].loudness
        meter = Meter(self.format.rate, self.info.channels, layout=self.info.layout)
        for block in self._blocks():
            parts = dict(zip(self.names, np.split(block, len(self.names))))
            meter.push(np.sum([parts[name] for name in names], axis=0))
        return meter.loudness

    def error_of_sum(self, written: Mapping[str, Path], gain: float) -> float | None:
        """Return the energy of the error of a lossy codec in the sum of the `written` parts, in dB relative to that sum.

        Returns None for silence, or if there is no error.
        """
        error = energy = 0.0
        order = np.argsort(self.format.order) if self.format.order else slice(None)
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open_output(path, self.format.film)) for path in written.values()]
            for block, *read in zip(self._blocks(), *(file.blocks(BLOCK) for file in files)):
                parts = dict(zip(self.names, np.split(block.astype(np.float64) * gain, len(self.names))))
                meant = np.sum([parts[name] for name in written], axis=0)
                found = np.stack(read).sum(axis=0, dtype=np.float64)[order]
                samples = min(meant.shape[1], found.shape[1])
                error += float(np.square(found[:, :samples] - meant[:, :samples]).sum())
                energy += float(np.square(meant).sum())
        return 10 * math.log10(error / energy) if error and energy else None

    def change(self, part: str, gain: float) -> Change:
        """Return how a part that was written differs from the input."""
        loudness = self.levels[part].loudness
        return Change(
            start=self.options.start,
            duration=self.frames / self.format.rate,
            bits=self.format.bits or depth(self.format.subtype) or {"FLOAT": 32, "DOUBLE": 64}.get(self.format.subtype),
            gain=decibels(gain),
            loudness=None if loudness is None else loudness + decibels(gain),
            channel=self.options.channels,
        )


def level_fields(meter: Meter, gain: float = 1.0) -> dict[str, float | None]:
    """Return the level fields of a record for the measured signal after this `gain`."""
    return {
        "loudness": rounded(meter.loudness, decibels(gain)),
        "peak": rounded(decibels(meter.peak * gain)),
        "noise_floor": rounded(meter.noise_floor, decibels(gain)),
    }
