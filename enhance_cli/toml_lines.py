"""Find the line of a key in a TOML text, and the known key that is closest to an unknown one."""

import difflib
import sys
from collections.abc import Iterable
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def line_of(text: str, path: tuple) -> int | None:
    """Return the line (from 1) of the statement that sets `path`, such as ("stage", 1, "lr"), or None if there is none.

    tomllib does not provide line numbers, so ever longer beginnings of the text are parsed until one holds the key.
    """
    lines, complete = text.splitlines(), 0
    for number in range(1, len(lines) + 1):
        try:
            tables = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:  # in the middle of a list or table over several lines
            continue
        if _holds(tables, path):
            return complete + 1
        complete = number
    return None


def nearest(name: str, known: Iterable[str], noun: str) -> str:
    """Return a hint for an unknown name: the closest known one, or all of them. `noun`: plural for such names."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {close[0]!r}?" if close else f"known {noun} are {', '.join(sorted(known)) or 'none'}"


def _holds(tables: Any, path: tuple) -> bool:
    for key in path:
        try:
            tables = tables[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True
