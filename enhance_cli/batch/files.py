"""Process one file from input to output in constant memory: measure, transform, set the level, write, copy the tags.

The first pass over the source finds its exact length, its level and any damage. The second feeds the transform, and
reads a long source again, but not a video, which may be a hundred times as large as its sound. The result waits in an
unnamed temporary file, because the one gain for the whole file is known only at its end. Audio blocks are (C, n)
arrays, full scale is 1.
"""

import contextlib
import math
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from enhance_cli.atomic import unfinished_path
from enhance_cli.audio.band_edge import BandMeter
from enhance_cli.audio.chapters import cut
from enhance_cli.audio.film import new_track
from enhance_cli.audio.film_formats import with_bitrate
from enhance_cli.audio.formats import FILMS, Film, loses_bits
from enhance_cli.audio.gap_meter import GapMeter
from enhance_cli.audio.gaps import Gap
from enhance_cli.audio.info import LOSSY, AudioInfo, depth
from enhance_cli.audio.level import Meter
from enhance_cli.audio.mark import MARK, read_mark, write_mark
from enhance_cli.audio.read import AudioFile, only_channels, open_audio
from enhance_cli.audio.resample import Resampler, resampled_length
from enhance_cli.audio.tags import copy_tags
from enhance_cli.audio.wave_facts import Change
from enhance_cli.audio.write import AudioWriter, OutputFormat, as_read
from enhance_cli.batch.file_options import FileOptions
from enhance_cli.batch.film import format_of, titled
from enhance_cli.batch.gain import FLOATS, choose_gain, decibels
from enhance_cli.batch.inputs import STDIN
from enhance_cli.batch.job import Job
from enhance_cli.batch.safety.atomic import STDOUT, atomic, spool_pipe, spool_stdin
from enhance_cli.batch.safety.changes import check_unchanged, folders_watched, state
from enhance_cli.batch.spool import BLOCK, IN_MEMORY, Spool
from enhance_cli.errors import AudioError, EnhanceError, NothingToDo, UsageError

Blocks = Iterator[np.ndarray]
Transform = Callable[[Blocks, int, int, Meter], Blocks]
"""`process(blocks, rate, channels, level)`: blocks (C, n) in, blocks (C, m) out, as many samples out as in;
`level` has measured the whole file. With K `parts` it gives (K C, m), each part's channels together."""

MISSED = 0.05  # LU by which what a lossy codec made of a file may miss the loudness that was asked for
FILMS_MARKED_BEFORE = ("MKV", "WEBM", "MOV", "AVI")  # or that have no place for a mark
CALL_RATE = 8000  # Hz: stereo at this rate comes from telephone systems


