"""Find the tags and zero bytes before and after a recording.

ID3v1 (128 bytes at the end), ID3v2, APEv2 and Lyrics3 state their length, so they can be skipped in both directions.
"""

from __future__ import annotations

import mmap
import re
from typing import BinaryIO

from enhance_cli.audio.containers import mpeg

_OTHER = re.compile(rb"[^\0]")
_LONGEST_RUN = 1 << 20  # zero bytes before a recording that are skipped
_ZEROS = bytes(1 << 16)


def front_end(file: BinaryIO, start: int, size: int) -> int:
    """Return the position after the ID3v2 tags and zero bytes that begin at `start`."""
    at = start
    while True:
        file.seek(at)
        head = file.read(10)
        if head[:3] == b"ID3" and len(head) == 10:
            at = min(at + mpeg.tag_size(head), size)
        elif head[:4] == bytes(4):
            behind = _behind_zeros(file, at, size)
            if behind is None or behind - at > _LONGEST_RUN:
                return at
            return _aligned(file, behind)
        else:
            return at


def _aligned(file: BinaryIO, at: int) -> int:
    """Return `at`, or a few bytes before it if the first bytes of the format are zero (MP4, MPEG)."""
    file.seek(max(at - 3, 0))
    head = file.read(11)
    if head[3:4] == b"\x01":  # a start code of MPEG
        return at - 2
    return at - 3 if head[4:8] == b"ftyp" else at


def is_padding(file: BinaryIO, at: int, size: int) -> bool:
    """Return whether there are only tags and zero bytes from byte `at` to the end of the file."""
    while at < size:
        file.seek(at)
        head = file.read(32)
        if head[:3] == b"ID3" and len(head) >= 10:
            at += mpeg.tag_size(head)
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            at += 32 + int.from_bytes(head[12:16], "little")
        elif head[:3] == b"TAG" and size - at in (128, 128 + 227):  # the longer form holds the one of 128 bytes
            return True
        elif head[:11] == b"LYRICSBEGIN":
            at = _behind_lyrics(file, at, size)
        elif head[:1] == b"\0":
            behind = _behind_zeros(file, at, size)
            if behind is None:
                return True
            at = behind
        else:
            return False
    return at == size


def end_of_sound(file: BinaryIO, start: int, size: int) -> int:
    """Return the position of the tags and zero bytes at the end of a file, or `size` if there are none.

    This is for compressed sound only, where zero bytes at the end cannot belong to the recording.
    """
    end = size
    while end > start + 32:
        before = _end_before_tag(file, start, end)
        if before == end:
            return end
        end = before
    return size


def _end_before_tag(file: BinaryIO, start: int, end: int) -> int:
    file.seek(max(end - 128, start))
    tail = file.read(end - max(end - 128, start))
    if len(tail) == 128 and tail[:3] == b"TAG":
        return end - 128
    if tail[-32:-24] == b"APETAGEX":
        has_header = 32 if tail[-9] & 0x80 else 0
        return max(end - int.from_bytes(tail[-20:-16], "little") - has_header, start)
    if tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
        return max(end - 15 - int(tail[-15:-9]), start)
    if tail[-10:-7] == b"3DI":
        return max(end - 10 - mpeg.tag_size(b"ID3" + tail[-7:]), start)
    if (begin := _before_id3(file, start, end)) < end or tail[-16:] != bytes(16):
        return begin
    return _before_zeros(file, start, end)


def _before_id3(file: BinaryIO, start: int, end: int) -> int:
    """Return the position of an ID3v2 tag that ends at `end`, or `end` if there is none."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.rfind(b"ID3", max(start + 4, end - (1 << 20)), end)
        return at if at >= 0 and at + mpeg.tag_size(content[at : at + 10].ljust(10, b"\0")) == end else end


def _before_zeros(file: BinaryIO, start: int, end: int) -> int:
    while end > start:
        begin = max(start, end - (1 << 16))
        file.seek(begin)
        piece = file.read(end - begin).rstrip(b"\0")
        if piece:
            return begin + len(piece)
        end = begin
    return end


def _behind_zeros(file: BinaryIO, at: int, size: int) -> int | None:
    """Return the first byte from `at` on that is not zero, None if there is none."""
    while at < size:
        file.seek(at)
        piece = file.read(len(_ZEROS))
        if piece != _ZEROS and (found := _OTHER.search(piece)):  # a comparison is hundreds of times as fast
            return at + found.start()
        at += len(piece)
    return None


def _behind_lyrics(file: BinaryIO, at: int, size: int) -> int:
    file.seek(at)
    piece = file.read(1 << 20)
    ends = [place + 9 for word in (b"LYRICS200", b"LYRICSEND") if (place := piece.find(word)) >= 0]
    return at + min(ends, default=size - at)
