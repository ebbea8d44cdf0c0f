"""Convert TOML tables to dataclasses with checks of names and types. Errors name the line."""

import json
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from enhance_cli.errors import UsageError
from enhance_cli.ranges import OutOfRange
from enhance_cli.toml_lines import line_of, nearest


class Origins:
    """Find where a value was set.

    `texts`: (name, text) of the files of a recipe, the topmost first. `changes`: overrides by path.
    """

    def __init__(self, texts: list[tuple[str, str]], changes: dict[tuple, str]):
        self.texts, self.changes = texts, changes

    def of(self, path: tuple) -> str:
        """Return the override or the file and line that set the value at `path`."""
        for changed, said in self.changes.items():
            if changed == path[: len(changed)]:
                return f"--set {said}"
        for name, text in self.texts:
            if path and (line := line_of(text, path)):
                return f"{name}, line {line}"
        return self.texts[0][0]


def build(expected: Any, table: dict, origins: Origins, path: tuple = ()) -> Any:
    """Return the dataclass `expected` from a TOML table, with names and types checked at all depths. Raises UsageError."""
    known = {f.name for f in fields(expected)}
    for key in table:
        if key not in known:
            raise unknown_key(key, known, origins, (*path, key))
    hints = get_type_hints(expected)
    values = {key: _convert(hints[key], value, origins, (*path, key)) for key, value in table.items()}
    try:
        return expected(**values)
    except TypeError as error:
        missing = str(error).split("argument", 1)[-1].lstrip("s: ")
        raise UsageError(f"{origins.of(path)}: {missing} missing", "add it to the recipe") from error
    except ValueError as error:  # OutOfRange, or less exact from a class that is not for recipes alone
        raise out_of_range(error, origins, path) from error


def unknown_key(key: object, known: set[str], origins: Origins, path: tuple) -> UsageError:
    """Return the error for an unknown key, with the closest known key."""
    return UsageError(f"{origins.of(path)}: unknown key {key!r}", nearest(str(key), known, "keys"))


def out_of_range(error: ValueError, origins: Origins, path: tuple) -> UsageError:
    """Return the error for a value out of range, with its line."""
    at = (*path, error.key) if isinstance(error, OutOfRange) and error.key else path
    return UsageError(f"{origins.of(at)}: {_dotted(at)}: {error}", "mend the recipe")


def _convert(expected: Any, value: Any, origins: Origins, path: tuple) -> Any:
    origin = get_origin(expected)
    if origin is UnionType:  # X | None
        return None if value is None else _convert(get_args(expected)[0], value, origins, path)
    if is_dataclass(expected) and isinstance(value, dict):
        return build(expected, value, origins, path)
    if origin is list and isinstance(value, list):
        return [_convert(get_args(expected)[0], item, origins, (*path, i)) for i, item in enumerate(value)]
    if origin is tuple and isinstance(value, list | tuple):
        items = get_args(expected)
        if items[-1] is ...:
            items = items[:1] * len(value)
        if len(items) == len(value):
            return tuple(_convert(k, item, origins, (*path, i)) for i, (k, item) in enumerate(zip(items, value)))
    if (origin or expected) is dict and isinstance(value, dict):
        return value
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(expected, type) and isinstance(value, expected) and (expected is bool or not isinstance(value, bool)):
        return value
    said, hint = json.dumps(value, default=str), "fix the value"
    wanted = expected.__name__ if isinstance(expected, type) and not origin else expected
    if origin is list and is_dataclass(item := get_args(expected)[0]):
        wanted, hint = "list of tables", f"write [{{ {fields(item)[0].name} = {said} }}]"
    raise UsageError(f"{origins.of(path)}: {_dotted(path)}: {said} is not of type {wanted}", hint)


def _dotted(path: tuple) -> str:
    return ".".join(map(str, path))
