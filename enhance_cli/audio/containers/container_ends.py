"""Find the end of an Ogg, MP4, Matroska, ASF, WavPack or FLAC file from the lengths of its pages, boxes or blocks."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import BinaryIO

from enhance_cli.audio.containers.beginnings import begins, find_beginning
from enhance_cli.audio.containers.granules import Granules
from enhance_cli.audio.containers.matroska import segment_of
from enhance_cli.audio.containers.section import Section

FIRST, LAST = 2, 4  # flags of an Ogg page: the first or the last one of its stream
_PACKET_HEAD = 80  # bytes at the beginning of a page's first packet
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def ogg_section(file: BinaryIO, start: int, size: int) -> Section:
    """Return the section of the streams that begin together at `start`. It ends where another stream begins after them.

    Pages of each stream are numbered, and the last page is marked. Its end position (granule position) should be after
    that of the page before it. If it is not, libsndfile stops there, while FFmpeg only leaves the last page out. It is
    also read by FFmpeg if pages are missing or positions jump.
    """
    inside, holes, early = False, 0, False
    granules: dict[int, Granules] = {}
    numbers: dict[int, int] = {}  # by stream
    positions: dict[int, int] = {}
    open_streams: set[int] = set()
    expected = start
    stop = size
    for at, end, flags, position, stream, number, lacing, body in _pages(file, start, size):
        if flags & FIRST and inside:
            stop = expected = at
            break
        inside = inside or not flags & FIRST
        holes += at != expected or number not in (numbers.get(stream, number - 1) + 1, 0xFFFFFFFF)
        expected = end
        numbers[stream] = number
        early = early or bool(flags & LAST) and 0 <= position < positions.get(stream, 0)
        positions[stream] = position
        if flags & FIRST:
            granules[stream] = Granules(body)
        elif stream in granules:
            granules[stream].push(flags, position, lacing, body)
        (open_streams.discard if flags & LAST else open_streams.add)(stream)
    jump = holes > 0 or any(stream.jump for stream in granules.values())
    timed = jump and all(stream.timed for stream in granules.values())
    return Section(
        start, stop, cut=bool(open_streams) or expected > size, holes=holes + early, mixed=len(numbers) > 1,
        foreign=early or jump or any(stream.wider for stream in granules.values()), timed=timed,
    )  # fmt: skip


def _pages(file: BinaryIO, start: int, size: int) -> Iterator[tuple[int, int, int, int, int, int, bytes, bytes]]:
    """Yield begin, end, flags, granule position, stream, number, segment table and first bytes of each page of an Ogg."""
    at = start
    while at + 27 <= size:
        file.seek(at)
        head = file.read(27 + 255 + _PACKET_HEAD)
        if head[:4] != b"OggS":
            if at > start and begins(file, at):
                yield at, at, FIRST, 0, 0, 0, b"", b""
                return
            at = _resynchronize(file, at + 1, size)
            continue
        body = 27 + head[26]
        lacing = head[27:body]
        end = at + body + sum(lacing)
        position, stream, number = struct.unpack_from("<qII", head, 6)
        yield at, end, head[5], position, stream, number, lacing, head[body : min(body + _PACKET_HEAD, end - at)]
        at = end


def _resynchronize(file: BinaryIO, at: int, size: int) -> int:
    """Return the position of the next page."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = content.find(b"OggS", at)
    return found if found >= 0 else size


def end_of_mp4(file: BinaryIO, start: int, size: int) -> int:
    """Return the position of the next file after the MP4 file at `start`."""
    at = start
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, name = struct.unpack_from(">I4s", head)
        if at > start and begins(file, at):
            return at
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length == 0 and name == b"mdat":
            return size
        if length < 8 or at + length > size and name not in (b"mdat", b"moov", b"moof"):
            return find_beginning(file, at, size)
        at += length
    return size


def end_of_matroska(file: BinaryIO, start: int, size: int) -> int:
    """Return the end of the Matroska file at `start`, as it states it, or else the position of the next file.

    The stated end may lie beyond `size`.
    """
    segment = segment_of(file, start)
    if segment is None or segment.length is None:  # not known while it was written
        return find_beginning(file, start + 4, size, ("matroska",))
    end = segment.begin + segment.length
    return end if end >= size else find_beginning(file, end, size)


def stated_by_asf(file: BinaryIO, start: int) -> int:
    """Return the size in bytes that an ASF file (WMA, WMV) states, or 0 if it does not state one."""
    file.seek(start)
    head = file.read(1 << 16)
    at = head.find(_ASF_PROPERTIES)
    return int.from_bytes(head[at + 40 : at + 48], "little") if 0 <= at <= len(head) - 48 else 0


def end_of_wavpack(file: BinaryIO, start: int, size: int) -> tuple[int, int]:
    """Return the end of the blocks of a WavPack file, or where their sample numbers start again, and the end including tags."""
    at = end = start
    while at + 32 <= size:
        file.seek(at)
        name, length, ape, index, _, flags = struct.unpack("<4sI4xIIII4x", file.read(32))
        if name == b"APET":  # a tag, whose length does not include its first 32 bytes
            at += 32 + ape
            continue
        begins_again = at > start and index == 0 and flags & 1 << 11  # the first of several for the same samples
        if name != b"wvpk" or begins_again:
            break
        at += length + 8
        end = at
    return min(end, size), min(at, size)


def end_of_flac_header(file: BinaryIO, start: int) -> int:
    """Return the end of the metadata blocks of a FLAC, whose texts and pictures must not be mistaken for other files."""
    at, last = start + 4, False
    while not last:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            break
        last = bool(head[0] & 0x80)
        at += 4 + int.from_bytes(head[1:], "big")
    return at