def enhance_file(job: Job, process: Transform, options: FileOptions = FileOptions()) -> dict[str, Any]:
    """Transform one file by `process`, write the result, and return the measured fields of its `Record`.

    Parts that are in the job are written, all or none, with one gain for all. Raises AudioError for input that cannot
    be read and output that cannot be written or is not finite or not as long as the input, UsageError for a format that
    cannot be written, NothingToDo for an output of an earlier run. In all cases nothing is left at the target.
    """
    source = _regular(job.source)
    if job.beside and options.command and read_mark(source) == options.command:
        raise NothingToDo("this is an output of an earlier run", "give another folder with -o to do it once more")
    before_reading = state(source)
    with (
        _errors_in_the_users_names(job, source, before_reading),
        _opened(source, job, options) as audio,
        contextlib.ExitStack() as temporary,
    ):
        if job.beside and options.command and audio.info.tags.get(MARK) == options.command:
            raise NothingToDo("this is an output of an earlier run", "give another folder with -o to do it once more")
        info = audio.info
        fmt = None if options.extend else format_of(job, source, audio, options)  # refused before any work
        # On the disk of the target: the usual folder for temporary files may be small, or memory.
        folder = None if job.target == STDOUT else job.target.parent
        copy = temporary.enter_context(Spool(folder)) if info.container in FILMS.values() else None
        before, blocks = _measured(audio, options, copy)
        rate = before.band.wide_rate if before.band else info.rate  # of the transform
        if fmt is None:
            wanted_rate = options.sample_rate or (None if rate == info.rate else rate)
            fmt = format_of(job, source, audio, replace(options, sample_rate=wanted_rate))
        dither = options.dither == "tpdf" and not options.last_part_absorbs_rounding and loses_bits(info, fmt)
        fmt = replace(fmt, chapters=cut(info.chapters, options.start, options.duration), dither=dither)
        if fmt.film is not None:
            fmt = with_bitrate(fmt, info, audio.bitrate)
        wanted = options.loudness is not None
        names = options.parts or ("",)
        heard = options.measure or wanted
        band = BandMeter(fmt.rate) if options.extend else None
        after = {
            n: Meter(fmt.rate, info.channels, heard, true_peak=wanted, layout=info.layout, band=band) for n in names
        }
        with contextlib.ExitStack() as stack:
            unfinished = {name: stack.enter_context(atomic(path)) for name, path in job.parts or [("", job.target)]}
            stack.enter_context(folders_watched(job.targets))
            with Spool(folder) as spool:
                blocks = _at_rate(blocks, info.rate, rate, info.channels)
                cleaned = process(blocks, rate, info.channels, before)
                cleaned = _checked(cleaned, job.source, rate, resampled_length(before.frames, info.rate, rate))
                for block in _at_rate(cleaned, rate, fmt.rate, len(names) * info.channels):
                    for meter, rows in zip(after.values(), np.split(block, len(names))):
                        meter.push(rows)
                    spool.write(block)
                gain, level_notes = choose_gain(before, list(after.values()), fmt, options.loudness, options.true_peak)
                heard_notes = audio.notes if fmt.film is None else [*info.notes, *audio.findings.notes]
                notes = [*heard_notes, *fmt.notes, *level_notes, *(before.band.notes if before.band else [])]
                notes += before.gaps.notes if before.gaps else []
                frames = after[names[0]].frames
                _write(spool, unfinished, names, fmt, info, frames, gain, options.last_part_absorbs_rounding)
                heard_after = None
                if wanted and fmt.subtype in LOSSY and len(names) == 1 and after[names[0]].loudness is not None:
                    aim = after[names[0]].loudness + decibels(gain)
                    (path,) = unfinished.values()
                    heard_after = _loudness_of(path, fmt.film)
                    for _ in range(2):  # the codec has changed it
                        if heard_after is None or abs(heard_after - aim) <= MISSED:
                            break
                        gain *= 10 ** ((aim - heard_after) / 20)
                        _write(
                            spool,
                            unfinished,
                            names,
                            fmt,
                            info,
                            frames,
                            gain,
                            options.last_part_absorbs_rounding,
                        )
                        heard_after = _loudness_of(path, fmt.film)
                if options.parts and fmt.subtype in LOSSY and len(unfinished) > 1:
                    notes.append(
                        f"{fmt.container} is lossy: the outputs add up to the input but for what its codec loses"
                    )
            tags_lost: list[str] = []
            for (name, path), target in zip(unfinished.items(), job.targets):
                level = after[name].loudness
                change = Change(
                    options.start, frames / fmt.rate, fmt.bits or depth(fmt.subtype), decibels(gain),
                    None if level is None else level + decibels(gain),
                )  # fmt: skip
                if fmt.film is None:
                    tags_lost = copy_tags(source, path, options.start, info=info, change=change)
                if options.command and fmt.container not in FILMS_MARKED_BEFORE:
                    write_mark(path, options.command)
                _check_written(path, target, fmt, frames)
            check_unchanged(source, before_reading)
    if options.plot:
        for target in job.targets:
            _plot(source, target, fmt.film)
    measured = {"seconds_audio": round(before.frames / info.rate, 3), "rate": info.rate, "channels": info.channels}
    measured |= {f"{name}_before": value for name, value in _level(before, 1.0).items()}
    measured |= {"gain": _rounded(decibels(gain)), "notes": notes, "tags_lost": tags_lost}
    if fmt.film is not None:
        measured["new_track"] = new_track(fmt.film)
    if before.band and band:
        measured |= _bands(before.band, band, gain)
    if before.gaps:
        measured["gaps"] = before.gaps.record()
    results = {name: _level(after[name], gain) for name in unfinished}
    if heard_after is not None:
        results[""]["loudness"] = _rounded(heard_after)
    if options.parts:
        return measured | {"parts": results}
    return measured | {f"{name}_after": value for name, value in results[""].items()}


