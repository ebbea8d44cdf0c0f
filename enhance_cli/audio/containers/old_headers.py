"""Find the end of the samples in rare formats that state their number: 8SVX, AVR, MAT4, MAT5, NIST, SDS and Psion WVE.

libsndfile does not report that such a file is cut off. It reads everything after the last sample as more samples, except
in MAT4 and SDS, where it ignores the rest.
"""

from __future__ import annotations

import re
import struct

from enhance_cli.audio.containers.bounded import Readable

# Bytes of a number, by the tens of its type: double, single, int32, int16, uint16, uint8
_MAT4_WIDTHS = (8, 4, 4, 2, 2, 1)
_FIELD = re.compile(rb"(sample_count|channel_count|sample_n_bytes) -i (\d+)")


def is_read_as_stated(head: bytes) -> bool:
    """Return whether libsndfile reads only as many samples as the header states, for a file that begins with `head`."""
    return head[20:31] == b"samplerate\0" or head[:2] == b"\xf0\x7e"


def stated_end(file: Readable, start: int) -> int | None:
    """Return the end of the file at byte `start` according to its header, None for other formats and without a count."""
    file.seek(start)
    head = file.read(1024)
    if head[:4] == b"FORM" and head[8:12] in (b"8SVX", b"16SV"):
        size = int.from_bytes(head[4:8], "big")
        return start + 8 + size + size % 2
    if head[:4] == b"2BIT" and len(head) >= 128:
        channels = 2 if head[12:14] == b"\xff\xff" else 1
        return start + 128 + int.from_bytes(head[26:30], "big") * channels * (head[15] // 8)
    if head[:8] == b"NIST_1A\n":
        return _end_of_nist(head, start)
    if head[:2] == b"\xf0\x7e" and head[20:21] == b"\xf7":
        words, packed = head[10] | head[11] << 7 | head[12] << 14, (head[6] + 6) // 7  # bytes of 7 bits for a word
        return start + 21 + 127 * -(-words // (120 // max(packed, 1)))
    if head[:15] == b"ALawSoundFile**":
        return start + 32 + int.from_bytes(head[18:22], "big")
    if head[:10] == b"MATLAB 5.0" and head[126:128] in (b"IM", b"MI"):
        return _end_of_mat5(file, start, "<" if head[126:128] == b"IM" else ">")
    if head[20:31] == b"samplerate\0":
        return _end_of_mat4(file, start, "<" if head[4:8] == b"\1\0\0\0" else ">")
    return None


def _end_of_nist(head: bytes, start: int) -> int | None:
    fields = {b"sample_n_bytes": 1} | {name: int(value) for name, value in _FIELD.findall(head)}
    if len(fields) < 3 or b"shorten" in head or not head[8:16].strip().isdigit():
        return None
    return start + int(head[8:16]) + fields[b"sample_count"] * fields[b"channel_count"] * fields[b"sample_n_bytes"]


def _end_of_mat4(file: Readable, start: int, order: str) -> int | None:
    """Return the end of two matrices: one number, the rate, and the samples."""
    at = start
    for _ in range(2):
        file.seek(at)
        head = file.read(20)
        if len(head) < 20:
            return None
        kind, rows, columns, imaginary, name = struct.unpack(order + "5I", head)
        if kind // 10 % 10 >= len(_MAT4_WIDTHS) or imaginary > 1 or name > 64:
            return None
        at += 20 + name + rows * columns * _MAT4_WIDTHS[kind // 10 % 10]
    return at


def _end_of_mat5(file: Readable, start: int, order: str) -> int | None:
    """Return the end of the two matrices after the header, as libsndfile writes them."""
    at = start + 128
    for _ in range(2):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return None
        kind, size = struct.unpack(order + "2I", head)
        if kind != 14:
            return None
        at += 8 + size
    return at
