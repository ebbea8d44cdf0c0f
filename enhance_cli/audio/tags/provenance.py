"""Recognize the file from which an output was made, by a short text in its mark: "denoise source=HASH from=HASH".

The first hash is of the length and some bytes of the source, so a copied, moved or renamed source is recognized. The second is
of its path from the folder of the output, which tells an edited source from another file, and stays the same if both are moved.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

_PIECE = 4096  # bytes that are read at the beginning, in the middle and at the end of a source
_REACH = 1 << 14  # bytes at both ends of an output in which the mark is looked for
_NO_PLACE = "00000000"  # so that outputs are equally long and differ in this alone
_MARK = re.compile(r"[a-z-]+ source=([0-9a-f]{16})(?: from=([0-9a-f]{8}))?")


def mark_text(command: str, source: Path, *, output: Path | None = None) -> str:
    """Return the mark of a file that `command` makes from `source`. Errors of the file system are raised as OSError.

    `output`: path of that file, None if the place of the source tells nothing, as of a temporary copy.
    """
    return f"{command} source={_content_hash(source)} from={_place_hash(source, output) if output else _NO_PLACE}"


def command_in(mark: str | None) -> str | None:
    """Return the command in a mark."""
    return mark.partition(" ")[0] if mark else None


def is_made_from_another(output: Path, source: Path, *, path: Path | None = None) -> bool | None:
    """Return whether the mark in `output`, or in an unfinished file, says that it was made from another file than `source`.

    A source that is newer and in the same place may have been edited, so it is not another. Returns None if it is not known:
    for outputs without a mark, for sources that are no regular files, and for newer sources if the mark names no place.
    `path`: final path of an unfinished file.
    """
    try:
        content, place = _find_mark(output)
        if content is None or not source.is_file():
            return None
        if content == _content_hash(source):
            return False
        if os.stat(source).st_mtime <= os.stat(output).st_mtime:
            return True
        return None if place is None else place != _place_hash(source, path or output)
    except OSError:
        return None


def _find_mark(output: Path) -> tuple[str | None, str | None]:
    """Return the two hashes in the mark of an output, which all containers store as plain text near one of their ends."""
    with open(output, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(_REACH)
        if size > _REACH:
            file.seek(max(size - _REACH, _REACH))
            data += file.read(_REACH)
    found = _MARK.search(data.decode("latin-1"))
    return (found[1], found[2] if found[2] != _NO_PLACE else None) if found else (None, None)


def _place_hash(source: Path, output: Path) -> str:
    path = os.path.realpath(source)
    with contextlib.suppress(ValueError):  # another drive of Windows
        path = os.path.relpath(path, os.path.realpath(output.parent))
    return hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest()


def _content_hash(source: Path) -> str:
    with open(source, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.blake2b(str(size).encode(), digest_size=8)
        for at in (0, size // 2, max(size - _PIECE, 0)):
            file.seek(at)
            digest.update(file.read(_PIECE))
    return digest.hexdigest()