def find_gaps(job: Job, options: FileOptions) -> tuple[list[Gap], str]:
    """Return the gaps of a file that `enhance_file` would fill, and them in the form of --gaps. Raises as it does."""
    source = _regular(job.source)
    with _errors_in_the_users_names(job, source, state(source)), _opened(source, job, options) as audio:
        meter, _ = _measured(audio, replace(options, measure=False, loudness=None), None)
        if meter.gaps is None:
            return [], ""
        gaps = meter.gaps.found(meter.active_levels)
        return gaps, meter.gaps.text(gaps)


def _regular(source: Path) -> Path:
    """Return a file that can be read twice: the input itself, or a temporary copy of the data from a pipe."""
    if source == STDIN:
        return spool_stdin()
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.stat(source).st_mode):
            return spool_pipe(source)
    return source


def _opened(source: Path, job: Job, options: FileOptions) -> AudioFile:
    """Open the track and the channels of an input that are asked for."""
    audio = open_audio(source, job.track or options.track)
    if options.channels is not None:
        return only_channels(audio, options.channels)
    if audio.info.channels == 2 and audio.info.rate <= CALL_RATE and not options.parts:
        note = "two channels, perhaps the two sides of a call: --channel N takes one of them, --channel mix their mean"
        audio.info = replace(audio.info, notes=(*audio.info.notes, note))
    return audio


def _loudness_of(path: Path, film: Film | None) -> float | None:
    """Return the integrated loudness of a finished file in LUFS, of its new sound track if it is a film."""
    with open_audio(path, None if film is None else str(new_track(film))) as audio:
        meter = Meter(audio.info.rate, audio.info.channels, layout=audio.info.layout)
        for block in audio.blocks(BLOCK):
            meter.push(block)
        return meter.loudness


def _level(meter: Meter, gain: float) -> dict[str, float | None]:
    """Return the level fields of a record for the measured signal, made `gain` times as loud."""
    return {
        "loudness": _rounded(meter.loudness, decibels(gain)),
        "peak": _rounded(decibels(meter.peak * gain)),
        "noise_floor": _rounded(meter.noise_floor, decibels(gain)),
    }


def _bands(before: BandMeter, after: BandMeter, gain: float) -> dict[str, Any]:
    """Return the fields of a record about the band of the input and of the output, and the level of what was made above."""
    made = 10 * math.log10(before.made_power) + decibels(gain) if before.made_power else None
    edges = {"cutoff_before": before.edge or before.rate / 2, "cutoff_after": after.edge or after.rate / 2}
    return {name: _rounded(edge) for name, edge in edges.items()} | {"made_level": _rounded(made)}


def _write(
    spool: Spool,
    unfinished: dict[str, Path],
    names: tuple[str, ...],
    fmt: OutputFormat,
    info: AudioInfo,
    frames: int,
    gain: float,
    last_part_absorbs_rounding: bool,
) -> None:
    """Write those of the spool's `names` that are among the `unfinished` files, `gain` times as loud."""
    channels = info.channels
    with contextlib.ExitStack() as stack:
        writers = {
            name: stack.enter_context(AudioWriter(path, titled(fmt, info, name), channels, frames))
            for name, path in unfinished.items()
        }
        for block in spool.blocks():
            block = block if gain == 1.0 else block * block.dtype.type(gain)
            pieces = dict(zip(names, np.split(block, len(names))))
            if last_part_absorbs_rounding:
                total = block.reshape(len(names), channels, -1).sum(axis=0, dtype=np.float64)
                pieces[names[-1]] = total - sum(as_read(pieces[name], fmt) for name in names[:-1])
            for name, writer in writers.items():
                writer.write(pieces[name])


