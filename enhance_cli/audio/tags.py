"""Carry title, artist, pictures, time code and other descriptions of a file to the file made from it.

Chunks go from WAV to WAV as they are. All else is for audio.tag_fields, which is imported when it is needed.
"""

from pathlib import Path

from enhance_cli.audio import riff_tags
from enhance_cli.audio.chunks import promise, walk
from enhance_cli.audio.info import AudioInfo
from enhance_cli.audio.wave_facts import Change
from enhance_cli.errors import AudioError


def copy_tags(
    source: Path, target: Path, start: float = 0.0, *, info: AudioInfo | None = None, change: Change | None = None
) -> list[str]:
    """Copy the descriptions in `source` to `target`, an audio file that begins `start` s into it.

    `info`: description of `source`, whose chapters and texts are taken where only FFmpeg reads them. `change`:
    difference of the samples. Returns the names of fields that could not be carried (none: []). Raises AudioError if
    `target` cannot be written.
    """
    change = change or Change(start)
    try:
        with open(source, "rb") as old, open(target, "rb") as new:
            before, after = walk(old), walk(new)
            promised = promise(new)
        if riff_tags.can_copy(before, after):
            return riff_tags.copy_chunks(source, target, change)
        from enhance_cli.audio.tag_fields import copy_fields

        rate = round(promised.rate) if promised else 0
        return copy_fields(source, target, (before, after), rate, info=info, change=change)
    except OSError as error:
        raise AudioError(f"{target} could not be tagged ({error.strerror})", "is the disk full?") from None
