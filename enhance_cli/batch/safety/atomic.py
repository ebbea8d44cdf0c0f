"""Write outputs completely or not at all, also to standard output, and copy standard input to a temporary file."""

import atexit
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from enhance_cli.atomic import Busy, locked, replace_path, unfinished_path
from enhance_cli.batch.safety.temporary import temporary_folder
from enhance_cli.errors import AudioError

STDOUT = Path("-")
PIECE = 1 << 20


@contextlib.contextmanager
def atomic(target: Path) -> Iterator[Path]:
    """Yield a path to write to. It becomes `target` when the block succeeds, and is removed when the block fails.

    Missing folders are created. If the target is `-`, the finished file is copied to standard output. Raises Busy (an
    AudioError) if another run is writing the same target. Errors of the file system are raised as OSError.
    """
    if target == STDOUT:
        with temporary_folder() as folder:
            unfinished = folder / "output"
            yield unfinished
            with unfinished.open("rb") as finished:
                shutil.copyfileobj(finished, sys.stdout.buffer, PIECE)
            sys.stdout.buffer.flush()
        return
    if target.is_symlink():  # the file behind the link is replaced, not the link
        target = Path(os.path.realpath(target))
    with replace_path(target, wait=False) as unfinished:
        yield unfinished


def discard_unfinished(target: Path, patience: float = 5.0) -> None:
    """Remove the unfinished file of `target` that a killed process has left.

    If a process still holds it, wait up to `patience` seconds for it to end.
    """
    unfinished = unfinished_path(target)
    deadline = time.monotonic() + patience
    while os.path.exists(unfinished):
        try:
            with locked(unfinished, target, wait=False):
                unfinished.unlink()
        except Busy:
            if time.monotonic() > deadline:
                return
            time.sleep(0.1)
        except OSError:
            return


def spool_pipe(path: Path) -> Path:
    """Copy the data of a named pipe or a `<(command)` to a temporary file and return its path.

    Raises AudioError as `spool_stdin` does. Errors of the file system are raised as OSError.
    """
    with path.open("rb") as stream:
        return _spooled(stream, str(path))


def spool_stdin() -> Path:
    """Copy standard input to a temporary file and return its path. The file is deleted at exit.

    This is needed because audio is read twice and decoders have to seek. Raises AudioError if the input is empty or the
    disk is full.
    """
    if sys.stdin is None:
        raise AudioError("standard input is closed", "give it a file or a pipe")
    return _spooled(sys.stdin.buffer, "standard input")


def _spooled(stream: BinaryIO, name: str) -> Path:
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    try:
        path = stack.enter_context(temporary_folder()) / "input"
        with path.open("wb") as spool:
            shutil.copyfileobj(stream, spool, PIECE)
    except OSError as error:
        message = f"{name} cannot be stored in the folder for temporary files ({error.strerror})"
        raise AudioError(message, "set TMPDIR to a folder with room") from error
    if path.stat().st_size == 0:
        stack.close()
        raise AudioError(f"{name} is empty", "check the command before the pipe")
    return path
