"""Define the interface through which the batch lets a task measure a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from enhance_cli.audio.formats import OutputFormat
from enhance_cli.audio.info import AudioInfo
from enhance_cli.audio.levels.level import Meter, SampleMeter


@dataclass(frozen=True)
class Measurement:
    """Measure a recording for a task, in addition to its level. This base class measures nothing, as most tasks need.

    Subclasses are listed in `measurements.MEASUREMENTS` and must be picklable.

    `fields`: the fields of a record that it fills, with their values in records of other tasks. `levels`: name -> (title,
    unit) of quantities that the page compares, from the fields NAME_before and NAME_after. `changes_rate`: the rate of the
    result is known only after the input has been measured. `reads_back`: outputs of lossy codecs are read and measured, too.
    """

    fields: ClassVar[Mapping[str, Any]] = {}
    levels: ClassVar[Mapping[str, tuple[str, str]]] = {}
    changes_rate: ClassVar[bool] = False
    reads_back: ClassVar[bool] = False

    def input_meter(self, info: AudioInfo, *, start: float, sample_rate: int | None) -> SampleMeter | None:
        """Return the meter that receives the samples of an input, and becomes `Meter.extra`.

        `start`: position of the first sample in the file, in seconds. `sample_rate`: in Hz, where the user has asked for
        one. Raises UsageError for settings that do not fit the file.
        """
        return None

    def result_meter(self, rate: int) -> SampleMeter | None:
        """Return the meter that receives the samples of the result, at `rate` Hz."""
        return None

    def rate_of_result(self, before: Meter, rate: int) -> int:
        """Return the rate in Hz at which the task works, for a measured input at `rate`."""
        return rate

    def fitted(self, fmt: OutputFormat, before: Meter, channels: int) -> OutputFormat:
        """Return the format of the output, adapted to the measured input. Called only if `changes_rate`."""
        return fmt

    def values(self, before: Meter, written: SampleMeter | None, gain: float) -> dict[str, Any]:
        """Return the values of the fields after the result has been written with this `gain`. `written`: its measurement."""
        return {}

    def notes(self, before: Meter, made: SampleMeter | None, written: SampleMeter | None) -> list[str]:
        """Return notes for the user. `made`: measurement of the result. `written`: the same after a lossy codec."""
        return []
