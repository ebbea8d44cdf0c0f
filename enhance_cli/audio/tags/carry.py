"""Copy title, artist, pictures, time code and other metadata of a file to its output.

Between files of the WAV family, chunks are copied. Everything else is done by audio.tags.fields, which is imported on demand.
"""

from pathlib import Path

from enhance_cli.audio.containers.chunks import promise, walk
from enhance_cli.audio.containers.section import Window
from enhance_cli.audio.info import AudioInfo, Chapter
from enhance_cli.audio.tags import riff_tags
from enhance_cli.audio.tags.wave_facts import Change
from enhance_cli.errors import NO_ROOM, AudioError


def copy_tags(
    source: Path, target: Path, start: float = 0.0, *, info: AudioInfo | None = None, change: Change | None = None
) -> list[str]:
    """Copy the metadata of `source` to `target`, an audio file that begins `start` s into it.

    `info`: description of `source`, with the chapters and texts that only FFmpeg can read. `change`: how the samples differ.
    Returns the names of fields that could not be copied. Raises AudioError if `target` cannot be written.
    """
    change = change or Change(start)
    try:
        with open(source, "rb") as old, open(target, "rb") as new:
            before, after = walk(old), walk(new)
            promised = promise(new)
        if riff_tags.can_copy(before, after):
            lost = riff_tags.copy_chunks(source, target, change)
        else:
            from enhance_cli.audio.tags.fields import copy_fields

            rate = round(promised.rate) if promised else 0
            lost = copy_fields(source, target, (before, after), rate, info=info, change=change)
        return lost + (_of_other_recordings(source, info) if info else [])
    except OSError as error:
        raise AudioError(f"{target} could not be tagged ({error.strerror})", NO_ROOM) from None


def _of_other_recordings(source: Path, info: AudioInfo) -> list[str]:
    """Return a text for each further recording in a file that has tags, since only those of the first are copied."""
    lost = []
    with open(source, "rb") as file:
        for number, (start, end) in enumerate(info.recordings[1:], 2):
            window = Window(file, start, end)
            form = walk(window)
            if form is not None:
                tagged = any(chunk.name not in riff_tags.AUDIO for chunk in form.chunks)
            else:
                from enhance_cli.audio.tags.sources import has_tags

                tagged = has_tags(window)
            lost += [f"tags of recording {number}"] if tagged else []
    return lost


def chapters_of(source: Path) -> tuple[Chapter, ...]:
    """Return the chapters in the tags, cue points or markers of a file, none if they cannot be read."""
    from enhance_cli.audio.tags import fields as tag_fields

    return tag_fields.chapters_of(source)
