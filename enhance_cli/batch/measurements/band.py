"""Measure where the band of a recording ends, for the task that makes the band above (tasks.extend_bandwidth)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from enhance_cli.audio.formats import OutputFormat
from enhance_cli.audio.info import LOSSY, AudioInfo
from enhance_cli.audio.levels.level import Meter, SampleMeter
from enhance_cli.audio.spectra.band_edge import FULL_BAND, BandMeter
from enhance_cli.batch.decibels import decibels, rounded
from enhance_cli.batch.measurements.measurement import Measurement
from enhance_cli.errors import UsageError

NARROWER = 0.95  # if the band in the written file is narrower than this share of the result's, the codec has cut it
_TREBLE_BITS = 128_000  # bits per second and channel with which LAME, libvorbis and FFmpeg's AAC keep a band of 19 kHz
_TREBLE_BITS_OPUS = 48_000
_LOWEST_RATE_WITH_TREBLE = 32000  # Hz. MP3s of lower rates have 160 kb/s at most


@dataclass(frozen=True)
class BandMeasurement(Measurement):
    """Measure the end of the band in Hz before and after the task, and the level in dBFS of the band that it made.

    `cutoff`: frequency in Hz at which the band of the input ends, if the user has given it.
    """

    fields: ClassVar[Mapping[str, Any]] = {"cutoff_before": None, "cutoff_after": None, "made_level": None}
    levels: ClassVar[Mapping[str, tuple[str, str]]] = {"cutoff": ("Treble up to", "Hz")}
    changes_rate: ClassVar[bool] = True
    reads_back: ClassVar[bool] = True

    cutoff: float | None = None

    def input_meter(self, info: AudioInfo, *, start: float, sample_rate: int | None) -> BandMeter:
        meter = BandMeter(info.rate, self.cutoff)
        if sample_rate and sample_rate < info.rate:
            raise UsageError(f"--rate {sample_rate}: the file has {info.rate} Hz", "ask for more, or leave it out")
        return meter

    def result_meter(self, rate: int) -> BandMeter:
        return BandMeter(rate)

    def rate_of_result(self, before: Meter, rate: int) -> int:
        return _band(before.extra).wide_rate

    def fitted(self, fmt: OutputFormat, before: Meter, channels: int) -> OutputFormat:
        if _band(before.extra).edge is None or fmt.film is not None:
            return fmt
        return _with_treble(fmt, channels)

    def values(self, before: Meter, written: SampleMeter | None, gain: float) -> dict[str, Any]:
        old, new = _band(before.extra), _band(written)
        made = 10 * math.log10(old.made_power) + decibels(gain) if old.made_power else None
        edges = {"cutoff_before": old.edge or old.rate / 2, "cutoff_after": new.edge or new.rate / 2}
        return {name: rounded(edge) for name, edge in edges.items()} | {"made_level": rounded(made)}

    def notes(self, before: Meter, made: SampleMeter | None, written: SampleMeter | None) -> list[str]:
        old = _band(before.extra)
        if not old.made_power:
            return old.notes
        whole, left = (min(band.edge or band.rate / 2, FULL_BAND) for band in (_band(made), _band(written)))
        if left >= NARROWER * whole:
            return old.notes
        cut = f"the encoder has kept the band up to {left / 1000:.1f} kHz: a lossless format keeps all of it"
        return [*old.notes, cut]


def _band(meter: SampleMeter | None) -> BandMeter:
    assert isinstance(meter, BandMeter)
    return meter


def _with_treble(fmt: OutputFormat, channels: int) -> OutputFormat:
    """Return a lossy format with enough bits for the treble of all channels, with a note if the bit rate was raised."""
    if fmt.subtype not in LOSSY or not fmt.bitrate or fmt.rate < _LOWEST_RATE_WITH_TREBLE:
        return fmt
    least = channels * (_TREBLE_BITS_OPUS if fmt.subtype == "OPUS" else _TREBLE_BITS)
    if fmt.bitrate >= least:
        return fmt
    told = f"written at {least // 1000} kb/s: at {fmt.bitrate // 1000} the encoder would cut the treble again"
    return replace(fmt, bitrate=least, notes=(*fmt.notes, told))
