"""Make temporary folders that a killed run leaves only until the next run.

Each is locked as long as its process lives. A run that needs one first removes those that are locked no more.
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
        with contextlib.suppress(OSError):  # a file system without locks, where nobody will know that a run is gone
            if fcntl is not None:
                fcntl.flock(held, fcntl.LOCK_EX)
                os.rename(held.name, Path(name, HELD))  # nobody sees it unlocked
        yield Path(name)


@lru_cache(maxsize=1)
def _sweep() -> None:
    """Remove the folders of runs that were killed, once."""
    folders = Path(tempfile.gettempdir()).glob(f"{PREFIX}*")
    for folder in folders if fcntl is not None else ():
        with contextlib.suppress(OSError), open(folder / HELD, "rb+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
