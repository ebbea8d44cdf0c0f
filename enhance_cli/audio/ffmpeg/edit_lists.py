"""Play the pieces of a track in the order of the edit list of its MP4 or QuickTime file, exact to the sample.

FFmpeg cuts at the borders of packets, up to 96 ms away, and plays the beginning of the track in the place of a pause between
two pieces. A list with a single piece is left to FFmpeg. (ISO/IEC 14496-12, 8.6.6)
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from enhance_cli.audio.containers.bounded import Readable
from enhance_cli.audio.ffmpeg.time_stamps import MAX_GAP, Placed, note_on_gaps

BEGINNINGS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # of such files, at byte 4
IGNORED = {"ignore_editlist": "1"}  # option of FFmpeg for files that are played here
_BEFORE = 0.5  # seconds that are decoded before a piece, so that decoders with a memory have settled
_EDIT = struct.Struct(">Ii4s"), struct.Struct(">Qq4s")  # duration, media time and rate in both versions
_PLAIN = b"\0\1\0\0"  # speed 1


class Piece(NamedTuple):
    """State the length of an edit in seconds, and where it begins in the track, None for a pause."""

    seconds: float
    begin: float | None


def pieces(source: Readable) -> dict[int, list[Piece]]:
    """Return the edits of each track that has several pieces of sound, by the index of its stream."""
    found: dict[int, list[Piece]] = {}
    for moov in _boxes(source, b"moov", 0, source.seek(0, 2)):
        unit = next((_time_unit(source, begin) for begin, _ in _boxes(source, b"mvhd", *moov)), 0)
        for index, track in enumerate(_boxes(source, b"trak", *moov)):
            lists = [edits for edts in _boxes(source, b"edts", *track) for edits in _boxes(source, b"elst", *edts)]
            media = [head for mdia in _boxes(source, b"mdia", *track) for head in _boxes(source, b"mdhd", *mdia)]
            if unit and lists and media and (media_unit := _time_unit(source, media[0][0])):
                listed = list(_edits(source, *lists[0], unit=unit, media_unit=media_unit))
                if sum(piece.begin is not None for piece in listed) > 1:
                    found[index] = listed
    return found


class EditedFrames:
    """Decode the pieces of a track from a container that was opened with the option IGNORED.

    `position`: samples since the beginning that have been placed.
    """

    def __init__(self, container: Any, stream: Any, rate: int, edits: Sequence[Piece]):
        self.position = 0
        self._container, self._stream, self._rate = container, stream, rate
        ends = [sum(piece.seconds for piece in edits[: number + 1]) for number in range(len(edits))]
        borders = [0, *(round(end * rate) for end in ends)]
        self._pieces = [
            (None if piece.begin is None else round(piece.begin * rate), end - begin)
            for piece, begin, end in zip(edits, borders, borders[1:])
        ]
        self.frames = borders[-1]
        self.late = self._pieces[0][1] if self._pieces[0][0] is None else 0
        self._gaps, self._filled = 0, 0

    def placed(self, first: Any, more: Iterator[Any]) -> Iterator[Placed]:
        """Yield the frames in the order of the pieces. `first` and `more`: the frames from the beginning of the track."""
        frames = self._timed(itertools.chain([first], more))
        start, frame = next(frames, (0, None))
        silence, most = 0, MAX_GAP * self._rate
        for begin, length in self._pieces:
            if begin is None:
                if self.position + silence:
                    self._gaps, self._filled = self._gaps + 1, self._filled + length
                silence += length
                continue
            at, end = begin, begin + length
            if frame is None or not at - _BEFORE * self._rate < start <= at:
                frames = self._from(at)
                start, frame = next(frames, (0, None))
            while frame is not None and at < end:
                silence += max(min(start, end) - at, 0)
                skip, stop = max(at - start, 0), min(end - start, frame.samples)
                if skip < stop:
                    self.position += silence + stop - skip
                    yield silence, frame, skip, stop
                    silence = 0
                at = max(at, min(start + frame.samples, end))
                if start + frame.samples <= end:  # otherwise the rest of the frame may belong to the next piece
                    start, frame = next(frames, (0, None))
            silence += min(end - at, most)  # where the track is shorter than its list
        if 0 < silence <= most:
            self.position += silence
            yield silence, first, 0, 0

    def _timed(self, frames: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield the frames, and the sample of the track at which each begins."""
        for frame in frames:
            if frame.pts is not None:
                yield round(frame.pts * (frame.time_base or self._stream.time_base) * self._rate), frame

    def _from(self, begin: int) -> Iterator[tuple[int, Any]]:
        """Yield the frames from the one that holds the sample `begin` of the track."""
        seconds = max(begin / self._rate - _BEFORE, 0.0)
        self._container.seek(int(seconds / self._stream.time_base), stream=self._stream)
        decoded = (frame for packet in self._container.demux(self._stream) for frame in packet.decode())
        return itertools.dropwhile(lambda timed: timed[0] + timed[1].samples <= begin, self._timed(decoded))

    def notes(self) -> Iterator[str]:
        """Yield a note on pauses between the pieces."""
        if self._gaps:
            yield note_on_gaps(self._gaps, self._filled / self._rate)


def _edits(source: Readable, begin: int, end: int, *, unit: int, media_unit: int) -> Iterator[Piece]:
    """Yield the edits of a list, or none if they have another speed, no length, or a pause that no recording has."""
    source.seek(begin)
    data = source.read(end - begin)
    form = _EDIT[data[:1] == b"\1"]
    count = min(int.from_bytes(data[4:8], "big"), (len(data) - 8) // form.size)
    listed = [form.unpack_from(data, 8 + form.size * number) for number in range(count)]
    if all(speed == _PLAIN and length and (media >= 0 or length <= MAX_GAP * unit) for length, media, speed in listed):
        for length, media, _ in listed:
            yield Piece(length / unit, media / media_unit if media >= 0 else None)


def _time_unit(source: Readable, begin: int) -> int:
    """Return how many units a second has in the header of a film or of the sound of a track."""
    source.seek(begin)
    data = source.read(24)
    at = 20 if data[:1] == b"\1" else 12
    return int.from_bytes(data[at : at + 4], "big")


def _boxes(source: Readable, wanted: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where the content of each box of the name `wanted` begins and ends."""
    at = begin
    while at + 8 <= end:
        source.seek(at)
        head = source.read(16)
        size, start = int.from_bytes(head[:4], "big"), at + 8
        if size == 1:
            size, start = int.from_bytes(head[8:16], "big"), at + 16
        stop = end if size == 0 else at + size
        if not start <= stop <= end:
            return
        if head[4:8] == wanted:
            yield start, stop
        at = stop
