"""Write a copy of a video with one sound track replaced, with FFmpeg in a separate process (process.py).

Pictures, subtitles, attachments, chapters and the other sound tracks are copied packet by packet while the new sound is
encoded. After the pass that reads the sound, this takes one more pass over the file, and constant memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np

from enhance_cli.audio.ffmpeg.child import Child
from enhance_cli.audio.ffmpeg.encode import layout_name
from enhance_cli.audio.formats import Film, OutputFormat, is_film
from enhance_cli.audio.info import depth
from enhance_cli.audio.integers import quantize
from enhance_cli.errors import NO_ROOM, AudioError, OutputError

_MUXERS = {"MKV": "matroska", "WEBM": "webm", "MP4": "mp4", "MOV": "mov", "AVI": "avi"}


def checked(path: Path, fmt: OutputFormat, film: Film, channels: int) -> OutputFormat:
    """Check that `film` can be written to `path`, and return its format with notes on streams that cannot be copied.

    Raises AudioError if the container cannot hold the pictures, subtitles, attachments or sound tracks of the film.
    """
    process = _Process(path, fmt, film, channels, write=False)
    try:
        told = json.loads(process.answer())
    finally:
        process.end()
    return replace(fmt, notes=(*fmt.notes, *told["notes"]), film=replace(film, tags=told["tags"], data=told["data"]))


def new_track(film: Film) -> int:
    """Return the number, from 1, of the new sound track in the finished film."""
    return 1 if film.keep_original else film.track


class FilmEncoder:
    """Write a video: `write` (C, n) blocks of the new sound, then `close`, or `abort` to give up.

    Raises AudioError where the encoder, the container or the disk refuses.
    """

    def __init__(self, path: Path, fmt: OutputFormat, film: Film, channels: int):
        self._bits = depth(fmt.subtype) or 0
        self._float = np.float64 if fmt.subtype == "DOUBLE" else np.float32
        self._process = _Process(path, fmt, film, channels, write=True)

    def write(self, block: np.ndarray) -> None:
        """Append (C, n) samples."""
        samples = quantize(block, self._bits) if self._bits else block.astype(self._float)
        self._process.send(np.ascontiguousarray(samples.T).tobytes())

    def close(self) -> None:
        """Finish the file."""
        self._process.send(b"")
        try:
            self._process.answer()
        finally:
            self._process.end()

    def abort(self) -> None:
        """End the process, which leaves an unfinished file."""
        self._process.end()


class _Process:
    """Run process.py for one file, or only its check with `write` False."""

    def __init__(self, path: Path, fmt: OutputFormat, film: Film, channels: int, *, write: bool):
        self._path, self._source = path, film.source
        self._child = Child("enhance_cli.audio.film.process")
        request = _request(path, fmt, film, channels) | {"write": write}
        with contextlib.suppress(OSError):  # the process has ended. Its answer will say why
            self._child.ask(request)

    def send(self, data: bytes) -> None:
        """Send a piece of the new sound, or its end if there are no bytes."""
        try:
            self._child.send(struct.pack("<I", len(data)) + data)
        except OSError:  # the process has ended, and its answer says why
            try:
                self.answer()
            finally:
                self.end()

    def answer(self) -> bytes:
        """Return the message of a successful end. Raises OutputError if the disk refuses the file, AudioError otherwise."""
        kind, data = self._child.receive() or (b"", b"")
        if kind == b"E":
            return data
        text = data.decode("utf-8", "replace")
        if kind == b"U":  # the container is unable
            better = "choose .mkv" if self._path.suffix.lower() != ".mkv" else "keep the container of the film"
            if better != "choose .mkv" and not is_film(self._source.suffix):  # which is not written here
                better = "choose .avi"
            raise AudioError(f"{self._path} cannot be written: {text}", f"{better}, or write the sound alone, to .wav")
        if kind == b"D":
            raise OutputError(f"{self._path} could not be written ({text})", NO_ROOM)
        if kind == b"F":
            raise AudioError(
                f"{self._source} could not be copied to {self._path} ({text})",
                "repair it, or write the sound alone, to .wav",
            )
        raise AudioError(f"{self._source} makes FFmpeg crash or hang", "repair it, or convert it with another program")

    def end(self) -> None:
        """Kill the process."""
        self._child.end()


def _request(path: Path, fmt: OutputFormat, film: Film, channels: int) -> dict:
    bits, layout = depth(fmt.subtype), layout_name(fmt.layout, channels)
    if fmt.encoder in ("aac", "libopus"):  # their standard layouts have the surround pair at the back
        layout = layout.replace("(side)", "")
    return {
        "source": os.fsencode(os.path.abspath(film.source)).hex(), "target": os.fsencode(os.path.abspath(path)).hex(),
        "muxer": _MUXERS[fmt.container], "track": film.track, "keep_original": film.keep_original, "title": film.title,
        "mark": film.mark, "tags": film.tags, "data": film.data, "encoder": fmt.encoder, "rate": fmt.rate,
        "bitrate": fmt.bitrate, "layout": layout, "channels": channels,
        "samples": ("dbl" if fmt.subtype == "DOUBLE" else "flt") if not bits else "s16" if bits <= 16 else "s32",
        "late": 0 if fmt.container == "AVI" else round(film.late * fmt.rate),
    }  # fmt: skip
