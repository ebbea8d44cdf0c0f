"""Files that are replaced whole: written under a hidden name beside their place, and renamed when they are complete.

A run that is killed leaves what was there before, and the next one writes over what it left. Of two runs that write the same
file the second waits for the first. Outputs of a batch are written by batch.safety.atomic instead, where the second run
fails.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows: no locks, two runs on the same file are not noticed
    fcntl = None


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """Yields a file to write bytes to; it becomes `target` when the block ends well and vanishes when it does not.

    Missing folders are made. Raises OSError as the file system gives it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    with contextlib.ExitStack() as when_closed, _claimed(part) as file:
        end = partial(part.unlink, missing_ok=True)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            end = partial(os.replace, part, target)
        finally:  # after Ctrl-C too
            if fcntl is None:  # Windows moves no open file
                when_closed.callback(end)
            else:  # as long as nobody else can have it
                end()


def _claimed(part: Path) -> BinaryIO:
    """`part`, empty, and locked as long as it is open."""
    while True:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b")
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a network file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if part.exists() and os.path.samestat(os.fstat(file.fileno()), part.stat()):
            file.truncate(0)
            return file
        file.close()  # whoever had it before has given it its final name
