"""Write one record per input file as soon as the file has ended, so that a killed run still leaves a report.

A record is one line of JSON with the same keys whether the file was done, skipped or failed.
"""

import codecs
import dataclasses
import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from enhance_cli.batch.measurements import FIELDS
from enhance_cli.errors import AudioError, UsageError


@dataclass(slots=True)
class Record:
    """Describe the result of one file, with times in seconds, loudness in LUFS, peaks and noise floors in dBFS, gain in dB.

    None means "not known" or "not defined", such as the loudness of silence.

    Args:
        relative: path of the input below the folder argument.
        folder: working folder of the run, to which paths are relative.
        track: sound track that was processed, if the input has several.
        new_track: number of the new sound track in a video.
        start: position in the input where reading started.
        channel: the channel that was processed, or mix.
        outputs: several outputs of one input by name. Their levels are in `parts`.
        status: how the file ended. "planned": it is only listed (--dry-run).
        ended: date and time (ISO 8601, UTC).
        revision: SHA-256 of the model.
        first_stage: name and SHA-256 of the model whose estimate this model refines.
        vectors: number of speaker embeddings in the file.
        unusable: ids of embeddings that could not be repaired.
        measured: fields of the measurements of tasks, which appear among the others in the JSON.
        gain: applied to the whole file after the model, with the reasons in `notes`.
        limited_by: dB by which a limiter lowered the highest peak.
        limited_share: share of the time in which it lowered peaks, from 0 to 1.
        settings: value and origin, by name, of the settings that differ from the built-in defaults.
        error: exception behind a failure, not in the JSON.
    """

    input: str | None = None
    relative: str | None = None
    folder: str | None = None
    track: str | None = None
    new_track: int | None = None
    start: float | None = None
    channel: str | None = None
    output: str | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    status: Literal["done", "skipped", "failed", "planned"] | None = None
    reason: str | None = None
    seconds_audio: float | None = None
    seconds_work: float | None = None
    ended: str | None = None
    rate: int | None = None
    channels: int | None = None
    model: str | None = None
    revision: str | None = None
    first_stage: str | None = None
    sampler: str | None = None
    sampler_args: dict[str, float] = field(default_factory=dict)
    steps: int | None = None
    guide: str | None = None
    seed: int | None = None
    extractor: str | None = None
    vectors: int | None = None
    unusable: list[str] = field(default_factory=list)
    device: str | None = None
    precision: str | None = None
    runtime: str | None = None
    loudness_before: float | None = None
    loudness_after: float | None = None
    peak_before: float | None = None
    peak_after: float | None = None
    noise_floor_before: float | None = None
    noise_floor_after: float | None = None
    measured: dict[str, Any] = field(default_factory=dict)
    gain: float | None = None
    limited_by: float | None = None
    limited_share: float | None = None
    parts: dict[str, dict[str, float | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    tags_lost: list[str] = field(default_factory=list)
    version: str | None = None
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: BaseException | None = field(default=None, repr=False, compare=False)

    def update(self, fields: Mapping[str, Any]) -> None:
        """Set fields, also those of measurements. Raises AttributeError for a field that no record has."""
        for name, value in fields.items():
            if name in FIELDS:
                self.measured[name] = value
            else:
                setattr(self, name, value)

    def to_json(self) -> str:
        """Return one line of valid JSON. NaN and infinity become null, invalid UTF-8 is escaped."""
        values: dict[str, Any] = {}
        for name in _NAMES:
            values |= FIELDS | self.measured if name == "measured" else {name: getattr(self, name)}
        values = {name: _plain(value) for name, value in values.items()}
        return json.dumps(values, ensure_ascii=False, allow_nan=False)


_NAMES = tuple(item.name for item in dataclasses.fields(Record) if item.name != "error")  # of to_json


def printable(text: object) -> str:
    """Return `text` with invalid UTF-8, which file names may contain, escaped, so that every stream accepts it."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return printable(value)
    if hasattr(value, "item"):  # a NumPy number
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {printable(name): _plain(item) for name, item in value.items()}
    return printable(value)


class ReportWriter:
    """Append records to a file, one JSON line each. With the path None it does nothing.

    A skipped file whose last record in the file is the same line gets no other one, so that resuming a batch of many files
    does not lengthen its report each time.

    Raises UsageError when the file cannot be opened, and AudioError when a record cannot be written.
    """

    def __init__(self, path: Path | str | None):
        self.path = path
        self._file: IO[bytes] | None = None
        self._skipped: dict[int, int] = {}  # hash of the line by that of its input

    def __enter__(self) -> "ReportWriter":
        if self.path is not None:
            try:
                # Whole lines are appended without buffering, so that shards can share a report and a kill loses nothing.
                is_pipe = os.path.exists(self.path) and not os.path.isfile(self.path)
                self._file = open(self.path, "ab" if is_pipe else "ab+", buffering=0)
                if not is_pipe:
                    self._refuse_another_file(self._file)
                    _end_broken_line(self._file)
                    self._skipped = _last_skips(self._file)
            except OSError as error:
                raise UsageError(*self._failure(error)) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, record: Record) -> None:
        """Append one record."""
        if self._file is not None:
            line = record.to_json().encode() + b"\n"
            if record.status == "skipped" and self._skipped.get(_input_of(line)) == hash(line):
                return
            try:
                if self._file.write(line) != len(line):
                    raise OSError(0, "no space left")
            except OSError as error:
                raise AudioError(*self._failure(error)) from error

    def _refuse_another_file(self, file: IO[bytes]) -> None:
        """Raise UsageError for a file that holds something else, such as a recording, before anything is added to it."""
        file.seek(0)
        if file.read(64).removeprefix(codecs.BOM_UTF8).lstrip()[:1] not in (b"{", b""):
            raise UsageError(
                f"{self.path}: this file is no report, so nothing is added to it", "choose another --report"
            )

    def _failure(self, error: OSError) -> tuple[str, str]:
        return f"{self.path}: the report cannot be written ({error.strerror})", "choose another --report"


def _last_skips(file: IO[bytes]) -> dict[int, int]:
    """Return the hash of the last record of each input, by the hash of the input, where that record is of a skip."""
    found: dict[int, int] = {}
    file.seek(0)
    for line in io.BufferedReader(io.FileIO(file.fileno(), closefd=False), 1 << 16):
        if b', "status": "skipped", ' in line:
            found[_input_of(line)] = hash(line)
        else:
            found.pop(_input_of(line), None)
    return found


def _input_of(line: bytes) -> int:
    """Return the hash of the first fields of a record, its input and folder."""
    return hash(line.partition(b', "track": ')[0])


def _end_broken_line(file: IO[bytes]) -> None:
    """Append a line end if a crash has cut the last line short, so that it does not merge with the next record."""
    if file.seek(0, os.SEEK_END) > 0:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
