"""Count the samples of a FLAC file from the headers of its frames, to check the count in its header (RFC 9639)."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import BinaryIO

_TAIL = 1 << 17  # bytes that are enough for a whole frame
_BLOCK_SIZES = {1: 192, **{i: 576 << (i - 2) for i in range(2, 6)}, **{i: 256 << (i - 8) for i in range(8, 16)}}


def counts_less(file: BinaryIO, start: int, end: int) -> bool:
    """Return whether the FLAC in bytes `start` to `end` has more samples than its header states."""
    file.seek(start)
    head = file.read(42)
    if len(head) < 42 or head[4] & 0x7F != 0:
        return False
    stated = int.from_bytes(head[21:26], "big") & 0xFFFFFFFFF
    largest = int.from_bytes(head[10:12], "big")
    if not stated:
        return False
    while end > start:  # there may be zeros or garbage after the last frame
        begin = max(end - _TAIL, start)
        file.seek(begin)
        if found := _last_samples(file.read(end - begin), largest):
            return found[0] > stated or _held(file, start, end, largest) > stated
        end = begin + 16 if begin > start else start
    return False


def _held(file: BinaryIO, start: int, end: int, largest: int) -> int:
    """Return the number of samples in all frames, including those of another FLAC that was joined without its header.

    Frames count only if one continues another, since bytes within a frame may look like the header of a single frame.
    """
    held = due = 0
    before = (-1, -1)
    for first, last in _frames(file, start, end, largest):
        if first == due:
            held, due = held + last - first, last
        elif first == before[1]:
            held, due = held + last - before[0], last
        before = first, last
    return held


def _frames(file: BinaryIO, start: int, end: int, largest: int) -> Iterator[tuple[int, int]]:
    """Yield the number of the first sample of each frame, and the number after its last. Some frames may be false."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for sync in (b"\xff\xf8", b"\xff\xf9"):  # a file has blocks of fixed size or of varying size
            at = start
            while (at := content.find(sync, at, end)) >= 0:
                if found := _samples_of_frame(content[at : at + 16], largest):
                    yield found
                at += 2


def _last_samples(tail: bytes, largest: int) -> list[int]:
    """Return the number of the sample after the last frame in `tail`, or [] if there is no frame."""
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        found = _samples_of_frame(tail[at : at + 16], largest)
        if found is not None:
            return [found[1]]
    return []


def _samples_of_frame(head: bytes, largest: int) -> tuple[int, int] | None:
    """Return the number of the first sample of a frame, and the number after its last, or None if this is no header."""
    if len(head) < 7 or head[1] & 0xFE != 0xF8 or head[3] & 0x01 or head[2] & 0x0F == 0x0F or head[3] >> 4 > 10:
        return None
    number, at = _coded_number(head)
    code = head[2] >> 4
    if number is None or code == 0:
        return None
    size = _BLOCK_SIZES.get(code)
    if size is None:
        width = 1 if code == 6 else 2
        size = int.from_bytes(head[at : at + width], "big") + 1
        at += width
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 0x0F, 0)
    if len(head) <= at or _crc8(head[:at]) != head[at]:
        return None
    first = number if head[1] & 1 else number * largest
    return first, first + size


def _coded_number(head: bytes) -> tuple[int | None, int]:
    """Return the frame or sample number, which is coded like a character in UTF-8, and where the header continues."""
    first = head[4]
    if first < 0x80:
        return first, 5
    length = 8 - (first ^ 0xFF).bit_length()
    if not 2 <= length <= 7 or len(head) < 4 + length:
        return None, 5
    number = first & (0x7F >> length)
    for byte in head[5 : 4 + length]:
        if byte >> 6 != 2:
            return None, 5
        number = number << 6 | byte & 0x3F
    return number, 4 + length


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc
