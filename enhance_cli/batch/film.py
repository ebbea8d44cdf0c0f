"""Choose the format of an output, a recording or a video. A format that cannot be written is refused before any work."""

from dataclasses import replace
from pathlib import Path

from enhance_cli.audio.film.formats import film_format, refuse_for_film
from enhance_cli.audio.film.rewrite import checked, new_track
from enhance_cli.audio.formats import FOREIGN_VIDEO_SUFFIXES, Film, OutputFormat, is_film, output_format
from enhance_cli.audio.info import AudioInfo
from enhance_cli.audio.read import AudioFile, open_audio
from enhance_cli.batch.claims import mark_of
from enhance_cli.batch.file_options import FileOptions
from enhance_cli.batch.job import LocalJob
from enhance_cli.batch.safety.atomic import STDOUT

# Containers for the videos that MKV may not hold
_INSTEAD = {".3gp": ".mp4", ".f4v": ".mp4", ".wmv": ".avi", ".asf": ".avi"}


def format_of(job: LocalJob, source: Path, audio: AudioFile, options: FileOptions) -> OutputFormat:
    """Return the format of the outputs of a job, whose input is read from `source`.

    Raises UsageError and AudioError for a format that cannot be written.
    """
    extension = None if job.target == STDOUT else job.target.suffix
    asked = options.container if extension is None else extension
    if asked is None or not is_film(asked):
        return output_format(audio.info, extension, options.container, options.bit_depth, options.sample_rate)
    refuse_for_film(asked, options.container, options.start, options.duration)
    info = audio.info
    mark = mark_of(job, source, job.target, options.command)
    film = Film(source, info.track, info.late / info.rate, options.keep_original, mark=mark)
    chosen = film_format(info, asked, film, bit_depth=options.bit_depth, rate=options.sample_rate)
    return checked(Path(job.target), chosen, film, info.channels)


def notes_on_pictures(job: LocalJob, fmt: OutputFormat, info: AudioInfo) -> list[str]:
    """Return a note if only the sound of a video is written, because its format cannot be written."""
    suffix = job.source.suffix.lower()
    if not info.film or fmt.film is not None or not job.beside or suffix not in FOREIGN_VIDEO_SUFFIXES:
        return []
    kept = job.source.with_suffix(_INSTEAD.get(suffix, ".mkv")).name
    return [f"only the sound of this {suffix} is written: -o {kept} makes a video of it"]


def open_output(path: Path, film: Film | None) -> AudioFile:
    """Open a finished output, a video at its new sound track."""
    return open_audio(path, None if film is None else str(new_track(film)))


def titled(fmt: OutputFormat, info: AudioInfo, part: str) -> OutputFormat:
    """Return the format for a part. If the original track is kept, the new track gets a title to tell them apart."""
    if fmt.film is None or not fmt.film.keep_original:
        return fmt
    old, new = info.tracks[info.track - 1].title if info.tracks else "", part or "cleaned"
    return replace(fmt, film=replace(fmt.film, title=f"{old} ({new})" if old else new))
