"""Make temporary folders. If a run is killed, the next run removes those that it has left.

Each folder is locked as long as its process lives. A run that needs a folder first removes those that are not locked.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: temporary folders of a killed run stay
    fcntl = None  # type: ignore[assignment]

PREFIX, HELD = "enhance-temporary-", "held"


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty folder (but for its lock file), which is removed at the end of the block."""
    _sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name, open(Path(name, "new"), "wb") as held:
        with contextlib.suppress(OSError):  # a file system without locks, where folders of killed runs are not removed
            if fcntl is not None:
                fcntl.flock(held, fcntl.LOCK_EX)
                os.rename(held.name, Path(name, HELD))  # only now, so that no other run sees the file unlocked
        yield Path(name)


@lru_cache(maxsize=1)
def _sweep() -> None:
    """Remove the folders of killed runs. This is done once in a process."""
    folders = Path(tempfile.gettempdir()).glob(f"{PREFIX}*")
    for folder in folders if fcntl is not None else ():
        with contextlib.suppress(OSError), open(folder / HELD, "rb+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
