"""Describe one recording inside a file: where its bytes are, how they are damaged, and a file object over them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

SLACK = 64  # so few bytes after the last chunk cannot be sound


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
class Patch:
    """Hold the `data` that is read in place of the bytes `start` to `end` of a recording."""

    start: int
    end: int
    data: bytes


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
        timed: silence belongs where the time stamps of an Ogg jump.
        following: position of the next recording, if it is not `end`.
        empty: a header without sound.
        patches: silence in place of damaged parts, counted from `start`.
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
    timed: bool = False
    following: int | None = None
    empty: bool = False
    patches: tuple[Patch, ...] = ()


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


class PatchedWindow(Window):
    """Read a part of an open file with `patches` in it, which are in order."""

    def __init__(self, file: BinaryIO, start: int, end: int, patches: Sequence[Patch]):
        self._parts: list[Window | BytesIO] = []
        self._begins, at = [0], 0
        for patch in patches:
            self._parts += [Window(file, start + at, start + patch.start), BytesIO(patch.data)]
            at = patch.end
        self._parts.append(Window(file, start + at, end))
        for part in self._parts:
            self._begins.append(self._begins[-1] + part.seek(0, os.SEEK_END))
        super().__init__(file, start, start + self._begins[-1])

    def read(self, size: int = -1) -> bytes:
        stop = self._length if size < 0 else min(self._at + size, self._length)
        pieces = []
        while self._at < stop:
            number = bisect_right(self._begins, self._at) - 1
            part, begin = self._parts[number], self._begins[number]
            part.seek(self._at - begin)
            pieces.append(part.read(stop - self._at))
            self._at += len(pieces[-1])
            if not pieces[-1]:  # the file has become shorter
                break
        return b"".join(pieces)
