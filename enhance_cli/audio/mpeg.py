"""What the frames of an MP3 say about its length, of which libsndfile only tells what it takes for it.

A Xing, Info or VBRI header in the first frame states the number of frames. Without one libsndfile divides the size of the
file, tags included, by that of the first frame: a little too long at a constant bitrate, and anything at a varying one.
"""

from collections.abc import Iterator
from typing import BinaryIO

KBITS = {  # of layer III, by the index in the header; MPEG 1, and 2 and 2.5
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version
LOOKED_AT = 50  # frames: an encoder that varies the bitrate has done so by then


def states_length(file: BinaryIO) -> bool:
    """Whether the first frame is a header with the number of frames."""
    first = next(frames(file), b"")
    return any(name in first for name in (b"Xing", b"Info", b"VBRI"))


def varies(file: BinaryIO) -> bool:
    """Whether the bitrate is another in one of the first frames than in the very first."""
    indices = {frame[2] >> 4 for _, frame in zip(range(LOOKED_AT), frames(file))}
    return len(indices) > 1


def frames(file: BinaryIO) -> Iterator[bytes]:
    """All frames of layer III, one after the other, from behind an ID3 tag to where there is none."""
    file.seek(0)
    head = file.read(10)
    at = 0
    if head[:3] == b"ID3" and len(head) == 10:
        a, b, c, d = head[6:]
        at = 10 + (a << 21 | b << 14 | c << 7 | d)
    while True:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
            return
        version, index, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
        if version not in RATES or index in (0, 15) or rate == 3:
            return
        kbits, slots = KBITS[version == 3][index], 144 if version == 3 else 72
        size = slots * kbits * 1000 // RATES[version][rate] + (head[2] >> 1 & 1)
        yield head + file.read(size - 4)
        at += size
