"""Describe one recording inside a file: where its bytes are, how they are damaged, and a file object over them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

SLACK = 64  # bytes behind the last chunk that are too few to be sound


def bytes_per_sample(subtype: str) -> int:
    """Return the bytes of one sample of one channel."""
    return {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}.get(subtype, 1)


@dataclass(frozen=True)
class Raw:
    """Describe samples whose header is not usable, in the terms of soundfile, and their position in the file."""

    subtype: str
    endian: str  # LITTLE or BIG
    rate: int
    channels: int
    start: int
    end: int
    promised: int | None  # number of samples in the header, None if it was never filled in


@dataclass(frozen=True)
class Section:
    """Locate one recording: bytes `start` to `end` of the file.

    Args:
        raw: the samples, if there are more than the header states.
        understated: the header of a compressed recording states fewer samples than there are.
        left: number of bytes that are neither sound nor a known chunk.
        cut: the end of the recording is missing.
        holes: number of places inside the recording where parts are missing.
        mixed: several streams were recorded at the same time.
        foreign: only FFmpeg reads all of it.
        following: position of the next recording, if it is not `end`.
        empty: a header without sound.
    """

    start: int
    end: int
    raw: Raw | None = None
    understated: bool = False
    left: int = 0
    cut: bool = False
    holes: int = 0
    mixed: bool = False
    foreign: bool = False
    following: int | None = None
    empty: bool = False


class Window:
    """Read a part of an open file, for readers that take file objects."""

    def __init__(self, file: BinaryIO, start: int, end: int):
        self._file, self._start, self._length, self._at = file, start, end - start, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(self._length - self._at, 0)
        self._file.seek(self._start + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data
