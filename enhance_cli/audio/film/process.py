"""Copy a film with one newly encoded sound track, using FFmpeg's libraries, in a separate process.

This is run as a program. Standard input has one line of JSON (the request of rewrite.py), then the new sound: pieces of
interleaved samples, each preceded by its length in bytes (4 bytes, little endian), and a length of zero at the end. If
that end is missing, the parent has died, and the process fails. One message (ffmpeg/process.py) on standard output
states the result. Its types are E (done), U (the container cannot hold the film), D (the disk refuses the file) and F
(another failure), the last three with a reason.
"""

from __future__ import annotations

import errno
import io
import itertools
import json
import sys
from typing import Any, BinaryIO

import av

from enhance_cli.audio.ffmpeg.process import described, path_of, send, start
from enhance_cli.audio.film.container import NAMES, Unable, muxer_options, open_film
from enhance_cli.audio.film.matroska_shape import set_shapes
from enhance_cli.audio.film.sound import Sound
from enhance_cli.audio.film.streams import Film

HIDDEN = 0.1  # seconds of hidden pictures at the beginning that are worth a note
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO, errno.ENOENT)


def main() -> None:
    out = start()
    request = json.loads(sys.stdin.buffer.readline())
    try:
        told = _write(request, sys.stdin.buffer) if request["write"] else _check(request)
        send(out, b"E", json.dumps(told).encode())
    except Unable as unable:
        send(out, b"U", str(unable).encode())
    except Exception as error:  # noqa: BLE001 - a damaged file may cause any error
        kind = b"D" if isinstance(error, OSError) and error.errno in _OF_THE_DISK else b"F"
        send(out, kind, described(error))


def _check(request: dict) -> dict:
    """Return notes, and whether codec tags and data streams can be copied.

    Raises Unable if the header of the film cannot be written.
    """
    refused: Exception | None = None
    for data, tags in itertools.product((True, False), repeat=2):
        with (
            open(path_of(request["source"]), "rb") as file,
            open_film(file) as source,
            av.open(io.BytesIO(), "w", format=request["muxer"]) as output,
        ):
            film = Film(source, output, {**request, "tags": tags, "data": data})
            try:
                output.start_encoding()
                return {"notes": [*film.notes, *_hidden(source, request["muxer"])], "tags": tags, "data": data}
            except (av.FFmpegError, ValueError) as error:
                refused = error
    log = getattr(refused, "log", None)  # level, name of the muxer, text
    reason = log[2].strip() if log else refused
    raise Unable(f"{NAMES[request['muxer']]} cannot hold this film ({reason})")


def _hidden(source: Any, muxer: str) -> list[str]:
    """Return a note if the edit list of an MP4 or MOV hides pictures at the start, which the new container will show."""
    if muxer in ("mp4", "mov") or not source.streams.video:
        return []
    first = next((packet for packet in source.demux(source.streams.video[0]) if packet.pts is not None), None)
    early = -float(first.pts * first.time_base) if first is not None and first.time_base else 0.0
    if early < HIDDEN:
        return []
    return [
        f"{NAMES[muxer]} shows the first {early:.2f} s of pictures too, which this film hides: the rest comes later"
    ]


def _write(request: dict, pipe: BinaryIO) -> dict:
    with open(path_of(request["source"]), "rb") as file:
        options, target = muxer_options(request, file), path_of(request["target"])
        with (
            open_film(file) as source,
            av.open(target, "w", format=request["muxer"], container_options=options) as output,
        ):
            film = Film(source, output, request)
            film.copy(Sound(pipe, film.sound, output, request, lead=film.lead))
            shapes = film.shapes
    if request["muxer"] in ("matroska", "webm"):
        set_shapes(target, shapes, ratios=request["muxer"] == "matroska")
    return {"notes": film.notes}


if __name__ == "__main__":
    main()
