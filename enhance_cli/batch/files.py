"""Process one file from input to output in constant memory: measure, transform, set the level, write, copy the tags.

The first pass over the source determines its exact length, its level and any damage. The second pass feeds the transform. It
reads a long source again, except for a video, whose sound is kept in a temporary file, since the video may be a hundred times
as large. The result waits in another temporary file, because the gain of the whole file is known only at its end. Audio blocks
are (C, n) arrays, and full scale is 1.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from enhance_cli.audio.channels import permutation
from enhance_cli.audio.film.formats import with_bitrate
from enhance_cli.audio.film.rewrite import new_track
from enhance_cli.audio.formats import FILMS, OutputFormat, loses_bits
from enhance_cli.audio.info import FLOATS, LOSSY, cut_chapters, is_lossless
from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.read import AudioFile
from enhance_cli.audio.resample import resample_blocks, resampled_length
from enhance_cli.audio.tags.carry import chapters_of, copy_tags
from enhance_cli.audio.tags.mark import MARK, read_mark, write_mark
from enhance_cli.audio.tags.provenance import command_in
from enhance_cli.batch.claims import claimed, mark_of
from enhance_cli.batch.clipping import gain_without_clipping
from enhance_cli.batch.decibels import decibels, rounded
from enhance_cli.batch.file_options import FileOptions
from enhance_cli.batch.film import format_of, notes_on_pictures, open_output
from enhance_cli.batch.job import LocalJob
from enhance_cli.batch.loudness import LoudnessNormalization
from enhance_cli.batch.plots import draw
from enhance_cli.batch.reading import Blocks, errors_in_the_users_names, measured, open_input, regular_file
from enhance_cli.batch.result import Result, level_fields
from enhance_cli.batch.safety.atomic import STDOUT
from enhance_cli.batch.safety.changes import check_unchanged, folders_watched, state
from enhance_cli.batch.spool import Spool
from enhance_cli.errors import AudioError, NothingToDo

Transform = Callable[[Blocks, int, int, Meter], Blocks]
"""`transform(blocks, rate, channels, level)` takes blocks (C, n) and yields blocks (C, m), with the same number of samples in
total. `level` has measured the whole file. With K `parts` the blocks are (K C, m), with the channels of a part together."""

FILMS_MARKED_BEFORE = ("MKV", "WEBM", "MOV", "AVI")  # they are marked while they are written, or cannot be marked
OWN_RESULT = "this is an output of an earlier run", "give another folder with -o to do it once more"


def enhance_file(job: LocalJob, transform: Transform, options: FileOptions = FileOptions()) -> dict[str, Any]:
    """Transform one file, write the result, and return the measured fields of its `Record`.

    The parts of the job are written all or none, with the same gain. Raises AudioError if the input cannot be read, or if
    the output cannot be written, is not finite or is not as long as the input. Raises UsageError for a format that cannot
    be written, NothingToDo if the input is an output of an earlier run. After an error, the target does not exist.
    """
    source = regular_file(job.source)
    own_mark = options.command if job.leaves_own else ""
    if own_mark and read_mark(source) == own_mark:
        raise NothingToDo(*OWN_RESULT)
    before_reading = state(source)
    with (
        errors_in_the_users_names(job, source, before_reading),
        open_input(source, job, options) as audio,
        contextlib.ExitStack() as stack,
    ):
        info, measurement = audio.info, options.measurement
        if own_mark and command_in(info.tags.get(MARK)) == own_mark:
            raise NothingToDo(*OWN_RESULT)
        fmt = None if measurement.changes_rate else format_of(job, source, audio, options)  # refused before any work
        # Temporary files go to the disk of the target, since the system's temporary folder may be small or in memory.
        folder = None if job.target == STDOUT else job.target.parent
        copy = stack.enter_context(Spool(folder)) if info.container in FILMS.values() else None
        before, blocks = measured(audio, options, copy)
        rate = measurement.rate_of_result(before, info.rate)  # at which the transform works
        fmt = _completed(fmt or _measured_format(job, source, audio, options, before), audio, options)
        unfinished = {
            name: stack.enter_context(claimed(job, source, path, options.command))
            for name, path in job.parts or [("", job.target)]
        }
        stack.enter_context(folders_watched(job.targets))
        with Spool(folder) as spool:
            result = Result(spool, info, fmt, options)
            blocks = transform(resample_blocks(blocks, info.rate, rate, info.channels), rate, info.channels, before)
            blocks = _checked(blocks, job.source, rate, resampled_length(before.frames, info.rate, rate))
            result.fill(resample_blocks(blocks, rate, fmt.rate, len(result.names) * info.channels))
            written = _write(result, unfinished, before)
            result.measure_written(unfinished)
            codec_notes = _notes_on_codec(result, unfinished, written.gain) if options.parts else []
        tags_lost, unnamed = _finish(result, unfinished, job, source, written.gain)
        check_unchanged(source, before_reading)
    if options.plot:
        for target in job.targets:
            draw(job, source, target, options, fmt.film)
    read = audio.notes if fmt.film is None else (*info.notes, *audio.findings.notes)
    made = [*measurement.notes(before, result.extra, result.written_extra), *_notes_on_kept(job, options)]
    notes = [*read, *fmt.notes, *written.notes, *notes_on_pictures(job, fmt, info), *unnamed, *made, *codec_notes]
    return {
        "rate": info.rate,
        "channels": info.channels,
        "notes": notes,
        "tags_lost": tags_lost,
        "seconds_audio": round(before.frames / info.rate, 3),
        **({} if fmt.film is None else {"new_track": new_track(fmt.film)}),
        **measurement.values(before, result.written_extra, written.gain),
        **written.fields,
        **_levels(before, result, list(unfinished), written),
    }


@dataclass(frozen=True)
class _Written:
    """Describe how the level of a result was set: its gain, notes for the user, and further fields of the record.

    `loudness`: of the written files in LUFS, if they were read back.
    """

    gain: float
    loudness: Mapping[str, float | None]
    notes: list[str]
    fields: dict[str, Any]


def _write(result: Result, unfinished: Mapping[str, Path], before: Meter) -> _Written:
    """Write the parts in `unfinished` with the gain, and the limiter, that the options ask for."""
    if result.options.loudness is None:
        gain, notes = gain_without_clipping(before, result.levels.values(), result.format)
        result.write(unfinished, gain)
        return _Written(gain, {}, notes, {})
    normalization = LoudnessNormalization(before, result)
    gain, loudness = normalization.write(unfinished)
    return _Written(gain, loudness, normalization.notes(), normalization.fields())


def _measured_format(
    job: LocalJob, source: Path, audio: AudioFile, options: FileOptions, before: Meter
) -> OutputFormat:
    """Return the format of a task that decides on the rate of its result once the input has been measured."""
    info, rate = audio.info, options.measurement.rate_of_result(before, audio.info.rate)
    wanted_rate = options.sample_rate or (None if rate == info.rate else rate)
    fmt = format_of(job, source, audio, replace(options, sample_rate=wanted_rate))
    return options.measurement.fitted(fmt, before, info.channels)


def _notes_on_codec(result: Result, written: Mapping[str, Path], gain: float) -> list[str]:
    """Return a note on the error that a lossy codec makes in the sum of the parts."""
    fmt = result.format
    error = None if is_lossless(fmt.subtype) else result.error_of_sum(written, gain)
    if error is None:
        return []
    outputs = "the outputs together" if len(written) > 1 else "the output"
    codec = fmt.container if fmt.subtype in LOSSY else fmt.subtype
    return [f"{codec} is lossy: the error of its codec in {outputs} is {-error:.1f} dB below the sound"]


def _notes_on_kept(job: LocalJob, options: FileOptions) -> list[str]:
    """Return a note on parts that existed and were kept, since an earlier run may have made them with other settings."""
    kept = [name for name in options.parts if name not in dict(job.parts)] if job.parts else []
    if not kept:
        return []
    names = " and ".join(kept)
    return [f"{names} existed and stayed, so the outputs may not add up: --existing overwrite makes all of them anew"]


def _levels(before: Meter, result: Result, names: list[str], written: _Written) -> dict[str, Any]:
    """Return the fields of a record about the levels of the input and of the parts `names`, which were written."""
    levels = {name: level_fields(result.levels[name], written.gain) for name in names}
    for name, value in written.loudness.items():
        levels[name]["loudness"] = rounded(value)
    fields: dict[str, Any] = {"gain": rounded(decibels(written.gain))}
    fields |= {f"{name}_before": value for name, value in level_fields(before).items()}
    if result.names == ("",):
        return fields | {f"{name}_after": value for name, value in levels[""].items()}
    return fields | {"parts": levels}


def _completed(fmt: OutputFormat, audio: AudioFile, options: FileOptions) -> OutputFormat:
    """Return the format with dither, chapters and, for a video, the bit rate of its original sound (known after reading)."""
    dither = options.dither == "tpdf" and not options.last_part_absorbs_rounding and loses_bits(audio.info, fmt)
    known = audio.info.chapters
    if not known and fmt.container == "M4A":  # whose encoder writes the chapters
        known = chapters_of(audio.info.path)
    fmt = replace(fmt, chapters=cut_chapters(known, options.start, options.duration), dither=dither)
    return fmt if fmt.film is None else with_bitrate(fmt, audio.info, audio.bitrate)


def _finish(
    result: Result, unfinished: Mapping[str, Path], job: LocalJob, source: Path, gain: float
) -> tuple[list[str], list[str]]:
    """Copy the tags of the input to the written files, mark and check them. Returns the tags that are lost, and notes."""
    fmt, options, lost, notes = result.format, result.options, list[str](), list[str]()
    for (name, path), target in zip(unfinished.items(), job.targets):
        if fmt.film is None:  # in videos, tags are copied while the file is written
            lost = copy_tags(source, path, options.start, info=result.info, change=result.change(name, gain))
        mark = mark_of(job, source, target, options.command)
        if mark and fmt.container not in FILMS_MARKED_BEFORE:
            write_mark(path, mark)
        notes = _check_written(path, target, fmt, result.frames)
    return lost, notes


def _checked(blocks: Blocks, source: Path, rate: int, expected: int) -> Blocks:
    """Yield the same blocks. Raises AudioError for a value that is not finite, and for another number of samples."""
    frames = 0
    for block in blocks:
        finite = np.isfinite(block).all(axis=0)
        if not finite.all():
            position = (frames + int(np.argmin(finite))) / rate
            message = f"{source}: the result is not a number at {position:.3f} s, so nothing was written"
            raise AudioError(message, "try --precision fp32 or another model")
        frames += block.shape[1]
        yield block
    if frames != expected:
        message = f"{source}: the result has {frames} samples instead of {expected}, so nothing was written"
        raise AudioError(message, "please report this")


def _check_written(unfinished: Path, target: Path, fmt: OutputFormat, expected: int) -> list[str]:
    """Read the header of the finished file, since a disk or a tag writer may have damaged it. Raises AudioError.

    Returns a note if a video does not name the loudspeakers that its source names.
    """
    with open_output(unfinished, fmt.film) as written:
        exact = fmt.subtype in FLOATS or fmt.subtype.startswith(("PCM", "ALAC"))  # other codecs pad to whole packets
        if exact and fmt.film is None and written.info.frames not in (expected, None):
            message = f"{target}: {written.info.frames} of {expected} samples were written"
            raise AudioError(message, "check the disk, then run again")
        if fmt.film is None or fmt.layout is None or permutation(fmt.layout, written.info.layout or ()) is not None:
            return []
        return [f"this {fmt.container} does not name the loudspeakers of its channels, {' '.join(fmt.layout)}"]
