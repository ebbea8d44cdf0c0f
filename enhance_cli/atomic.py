"""Replace files atomically: write under a hidden name beside the target, and rename when the file is complete.

If a run is killed, the earlier file is intact. The hidden name depends only on the target, so the next run overwrites the
remains. The hidden file is locked while a run writes to it: if two runs write the same target, the second waits or fails.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from enhance_cli.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows: no locks, two runs on the same file are not noticed
    fcntl = None  # type: ignore[assignment]

NAME_MAX = 255  # bytes in a file name on every common file system


class Busy(OutputError):
    """Report that another run is writing this file."""


def unfinished_path(target: Path) -> Path:
    """Return the hidden path that `target` is written to until it is complete."""
    name = f".{target.name}.part"
    if len(os.fsencode(name)) > NAME_MAX:
        name = f".{hashlib.blake2b(os.fsencode(target.name), digest_size=16).hexdigest()}.part"
    return target.with_name(name)


@contextlib.contextmanager
def replace_path(target: Path, *, wait: bool, keep_unfinished: bool = False) -> Iterator[Path]:
    """Yield a path to write to. It becomes `target` when the block succeeds, and is removed when the block fails.

    Missing folders are made. If another run is writing the same target, this waits for it (`wait`) or raises Busy. With
    `keep_unfinished`, the bytes already written survive a failure, so that the next run can continue after them. Errors
    of the file system are raised as OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_path(target)
    with locked(unfinished, target, wait=wait):
        try:
            yield unfinished
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(unfinished, target)
        except BaseException:  # Ctrl-C too
            if not (keep_unfinished and unfinished.exists() and unfinished.stat().st_size):
                unfinished.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def replace_file(target: Path) -> Iterator[BinaryIO]:
    """Yield a binary file to write to, which becomes `target` as in `replace_path`. Waits for another run that writes it."""
    with replace_path(target, wait=True) as unfinished, unfinished.open("wb") as file:
        yield file


def move_aside(path: Path, folder: Path, reason: str) -> Path:
    """Move a file to `folder`, under a name that is free there, and return its new path.

    `reason` is written to NAME.txt before the file is moved, so that no moved file lacks its reason. Raises OSError.
    """
    folder.mkdir(exist_ok=True)
    moved, number = folder / path.name, 1
    while os.path.lexists(moved):
        number += 1
        moved = folder / f"{path.stem} ({number}){path.suffix}"
    moved.with_name(f"{moved.name}.txt").write_text(f"{reason}\n", encoding="utf-8")
    os.rename(path, moved)
    return moved


@contextlib.contextmanager
def locked(unfinished: Path, target: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock on the file `unfinished`, which is created if it is missing. Without `wait`, raises Busy if it is locked.

    The kernel releases the lock when the process ends, even if it is killed.
    """
    if fcntl is None:
        yield
        return
    while True:
        with unfinished.open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                hint = "wait for it, or split the work with --shard"
                raise Busy(f"{target}: another run is writing this file", hint) from error
            except OSError:
                pass  # a network file system without locks
            if not _is_open_at(lock, unfinished):
                continue  # the run that held it has renamed or removed it meanwhile
            yield
            return


def _is_open_at(file: BinaryIO, path: Path) -> bool:
    """Return whether the open `file` is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
