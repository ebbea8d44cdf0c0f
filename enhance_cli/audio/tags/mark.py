"""Mark outputs with the command that made them, and from which file, so that a later run does not use them as inputs.

The mark is a comment ENHANCED_BY in FLAC and Ogg, a field of that name in ID3 and M4A, a chunk `enhB` in WAV, AIFF, CAF and
W64, and an annotation in AU.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from enhance_cli.audio.containers.bounded import BoundedFile
from enhance_cli.audio.containers.chunks import read_payload, walk
from enhance_cli.audio.tags import riff_tags
from enhance_cli.audio.tags.provenance import command_in

MARK, _CHUNK, _ATOM = "ENHANCED_BY", b"enhB", "----:com.apple.iTunes:ENHANCED_BY"


def write_mark(path: Path, mark: str) -> None:
    """Write a mark (see provenance.py) into a finished file. Errors of the file system are raised as OSError."""
    with open(path, "rb") as file:
        form = walk(file)
        marked = form is not None and form.find(_CHUNK) is not None
    if form is not None:
        if not marked:  # in W64, libsndfile would read a chunk after the samples as sound
            write = riff_tags.insert_chunk if form.kind == "W64" else riff_tags.append_chunk
            write(path, _CHUNK, mark.encode())
        return
    if annotation(path) is not None:
        _annotate(path, mark)
        return
    import mutagen
    from mutagen import id3, mp3, mp4

    from enhance_cli.audio.tags.pictures import tags_of
    from enhance_cli.audio.tags.sources import KINDS

    file = mutagen.File(path, options=KINDS)
    if file is None:
        return
    tags = tags_of(file)
    if isinstance(file, mp3.MP3):
        tags.add(id3.TXXX(encoding=id3.Encoding.LATIN1, desc=MARK, text=[mark]))
        file.save(v2_version=3 if tags.version[:2] == (2, 3) else 4)
        return
    tags[_ATOM if isinstance(file, mp4.MP4) else MARK] = [mark.encode() if isinstance(file, mp4.MP4) else mark]
    file.save()


def read_mark(path: Path) -> str | None:
    """Return the command that made a file, or None."""
    try:
        with open(path, "rb") as file:
            form = walk(file)
            if form is None:
                said = annotation(path)
                if said is None:
                    return _in_tags(file)
                key, _, mark = said.partition("=")
                return command_in(mark) if key == MARK else None
            chunk = form.find(_CHUNK)
            return command_in(read_payload(file, chunk).decode("ascii", "replace")) if chunk else None
    except OSError:
        return None


def annotation(path: Path) -> str | None:
    """Return the text in the header of an AU file, None for a file of another kind."""
    with open(path, "rb") as file:
        head = file.read(8)
        if head[:4] != b".snd" or len(head) < 8:
            return None
        file.seek(24)
        size = min(max(int.from_bytes(head[4:], "big") - 24, 0), 4096)
        return file.read(size).rstrip(b"\0").decode("ascii", "replace")


def _annotate(path: Path, mark: str) -> None:
    """Write the mark into the header of an AU, before its samples."""
    text = f"{MARK}={mark}".encode() + b"\0"
    text += bytes(-len(text) % 8)
    with open(path, "r+b") as file:
        file.seek(4)
        begin = int.from_bytes(file.read(4), "big")
        riff_tags.insert_bytes(file, 24, text)
        file.seek(4)
        file.write((begin + len(text)).to_bytes(4, "big"))


def _in_tags(file: BinaryIO) -> str | None:
    import mutagen
    from mutagen import mp3, mp4

    from enhance_cli.audio.tags.sources import KINDS

    file.seek(0)
    try:
        found = mutagen.File(BoundedFile(file), options=KINDS)
    except mutagen.MutagenError:
        return None
    tags = getattr(found, "tags", None)
    if not tags:
        return None
    if isinstance(found, mp3.MP3):
        return command_in(str(tags.get(f"TXXX:{MARK}", "")))
    values = tags.get(_ATOM if isinstance(found, mp4.MP4) else MARK) or [None]
    return command_in(bytes(values[0]).decode() if isinstance(values[0], bytes) else values[0])
