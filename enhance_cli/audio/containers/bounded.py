"""Protect parsers from damaged headers, so that a wrong length does not allocate memory."""

from __future__ import annotations

import os
from typing import Protocol

MOST = 64 << 20  # bytes read at once, more than any picture or description needs


class Readable(Protocol):
    """Read bytes at any position: an open file, or a part of one (section.Window)."""

    def read(self, size: int = ..., /) -> bytes: ...
    def seek(self, offset: int, whence: int = ..., /) -> int: ...
    def tell(self) -> int: ...


class BoundedFile:
    """Read an open file, at most MOST bytes at a time and never more than it holds."""

    def __init__(self, file: Readable):
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        left = min(max(self._size - self._file.tell(), 0), MOST)
        return self._file.read(left if size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
