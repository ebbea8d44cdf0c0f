"""Find the gaps of a recording, for the task that fills them (tasks.inpaint)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from enhance_cli.audio.gaps.meter import GapMeter, Spans
from enhance_cli.audio.info import AudioInfo
from enhance_cli.audio.levels.level import Meter, SampleMeter
from enhance_cli.batch.measurements.measurement import Measurement


@dataclass(frozen=True)
class GapMeasurement(Measurement):
    """Use the `given` gaps, (begin, end) each in seconds of the file, or find them."""

    fields: ClassVar[Mapping[str, Any]] = {"gaps": []}

    given: Spans | None = None

    def input_meter(self, info: AudioInfo, *, start: float, sample_rate: int | None) -> GapMeter:
        return GapMeter(info.rate, self.given, start)

    def values(self, before: Meter, written: SampleMeter | None, gain: float) -> dict[str, Any]:
        return {"gaps": _gaps(before).record()}

    def notes(self, before: Meter, made: SampleMeter | None, written: SampleMeter | None) -> list[str]:
        return _gaps(before).notes


def _gaps(level: Meter) -> GapMeter:
    assert isinstance(level.extra, GapMeter)
    return level.extra
