"""Define limits, messages and file access of the programs that run FFmpeg's libraries in a separate process.

A message is a type (1 byte), a length (4 bytes, little endian), and that many bytes. A program is killed after SECONDS of
processor time without a message, or if it needs more than MEMORY.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from typing import BinaryIO

import av

from enhance_cli.audio.containers.bounded import MOST
from enhance_cli.audio.containers.section import Window

SECONDS = 8.0  # of processor time
MEMORY = 1 << 31  # bytes of address space, in addition to those at the start of the process


def start() -> BinaryIO:
    """Prepare the process, and return the stream for its messages."""
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles Ctrl-C, and ends this one
    bound_memory()
    restart_watch()
    av.logging.set_level(av.logging.PANIC)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a library that prints must not spoil the messages
    return out


def described(error: Exception) -> bytes:
    """Return the reason of a failure for a message."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__).encode()


def path_of(digits: str) -> str:
    """Return the path for its hexadecimal digits. Paths are sent in this form since they may not be valid UTF-8."""
    return os.fsdecode(bytes.fromhex(digits))


class Source(Window):
    """Provide a part of a file to FFmpeg: at most MOST bytes at a time, and a negative number for an impossible seek."""

    def read(self, size: int = -1) -> bytes:
        return super().read(min(size, MOST) if size >= 0 else MOST)

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence not in (0, 1, 2):
            return -22
        target = (0, self._at, self._length)[whence] + offset
        if not 0 <= target < 1 << 62:
            return -22
        self._at = target
        return target


def send(out: BinaryIO, kind: bytes, data: bytes | memoryview) -> None:
    restart_watch()
    view = memoryview(struct.pack("<cI", kind, len(data)) + bytes(data))
    while view:
        view = view[out.write(view) :]


def restart_watch() -> None:
    """Restart the timer that kills the process after SECONDS without a message, even within a loop of a library."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, SECONDS)


def bound_memory() -> None:
    if sys.platform == "linux":
        import resource

        with open("/proc/self/statm", "rb") as statm:
            now = int(statm.read().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        bound = now + MEMORY
        if soft != resource.RLIM_INFINITY:
            bound = min(bound, soft)
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
