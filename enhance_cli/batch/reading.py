"""Open the input of a job and read it twice: first to measure it, then to transform it."""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from enhance_cli.atomic import unfinished_path
from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.one_channel import notes_on_calls, only_channels
from enhance_cli.audio.read import AudioFile, open_audio
from enhance_cli.batch.file_options import FileOptions
from enhance_cli.batch.inputs import STDIN
from enhance_cli.batch.job import LocalJob
from enhance_cli.batch.safety.atomic import spool_pipe, spool_stdin
from enhance_cli.batch.safety.changes import check_unchanged, state
from enhance_cli.batch.spool import BLOCK, IN_MEMORY, Spool
from enhance_cli.errors import EnhanceError

Blocks = Iterator[np.ndarray]
STEP = 16384  # samples of a long recording that are transformed at a time: a transform holds several copies of them


def measure_file(job: LocalJob, options: FileOptions) -> Meter:
    """Return the level of the input of a job, with the measurement of the task. Raises the errors of `enhance_file`."""
    source = regular_file(job.source)
    with errors_in_the_users_names(job, source, state(source)), open_input(source, job, options) as audio:
        return measured(audio, replace(options, measure=False, loudness=None), None)[0]


def regular_file(source: Path) -> Path:
    """Return a file that can be read twice: the input itself, or a temporary copy of the data from a pipe."""
    if source == STDIN:
        return spool_stdin()
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.stat(source).st_mode):
            return spool_pipe(source)
    return source


def open_input(source: Path, job: LocalJob, options: FileOptions) -> AudioFile:
    """Open the requested track and channels of an input."""
    audio = open_audio(source, job.track or options.track)
    if options.channels is not None:
        return only_channels(audio, options.channels)
    if not options.parts:
        audio.info = replace(audio.info, notes=(*audio.info.notes, *notes_on_calls(audio.info)))
    return audio


def _blocks(audio: AudioFile, options: FileOptions, size: int) -> Blocks:
    return audio.blocks(size, start=options.start, duration=options.duration)


def measured(audio: AudioFile, options: FileOptions, copy: Spool | None) -> tuple[Meter, Blocks]:
    """Measure the requested samples for the level and for the task. Returns the meter, and the same blocks once more.

    The blocks of short recordings are kept in memory. Those of long recordings are read from the file again, or from `copy`
    if that is given and smaller than the file (a video is much larger than its sound).
    """
    wanted = options.loudness is not None
    loudness = options.measure or (wanted and len(options.parts) > 1)
    info = audio.info
    extra = options.measurement.input_meter(info, start=options.start, sample_rate=options.sample_rate)
    meter = Meter(info.rate, info.channels, loudness=loudness, layout=info.layout, extra=extra)
    limit = max(IN_MEMORY, info.path.stat().st_size) if copy else IN_MEMORY
    kept: list[np.ndarray] = []
    size = 0
    for block in _blocks(audio, options, BLOCK):
        meter.push(block)
        size += block.nbytes
        if size > limit:
            kept.clear()
        elif copy:
            copy.write(block)
        else:
            kept.append(block)
    if size > limit:
        return meter, _blocks(audio, options, STEP)
    return meter, copy.blocks() if copy else iter(kept)


@contextlib.contextmanager
def errors_in_the_users_names(job: LocalJob, source: Path, before: tuple[int, int] | None) -> Iterator[None]:
    """Replace the names of temporary files in errors with those that the user knows.

    If the input has changed in the meantime, the error says so instead.
    """
    try:
        yield
    except (EnhanceError, OSError) as error:
        check_unchanged(source, before)
        for target in job.targets:
            if isinstance(error, EnhanceError):
                error.message = error.message.replace(str(unfinished_path(target)), str(target))
            elif error.filename is not None and Path(os.fsdecode(error.filename)) == unfinished_path(target):
                error.filename = str(target)
        if source != job.source and isinstance(error, EnhanceError):
            known = "standard input" if job.source == STDIN else str(job.source)
            error.message = error.message.replace(str(source), known)
        raise
