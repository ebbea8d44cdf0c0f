"""Compute the length of an MP3 from its frame headers, which layers I and II have as well. libsndfile only estimates it.

A Xing, Info or VBRI header in the first frame states the number of frames. Without one, libsndfile divides the size of the
file, including tags, by the size of the first frame. The result is slightly too long at a constant bit rate, and arbitrary
at a varying one.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from enhance_cli.audio.containers.bounded import Readable

KBITS = {  # by whether it is MPEG 1 (not 2 or 2.5) and by layer, then by the index in the header
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version
NAMES = (b"Xing", b"Info", b"VBRI")
SLACK = 512  # bytes after the frames, enough for the usual tags at the end of a file
CHAIN = 4  # so many consecutive frame headers cannot be a coincidence
_SYNC = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]")
_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN")
_BLOCK = 1 << 20  # bytes that are searched at a time
LOOKED_AT = 50  # frames within which an encoder with a varying bit rate will have varied it


def states_length(file: Readable) -> bool:
    """Return whether the first frame is a header with the number of frames. Some encoders leave it 0."""
    return stated_frames(next(frames(file), b"")) > 0


def begins_with_frames(file: Readable) -> bool:
    """Return whether consecutive frames begin at the first byte, or directly after an ID3 tag."""
    count = 0
    for count, _ in enumerate(frames(file), 1):
        if count == CHAIN:
            return True
    return count > 0 and file.tell() == file.seek(0, 2)


def end_of_frames(file: Readable) -> int:
    """Return the end of the consecutive frames at the beginning."""
    at = _after_tag(file)
    for _, size in headers(file, at):
        at += size
    return at


def varies(file: Readable) -> bool:
    """Return whether the bitrate of one of the first frames differs from that of the very first."""
    indices = {frame[2] >> 4 for _, frame in zip(range(LOOKED_AT), frames(file))}
    return len(indices) > 1


@dataclass(frozen=True)
class Recording:
    """Describe the first recording of several MP3s that were joined end to end.

    `end`: position after its last byte. `following`: position of the next recording. `understated`: its header counts fewer
    frames than there are. `gaps`: number of places within or after it with bytes that are neither frames, tags nor zeros.
    """

    end: int
    following: int
    understated: bool = False
    gaps: int = 0


def first_recording(file: Readable, next_file: Callable[[int, int], int]) -> Recording:
    """Return the first recording in `file`, which may hold several with tags or other bytes between them.

    The next recording begins at a frame with a Xing, Info or VBRI header, at a frame with another rate or number of
    channels, after bytes that are not frames, or at a file of any format. `next_file(at, end)` returns where such a file
    begins in the bytes `at` to `end`, or `end` if there is none.
    """
    end = file.seek(0, 2)
    first = next(frames(file), b"")
    begin = file.tell() - len(first)
    at, stated = max(first.find(name) for name in NAMES), stated_frames(first)
    if stated:
        size = (
            int.from_bytes(first[at + 12 : at + 16], "big")
            if first[at : at + 4] != b"VBRI" and first[at + 7] & 2
            else 0
        )
        constant = first[at : at + 4] == b"Info"
        if constant and end - begin - size < SLACK and _fits(stated, size, file, begin):
            return Recording(end, end)  # frames of one size up to the end of the file, as many as the header states
    count, behind, gaps = 0, begin, 0
    while first:
        for head, length in headers(file, behind):
            if count and length >= 64 and any(name in head for name in NAMES):
                return Recording(behind, behind, gaps=gaps)
            if count and shape(head) != shape(first):
                break
            count, behind = count + 1, behind + length
        begins_again = next_frames(file, behind, end)
        following = next_file(behind, begins_again)
        if following == end:
            break
        file.seek(behind)
        between = file.read(min(following - behind, _BLOCK))
        gaps += not between.startswith(_TAGS) and bool(between.strip(b"\0"))
        if following < begins_again or count >= stated:
            return Recording(behind, following, bool(stated and count > stated + 2), gaps)
        if begins_again == behind:  # frames of another kind, although the header counts more of this kind
            if count > 1:
                return Recording(behind, behind, gaps=gaps)
            first, _ = next(headers(file, behind))  # only the frame with the header is of another kind
        behind = begins_again  # the recording is damaged, and continues there
    return Recording(end, end, bool(stated and count > stated + 2), gaps)


def stated_frames(first: bytes) -> int:
    """Return the number of frames that a header in the first frame states, 0 without one."""
    at = max(first.find(name) for name in NAMES)
    if not 0 <= at < len(first) - 16:
        return 0
    if first[at : at + 4] == b"VBRI":
        return int.from_bytes(first[at + 14 : at + 18], "big")
    return int.from_bytes(first[at + 8 : at + 12], "big") if first[at + 7] & 1 else 0


def layer(head: bytes) -> int:
    return 4 - (head[1] >> 1 & 3)


def shape(head: bytes) -> tuple[int, int, bool]:
    """Return the version, the index of the rate, and whether it is mono, of a frame."""
    return head[1] >> 3 & 3, head[2] >> 2 & 3, head[3] >> 6 == 3


def _goes_on(file: Readable, at: int) -> bool:
    """Return whether CHAIN consecutive frames of one kind begin at `at`."""
    heads = [head for _, (head, _) in zip(range(CHAIN), headers(file, at))]
    return len(heads) == CHAIN and len({shape(head) for head in heads}) == 1


def next_frames(file: Readable, at: int, end: int) -> int:
    """Return the position of the next frames after byte `at`, or `end`."""
    while at < end:
        file.seek(at)
        block = file.read(_BLOCK)
        for found in _SYNC.finditer(block):
            if _goes_on(file, at + found.start()):
                return at + found.start()
        at += max(len(block) - 1, 1)
    return end


def _fits(stated: int, size: int, file: Readable, begin: int) -> bool:
    """Return whether `stated` frames with the length of the second frame take `size` bytes. The first may be smaller."""
    lengths = [length for _, (_, length) in zip(range(2), headers(file, begin))]
    return len(lengths) == 2 and abs(lengths[1] * stated - size) < 0.02 * size + SLACK


def state_length(path: Path, samples: int) -> None:
    """Write the number of samples into the header of an MP3 that FFmpeg's muxer has made.

    FFmpeg pads a last piece of fewer than 48 samples and counts the padding. Fields as in LAME's MP3 Info Tag rev. 1.
    """
    with open(path, "r+b") as file:
        first = next(frames(file), b"")
        begin, at = file.tell() - len(first), first.find(b"Info")
        if at < 0 or len(first) < at + 156:
            return
        delay = int.from_bytes(first[at + 141 : at + 144], "big") >> 12
        per_frame = 1152 if first[1] >> 3 & 1 else 576
        padding = int.from_bytes(first[at + 8 : at + 12], "big") * per_frame - delay - samples
        if not 0 <= padding < 4096:
            return
        tag = bytearray(first)
        tag[at + 141 : at + 144] = (delay << 12 | padding).to_bytes(3, "big")
        tag[at + 154 : at + 156] = bytes(2)
        tag[at + 154 : at + 156] = _crc16(bytes(tag[:190])).to_bytes(2, "big")
        file.seek(begin)
        file.write(tag)


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def tag_size(head: bytes) -> int:
    """Return the bytes of an ID3v2 tag, given its first ten."""
    a, b, c, d = head[6:10]
    return 10 + ((a & 127) << 21 | (b & 127) << 14 | (c & 127) << 7 | d & 127) + (10 if head[5] & 16 else 0)


def _after_tag(file: Readable) -> int:
    """Return the position after an ID3v2 tag at the beginning, 0 if there is no tag."""
    file.seek(0)
    head = file.read(10)
    return tag_size(head) if head[:3] == b"ID3" and len(head) == 10 else 0


def frames(file: Readable) -> Iterator[bytes]:
    """Yield the consecutive frames at the beginning, after an ID3 tag if there is one."""
    at = _after_tag(file)
    for _, size in headers(file, at):
        file.seek(at)
        yield file.read(size)
        at += size


def headers(file: Readable, at: int) -> Iterator[tuple[bytes, int]]:
    """Yield the first 64 bytes of each frame from byte `at` on, and its size in bytes."""
    while True:
        file.seek(at)
        head = file.read(64)
        if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
            return
        version, layer, index, rate = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
        if version not in RATES or layer == 4 or index in (0, 15) or rate == 3:
            return
        bits, rate, padded = 1000 * KBITS[version == 3, layer][index], RATES[version][rate], head[2] >> 1 & 1
        if layer == 1:
            size = 4 * (12 * bits // rate + padded)
        else:
            size = (72 if layer == 3 and version != 3 else 144) * bits // rate + padded
        yield head, size
        at += size
