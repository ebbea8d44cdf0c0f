"""Notice changes during a run: an input that changes or disappears while it is read, or a missing output folder."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from enhance_cli.batch.safety.atomic import STDOUT
from enhance_cli.errors import AudioError, EnhanceError, OutputError


def state(source: Path) -> tuple[int, int] | None:
    """Return size and modification time, which change with the content of a file, or None if it is missing."""
    try:
        status = source.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def check_unchanged(source: Path, before: tuple[int, int] | None) -> None:
    """Raise AudioError if `source` has changed or disappeared since its state was `before`."""
    if state(source) != before:
        happened = "changed" if source.exists() else "disappeared"
        raise AudioError(f"{source}: this file {happened} while it was read", "run again when nothing else works on it")


@contextlib.contextmanager
def steady(source: Path) -> Iterator[None]:
    """Raise AudioError if `source` changes during the block, also in place of an error that the change may have caused."""
    before = state(source)
    try:
        yield
    except (EnhanceError, OSError):
        check_unchanged(source, before)
        raise
    check_unchanged(source, before)


@contextlib.contextmanager
def folders_watched(targets: Iterable[Path]) -> Iterator[None]:
    """Turn errors caused by a missing output folder into an OutputError about that folder."""
    try:
        yield
    except (EnhanceError, OSError) as error:
        for target in targets:
            if target != STDOUT and not target.parent.is_dir():
                raise OutputError(f"{target}: its folder has disappeared", "run again once it is there") from error
        raise
