"""Temporary folders that no killed run leaves for good: each is locked as long as its process lives, and the next run that
needs one removes those that nobody holds any more."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: what a killed run has left stays
    fcntl = None

PREFIX, HELD = "enhance-room-", "held"


@contextlib.contextmanager
def temporary_room() -> Iterator[Path]:
    """An empty folder, but for the file that is locked; it is removed at the end of the block."""
    _sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name, open(Path(name, "new"), "w") as held:
        with contextlib.suppress(OSError):  # a file system without locks, where nobody will know that a run is gone
            if fcntl is not None:
                fcntl.flock(held, fcntl.LOCK_EX)
                os.rename(held.name, Path(name, HELD))  # nobody sees it unlocked
        yield Path(name)


@lru_cache(maxsize=1)
def _sweep() -> None:
    """Remove the folders of runs that were killed, once."""
    rooms = Path(tempfile.gettempdir()).glob(f"{PREFIX}*")
    for room in rooms if fcntl is not None else ():
        with contextlib.suppress(OSError), open(room / HELD, "r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(room)
