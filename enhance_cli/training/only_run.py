"""Let one process at a time train in a run folder, since two would overwrite each other's state."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enhance_cli.atomic import Busy, locked
from enhance_cli.errors import UsageError


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold a run folder by a lock on its file `.lock`, which a killed process releases. Raises UsageError if it is held."""
    lock = folder / ".lock"
    try:
        with locked(lock, folder, wait=False):
            yield
            lock.unlink()
    except Busy as error:
        raise UsageError(f"{folder}: another run is training in this folder", "name another one with --run") from error
