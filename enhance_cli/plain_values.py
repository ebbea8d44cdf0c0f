"""Convert simple command-line values without Typer's validators, to start faster.

Typer converts values with pydantic, whose import takes 0.1 s, an eighth of the time for cleaning a short file. Texts, numbers
within their range, choices and built-in defaults do not need it. Everything else, and every error, is left to Typer.
"""

import os
import re
from collections.abc import Iterable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

NUMBER = {int: re.compile(r"-?[0-9]{1,15}"), float: re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")}
NOT_PLAIN = object()


class PlainGroup(TyperGroup):
    """Parse the command lines of a group of commands as Typer does, plain values without its validators."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        convert_plain_values(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            convert_plain_values(command.get_params(ctx))
        return command


def convert_plain_values(parameters: Iterable[Any]) -> None:
    """Make Typer's `parameters` convert plain values themselves. Does nothing for versions of Typer without validators."""
    for parameter in parameters:
        build = getattr(parameter, "get_runtime_param", None)
        if build is not None and not isinstance(build, partial):
            parameter.get_runtime_param = partial(PlainConverter, build)


class PlainConverter:
    """Stand in for the "runtime parameter" with which Typer converts values. `build` makes the original, if needed."""

    def __init__(self, build: Any):
        self._build = build

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value for the command. Raises Typer's BadParameter."""
        converted = plain(value, param)
        return self._build().coerce(value, param=param, ctx=ctx) if converted is NOT_PLAIN else converted


def plain(value: Any, parameter: Any) -> Any:
    """Return the converted `value` of a parameter (words, number or default), or NOT_PLAIN if Typer has to convert it."""
    kind, info = parameter.type_descriptor.annotation, parameter.type_descriptor.parameter_info
    several = parameter.multiple or parameter.nargs == -1
    if info.parser is not None or info.clamp:
        return NOT_PLAIN
    if value is None:
        return () if several else None
    if not several:
        return _one(value, kind, info)
    if kind != list[str] or not isinstance(value, list | tuple):
        return NOT_PLAIN
    return list(value) if all(type(word) is str for word in value) else NOT_PLAIN


def _one(value: Any, kind: Any, info: Any) -> Any:
    if kind is str and type(value) is str:
        return value
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next((choice for choice in kind if value is choice or value == choice.value), NOT_PLAIN)
    if kind is Path:
        return Path(value) if _is_plain_path(value, info) else NOT_PLAIN
    if kind not in NUMBER:
        return NOT_PLAIN
    if isinstance(value, str) and NUMBER[kind].fullmatch(value):
        value = kind(value)
    in_range = (
        type(value) is kind and (info.min is None or value >= info.min) and (info.max is None or value <= info.max)
    )
    return value if in_range else NOT_PLAIN


def _is_plain_path(value: Any, info: Any) -> bool:
    """Return whether a path passes all checks that Typer makes."""
    checked = info.exists or info.writable or info.resolve_path or not (info.file_okay and info.dir_okay)
    if checked or not isinstance(value, str | Path):
        return False
    return os.access(value, os.R_OK) or not os.path.exists(value)
