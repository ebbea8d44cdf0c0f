"""Find out whether a compressed stream is cut off within a frame: AC-3, E-AC-3, TrueHD, MLP and MPEG program streams.

FFmpeg silently drops an incomplete frame at the end of these. The sizes of frames follow ETSI TS 102 366 (AC-3) and
ISO 13818-1 (program streams).
"""

from __future__ import annotations

import re

from enhance_cli.audio.containers.bounded import Readable

_AC3_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AC3_RATES = (48000, 44100, 32000)
_AC3_SAMPLES = 1536
MAJOR_SYNCS = (b"\xf8\x72\x6f\xba", b"\xf8\x72\x6f\xbb")  # bytes 4 to 7 of TrueHD and MLP
_PACKET = re.compile(rb"\x00\x00\x01[\xbd-\xef]")  # of a program stream. Its length follows
_LARGEST_PACKET = 65536 + 6


def ac3_breaks_off(file: Readable, start: int, end: int) -> bool:
    """Return whether the last frame of AC-3 or E-AC-3 in bytes `start` to `end` is incomplete."""
    at = start
    while at < end:
        file.seek(at)
        size = _ac3_size(file.read(6))
        if not size:
            return False  # these bytes are not a frame, which the decoder reports
        at += size
    return at > end


def _ac3_size(head: bytes) -> int:
    """Return the size in bytes of a frame of AC-3 or E-AC-3, 0 if this is none. Pairs of bytes may be swapped."""
    if head[:2] == b"w\x0b":
        head = bytes(head[i ^ 1] for i in range(len(head) & ~1))
    if len(head) < 6 or head[:2] != b"\x0bw":
        return 0
    if head[5] >> 3 > 10:
        return 2 * ((int.from_bytes(head[2:4], "big") & 0x7FF) + 1)
    rate, code = head[4] >> 6, head[4] & 63
    if rate == 3 or code >= 2 * len(_AC3_KBITS):
        return 0
    words = _AC3_SAMPLES * 1000 * _AC3_KBITS[code // 2] // (16 * _AC3_RATES[rate])
    return 2 * (words + (code & 1 if rate == 1 else 0))


def truehd_breaks_off(file: Readable, start: int, end: int) -> bool:
    """Return whether the last access unit of TrueHD or MLP in bytes `start` to `end` is incomplete."""
    at = start
    while at + 2 <= end:
        file.seek(at)
        size = 2 * (int.from_bytes(file.read(2), "big") & 0xFFF)
        if size < 8:
            return False
        at += size
    return at != end


def program_stream_breaks_off(file: Readable, start: int, end: int) -> bool:
    """Return whether the last packet of an MPEG program stream in bytes `start` to `end` is incomplete."""
    begin = max(start, end - _LARGEST_PACKET)
    file.seek(begin)
    tail = file.read(end - begin)
    at = 0
    last = None
    while found := _PACKET.search(tail, at):
        last = found.start() + 6 + int.from_bytes(tail[found.start() + 4 : found.start() + 6], "big")
        at = last if begin == start else found.start() + 4
    return last is not None and last > len(tail)
