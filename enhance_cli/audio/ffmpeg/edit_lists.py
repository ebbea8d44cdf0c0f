"""Find the pauses in the edit lists of MP4 and QuickTime files, in whose place FFmpeg plays the beginning of the track again.

An edit with the media time -1 is a pause. FFmpeg knows those before the first sound, but not those between two pieces.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from enhance_cli.audio.containers.bounded import Readable

Pauses = Sequence[tuple[float, float]]  # begin and end in seconds, from the beginning of the film
BEGINNINGS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # of such files, at byte 4


def pauses(source: Readable) -> dict[int, Pauses]:
    """Return the pauses after the first sound of each track, by the index of its stream. Tracks without pauses are left out."""
    size = source.seek(0, 2)
    found: dict[int, Pauses] = {}
    for name, begin, end in _boxes(source, 0, size):
        if name == b"moov":
            unit, index = 0, 0
            for inner, at, stop in _boxes(source, begin, end):
                if inner == b"mvhd":
                    unit = _time_unit(source, at)
                elif inner == b"trak":
                    if unit and (silent := list(_pauses_of_track(source, at, stop, unit))):
                        found[index] = silent
                    index += 1
    return found


def _pauses_of_track(source: Readable, begin: int, end: int, unit: int) -> Iterator[tuple[float, float]]:
    for name, at, stop in _boxes(source, begin, end):
        if name == b"edts":
            for inner, first, last in _boxes(source, at, stop):
                if inner == b"elst":
                    yield from _between(_edits(source, first, last), unit)


def _between(edits: list[tuple[int, int]], unit: int) -> Iterator[tuple[float, float]]:
    """Yield the pauses that have an edit with sound before and after them."""
    sound = [number for number, (_, media) in enumerate(edits) if media != -1]
    now = 0
    for number, (duration, media) in enumerate(edits):
        if media == -1 and sound and sound[0] < number < sound[-1]:
            yield now / unit, (now + duration) / unit
        now += duration


def _edits(source: Readable, begin: int, end: int) -> list[tuple[int, int]]:
    """Return the duration and the media time of each edit."""
    source.seek(begin)
    data = source.read(end - begin)
    layout = ">Qq4x" if data[:1] == b"\1" else ">Ii4x"
    size = struct.calcsize(layout)
    count = min(int.from_bytes(data[4:8], "big"), (len(data) - 8) // size)
    return [struct.unpack_from(layout, data, 8 + size * number) for number in range(count)]


def _time_unit(source: Readable, begin: int) -> int:
    """Return how many units a second has in the header of a film."""
    source.seek(begin)
    data = source.read(24)
    at = 20 if data[:1] == b"\1" else 12
    return int.from_bytes(data[at : at + 4], "big")


def _boxes(source: Readable, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each box, and where its content begins and ends."""
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
        yield head[4:8], start, stop
        at = stop
