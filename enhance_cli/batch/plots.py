"""Draw the picture of --plot beside each output."""

from pathlib import Path

from enhance_cli.audio.film.rewrite import new_track
from enhance_cli.audio.formats import Film
from enhance_cli.batch.file_options import FileOptions
from enhance_cli.batch.inputs import STDIN
from enhance_cli.batch.job import LocalJob
from enhance_cli.batch.safety.atomic import atomic
from enhance_cli.errors import AudioError


def plot_existing(job: LocalJob, options: FileOptions) -> list[Path]:
    """Draw the existing outputs of a job that have no picture. Returns the pictures. Raises the same errors as `draw`."""
    drawn = []
    for target in job.targets:
        picture = target.with_name(f"{target.name}.png")
        if target.is_file() and not picture.exists():
            draw(job, job.source, target, options, None)
            drawn.append(picture)
    return drawn


def draw(job: LocalJob, source: Path, target: Path, options: FileOptions, film: Film | None) -> None:
    """Draw the spectrograms of an input and an output, beside the output. Raises AudioError if that cannot be written."""
    from enhance_cli.audio.drawing.plot import spectrograms  # matplotlib is slow to import

    tracks = (job.track or options.track, None) if film is None else (str(film.track), str(new_track(film)))
    name = "standard input" if job.source == STDIN else job.source.name
    # The suffix is part of the picture's name, since take.wav and take.flac may be in the same folder.
    try:
        with atomic(target.with_name(target.name + ".png")) as unfinished:
            spectrograms(
                source, target, unfinished, start=options.start, duration=options.duration, channels=options.channels,
                tracks=tracks, name=name,
            )  # fmt: skip
    except OSError as error:
        message = f"{target}: written, but its picture was not ({error.strerror})"
        raise AudioError(message, "run again without --plot") from error
