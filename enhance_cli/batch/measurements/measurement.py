"""Define the object by which a task has a file measured. All that the batch knows of a task's own measurement is here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from enhance_cli.audio.formats import OutputFormat
from enhance_cli.audio.info import AudioInfo
from enhance_cli.audio.levels.level import Meter, SampleMeter


@dataclass(frozen=True)
class Measurement:
    """Measure a recording for a task, beside its level. This one measures nothing, which is enough for most tasks.

    Others inherit it, are listed in `measurements.MEASUREMENTS`, and can be pickled.

    `fields`: names of the fields of a record that it fills, and the values of records without it. `levels`: title and
    unit by name, where NAME_before and NAME_after are fields that the page compares. `changes_rate`: the rate of the result
    is only known when the input has been measured. `reads_back`: a result of a lossy codec is read again and measured.
    """

    fields: ClassVar[Mapping[str, Any]] = {}
    levels: ClassVar[Mapping[str, tuple[str, str]]] = {}
    changes_rate: ClassVar[bool] = False
    reads_back: ClassVar[bool] = False

    def input_meter(self, info: AudioInfo, *, start: float, sample_rate: int | None) -> SampleMeter | None:
        """Return the meter that gets the samples of an input, and is the `extra` of its level.

        `start`: position of the first sample in the file, in seconds. `sample_rate`: in Hz, where the user has asked for
        one. Raises UsageError for settings that do not fit the file.
        """
        return None

    def result_meter(self, rate: int) -> SampleMeter | None:
        """Return the meter that gets the samples of the result, at `rate` Hz."""
        return None

    def rate_of_result(self, before: Meter, rate: int) -> int:
        """Return the rate in Hz that the task works at, for an input at `rate` that has been measured."""
        return rate

    def fitted(self, fmt: OutputFormat, before: Meter, channels: int) -> OutputFormat:
        """Return the format of the output with changes that the measured input asks for, where `changes_rate`."""
        return fmt

    def values(self, before: Meter, written: SampleMeter | None, gain: float) -> dict[str, Any]:
        """Return the values of the fields, once the task is done and its result was `written`, `gain` times as loud."""
        return {}

    def notes(self, before: Meter, made: SampleMeter | None, written: SampleMeter | None) -> list[str]:
        """Return the notes to the user. `made`: the result. `written`: the same, as a lossy codec has left it."""
        return []
