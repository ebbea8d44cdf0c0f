"""Outputs that appear whole or not at all, and standard input kept in a temporary file.

An output is written under a hidden name beside its final place and renamed when it is complete. The hidden
name is always the same, so the run after a `kill -9` writes over what was left.
"""

import atexit
import contextlib
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from enhance_cli.batch.safety.temporary import temporary_room
from enhance_cli.errors import AudioError

try:
    import fcntl
except ImportError:  # Windows: no locks, two runs on the same output are not noticed
    fcntl = None

STDOUT = Path("-")
NAME_MAX = 255  # bytes in a file name on every common file system
PIECE = 1 << 20


class Busy(AudioError):
    """Another run is writing this output."""


def part_path(target: Path) -> Path:
    """The hidden name under which `target` is written until it is complete."""
    name = f".{target.name}.part"
    if len(os.fsencode(name)) > NAME_MAX:
        name = f".{hashlib.blake2b(os.fsencode(target.name), digest_size=16).hexdigest()}.part"
    return target.with_name(name)


@contextlib.contextmanager
def atomic(target: Path) -> Iterator[Path]:
    """Yields a path to write to; it becomes `target` when the block ends well and vanishes when it does not.

    Missing folders are made. With the target `-` the finished bytes go to standard output instead.
    Raises Busy (an AudioError) if another run is writing the same target, OSError as the file system gives it.
    """
    if target == STDOUT:
        with temporary_room() as room:
            part = room / "output"
            yield part
            with part.open("rb") as finished:
                shutil.copyfileobj(finished, sys.stdout.buffer, PIECE)
            sys.stdout.buffer.flush()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_path(target)
    with claimed(part, target):
        try:
            yield part
            with part.open("rb+") as finished:
                os.fsync(finished.fileno())
            os.replace(part, target)
        except BaseException:  # Ctrl-C too
            part.unlink(missing_ok=True)
            raise


def discard_part(target: Path, patience: float = 5.0) -> None:
    """Remove what a process that was killed has left of `target`; one that is still alive has `patience` seconds to end."""
    part = part_path(target)
    deadline = time.monotonic() + patience
    while os.path.exists(part):
        try:
            with claimed(part, target):
                part.unlink()
        except Busy:
            if time.monotonic() > deadline:
                return
            time.sleep(0.1)
        except OSError:
            return


def spool_stdin() -> Path:
    """Copy standard input to a temporary file and return its path; it is deleted at exit.

    Audio has to be read twice and decoders have to seek, which a pipe cannot do. Memory use is one piece.
    Raises AudioError if nothing comes or there is no room.
    """
    if sys.stdin is None:
        raise AudioError("standard input is closed", "give it a file or a pipe")
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    try:
        path = stack.enter_context(temporary_room()) / "input"
        with path.open("wb") as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool, PIECE)
    except OSError as error:
        message = f"standard input cannot be stored in the folder for temporary files ({error.strerror})"
        raise AudioError(message, "set TMPDIR to a folder with room") from error
    if path.stat().st_size == 0:
        stack.close()
        raise AudioError("standard input is empty", "check the command before the pipe")
    return path


@contextlib.contextmanager
def claimed(part: Path, target: Path) -> Iterator[None]:
    """Hold a lock on the part file, so that a second run on the same output fails instead of mixing in.

    The kernel drops the lock when the process dies, however it dies.
    """
    if fcntl is None:
        yield
        return
    with part.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "wait for it, or split the work with --shard"
            raise Busy(f"{target}: another run is writing this file", hint) from error
        except OSError:
            pass  # a network file system without locks
        yield