def _blocks(audio: AudioFile, options: FileOptions) -> Blocks:
    return audio.blocks(BLOCK, start=options.start, duration=options.duration)


def _measured(audio: AudioFile, options: FileOptions, copy: Spool | None) -> tuple[Meter, Blocks]:
    """Return the level of all samples asked for, and the blocks once more.

    Long recordings are read again, or from `copy`, which is used as long as it is smaller than the file: a film is worth a
    copy of its sound.
    """
    wanted = options.loudness is not None
    loudness = options.measure or (wanted and len(options.parts) > 1)
    band = BandMeter(audio.info.rate, options.cutoff) if options.extend else None
    if band and options.sample_rate and options.sample_rate < audio.info.rate:
        raise UsageError(
            f"--rate {options.sample_rate}: the file has {audio.info.rate} Hz", "ask for more, or leave it away"
        )
    gaps = None if options.gaps is None else GapMeter(audio.info.rate, options.gaps, options.start)
    layout = audio.info.layout
    meter = Meter(audio.info.rate, audio.info.channels, loudness=loudness, layout=layout, band=band, gaps=gaps)
    most = max(IN_MEMORY, audio.info.path.stat().st_size) if copy else IN_MEMORY
    kept, size = [], 0
    for block in _blocks(audio, options):
        meter.push(block)
        size += block.nbytes
        if size > most:
            kept.clear()
        elif copy:
            copy.write(block)
        else:
            kept.append(block)
    if size > most:
        return meter, _blocks(audio, options)
    return meter, copy.blocks() if copy else iter(kept)


def _checked(blocks: Blocks, source: Path, rate: int, expected: int) -> Blocks:
    """Yield the same blocks. Raises AudioError at a value that is not finite and when their total is not `expected`."""
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


def _at_rate(blocks: Blocks, rate_in: int, rate_out: int, channels: int) -> Blocks:
    if rate_in == rate_out:
        yield from blocks
        return
    resampler = Resampler(rate_in, rate_out, channels)
    for block in blocks:
        yield resampler.push(block)
    yield resampler.push(np.zeros((channels, 0), np.float32), last=True)


def _check_written(unfinished: Path, target: Path, fmt: OutputFormat, expected: int) -> None:
    """Read the finished file's header back, since a disk or a tag writer may have damaged it. Raises AudioError."""
    with open_audio(unfinished, None if fmt.film is None else str(new_track(fmt.film))) as written:
        exact = fmt.subtype in FLOATS or fmt.subtype.startswith(("PCM", "ALAC"))  # the others pad to whole packets
        if exact and fmt.film is None and written.info.frames not in (expected, None):
            message = f"{target}: {written.info.frames} of {expected} samples were written"
            raise AudioError(message, "check the disk, then run again")


@contextlib.contextmanager
def _errors_in_the_users_names(job: Job, source: Path, before: tuple[int, int] | None) -> Iterator[None]:
    """Make errors name the files that the user knows, not the temporary ones.

    An error that follows from a changed input says so.
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


def _plot(source: Path, target: Path, film: Film | None) -> None:
    from enhance_cli.audio.plot import spectrograms  # matplotlib is slow to import and optional

    tracks = (None, None) if film is None else (film.track, new_track(film))
    # The whole name is kept: take.wav and take.flac in one folder get two pictures.
    try:
        with atomic(target.with_name(target.name + ".png")) as unfinished:
            spectrograms(source, target, unfinished, tracks=tracks)
    except OSError as error:
        message = f"{target}: written, but its picture was not ({error.strerror})"
        raise AudioError(message, "run again without --plot") from error


def _rounded(value: float | None, shift: float = 0.0) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value) + shift, 2)
