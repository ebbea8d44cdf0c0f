"""Recognize the file from which an output was made, by a short text in its mark: "denoise source=HASH".

The hash is of the length and some bytes of the source, so a copied, moved or renamed source is recognized, and does not change
the output.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

_PIECE = 4096  # bytes that are read at the beginning, in the middle and at the end of a source
_REACH = 1 << 14  # bytes at both ends of an output in which the mark is looked for
_MARK = re.compile(rb"[a-z-]+ source=([0-9a-f]{16})")


def mark_text(command: str, source: Path) -> str:
    """Return the mark of an output that `command` makes from `source`. Errors of the file system are raised as OSError."""
    return f"{command} source={_content_hash(source)}"


def command_in(mark: str | None) -> str | None:
    """Return the command in a mark."""
    return mark.partition(" ")[0] if mark else None


def is_made_from_another(output: Path, source: Path) -> bool:
    """Return whether the mark of an output says that it was made from another file than `source`.

    Returns False if it is not known: for outputs without a mark, for sources that are no regular files, and for sources that
    are newer than the output, since they may have been edited.
    """
    try:
        made_from = _find_mark(output)
        if made_from is None or not source.is_file() or os.stat(source).st_mtime > os.stat(output).st_mtime:
            return False
        return made_from != _content_hash(source)
    except OSError:
        return False


def _find_mark(output: Path) -> str | None:
    """Return the hash in the mark of an output, which all containers store as plain text near one of their ends."""
    with open(output, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(_REACH)
        if size > _REACH:
            file.seek(max(size - _REACH, _REACH))
            data += file.read(_REACH)
    found = _MARK.search(data)
    return found.group(1).decode() if found else None


def _content_hash(source: Path) -> str:
    with open(source, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.blake2b(str(size).encode(), digest_size=8)
        for at in (0, size // 2, max(size - _PIECE, 0)):
            file.seek(at)
            digest.update(file.read(_PIECE))
    return digest.hexdigest()
