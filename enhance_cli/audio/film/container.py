"""Open a film, choose the settings of its muxer, and define the names and groups of the containers of films."""

from __future__ import annotations

import os
import struct
from typing import Any, BinaryIO

import av
from av.stream import Disposition

from enhance_cli.audio.ffmpeg.process import Source

BUFFER = 1 << 20  # bytes read at once
FAMILIES = {"mov": ("mp4", "mov"), "matroska": ("matroska", "webm"), "avi": ("avi",)}  # demuxer: muxers of its streams
NAMES = {"matroska": "Matroska", "webm": "WebM", "mp4": "MP4", "mov": "MOV", "avi": "AVI"}
OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
_PLACED = frozenset(  # texts for which MP4 and MOV have a place of their own
    ("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping", "lyrics",
     "description", "synopsis", "show", "episode_id", "network", "keywords", "track", "disc", "compilation", "encoder",
     "creation_time", "author", "make", "model", "location", "language", "timecode", *OF_THE_FILE)
)  # fmt: skip
MARK = "ENHANCED_BY"  # the same as in tags/mark.py, which would import libraries that this process does not need


class Unable(ValueError):
    """Report a stream that the container cannot hold."""


def open_film(file: BinaryIO) -> Any:
    """Return the container of PyAV for a film."""
    source = Source(file, 0, os.fstat(file.fileno()).st_size)
    return av.open(source, metadata_errors="replace", buffer_size=BUFFER)


def muxer_options(request: dict, file: BinaryIO) -> dict[str, str]:
    """Return the settings of the muxer. "unofficial" allows side data such as that of Dolby Vision."""
    options = {"strict": "unofficial"}
    if request["muxer"] in ("mp4", "mov"):
        flags = ["faststart"] * _header_is_in_front(file)
        with open_film(file) as source:
            flags += ["use_metadata_tags"] * bool(unplaced_texts(source) and not has_cover(source))
        options["movie_timescale"] = str(request["rate"])
        if flags:
            options["movflags"] = "+".join(flags)
    return options


def unplaced_texts(source: Any) -> list[str]:
    """Return the names of texts that MP4 and MOV can hold only as custom tags, which exclude a cover."""
    return [name for name in source.metadata if name.lower() not in _PLACED and name != MARK]


def has_cover(source: Any) -> bool:
    """Return whether a film has a picture of its cover."""
    return any(stream.disposition & Disposition.attached_pic for stream in source.streams)


def _header_is_in_front(file: BinaryIO) -> bool:
    """Return whether the index of an MP4 or MOV comes before its data, so that it can be played during download."""
    at, names = 0, []
    for _ in range(64):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        size, name = struct.unpack(">I4s", head[:8])
        names.append(name)
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">Q", head[8:])
        if size < 8:
            break
        at += size
    file.seek(0)
    return b"moov" in names and b"mdat" in names and names.index(b"moov") < names.index(b"mdat")
