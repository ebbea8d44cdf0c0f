"""What may move under a run: an input that changes or disappears while it is read, an output folder that vanishes."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from enhance_cli.batch.safety.atomic import STDOUT
from enhance_cli.errors import AudioError, EnhanceError


def state(source: Path) -> tuple[int, int] | None:
    """What tells one content of a file from the next; None if it is not there."""
    try:
        status = source.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def check_unchanged(source: Path, before: tuple[int, int] | None) -> None:
    """Raises AudioError if `source` is no longer what it was when its state was taken."""
    if state(source) != before:
        what = "changed" if source.exists() else "disappeared"
        raise AudioError(f"{source}: this file {what} while it was read", "run again when nothing else works on it")


@contextlib.contextmanager
def steady(source: Path) -> Iterator[None]:
    """Raises AudioError if `source` is not at the end of the block what it was at its beginning, also in place of errors, which
    may have come of that."""
    before = state(source)
    try:
        yield
    except (EnhanceError, OSError):
        check_unchanged(source, before)
        raise
    check_unchanged(source, before)


@contextlib.contextmanager
def folders_watched(places: Iterable[Path]) -> Iterator[None]:
    """Whatever follows from an output folder that vanishes says that it did. Raises AudioError."""
    try:
        yield
    except (EnhanceError, OSError) as error:
        for place in places:
            if place != STDOUT and not place.parent.is_dir():
                raise AudioError(f"{place}: its folder has disappeared", "run again once it is there") from error
        raise
