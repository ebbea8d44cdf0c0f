"""Name outputs by a template, such as {stem}_clean{ext}."""

import os
import string
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from enhance_cli.batch.inputs import STDIN, Input
from enhance_cli.batch.storage import StoredFile, locate
from enhance_cli.errors import UsageError


def output_path(
    item: Input,
    output: str | None,
    *,
    template: str,
    extension: str | None,
    fields: Mapping[str, Any],
    writable: frozenset[str],
    fallback: str,
) -> Path | StoredFile:
    """Return the path of the output of an input, in the folder `output`, or beside the input with None.

    `extension`: with its dot. None means that of the input if it is among the `writable` ones, else `fallback`. `fields`:
    values for the fields of the `template`. Raises UsageError for a template that gives no usable name.
    """
    own = item.relative.suffix
    ext = extension or (own if own.lower() in writable else fallback)
    known = {
        **fields,
        "stem": item.relative.stem,
        "ext": ext,
        "suffix": (own if item.path == STDIN else item.path.suffix).lstrip("."),  # of a track: that of its video
        "parent": os.path.basename(os.path.dirname(os.path.abspath(item.path))),
    }
    name = _render(template, known)
    if name.suffix.lower() not in writable:
        name = name.with_name(name.name + ext)
    folder = item.path.parent if output is None else locate(output) / item.relative.parent
    return folder / name


def _render(template: str, known: Mapping[str, Any]) -> PurePath:
    # A slash in a value (such as the path of a model) must not create folders, but a slash in the template may.
    safe = {key: value.replace("/", "_").replace(os.sep, "_") if isinstance(value, str) else value
            for key, value in known.items()}  # fmt: skip
    try:
        for field in _fields_of(template):
            if field not in known:
                raise UsageError(f"{template}: there is no field {{{field}}}", f"use {', '.join(sorted(known))}")
        name = template.format_map(safe)
    except ValueError as error:
        raise UsageError(f"{template}: not a usable name template ({error})", "try {stem}_clean{ext}") from error
    path = PurePath(name)
    if not path.name or name.endswith(("/", os.sep)) or path.is_absolute() or ".." in path.parts:
        hint = "try {stem}_clean{ext}, and give the folder with -o"
        raise UsageError(f"{template}: this name template makes no file name inside the output folder", hint)
    return path


@lru_cache
def _fields_of(template: str) -> list[str]:
    return [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
