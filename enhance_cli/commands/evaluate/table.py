"""Print scores as a table or as JSON lines."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from enhance_cli.console import result_json

SPEED = "times_real_time"


def report_rows(rows: list[dict], print_rows: Callable[[], None], *, as_json: bool) -> None:
    """Print the rows as JSON lines, or call `print_rows`, which prints them as a table, if there are any."""
    if as_json:
        for row in rows:
            say_json(row)
    elif rows:
        print_rows()


def say_json(value: dict) -> None:
    """Print one line of JSON on stdout, with null for values that are not finite."""

    def finite(x: Any) -> Any:
        if isinstance(x, dict):
            return {key: finite(item) for key, item in x.items()}
        if isinstance(x, list):
            return [finite(item) for item in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x

    result_json(finite(value))


def print_table(title: str, columns: list[str], rows: list[dict], cells: Callable[[dict], list[str]]) -> None:
    """Print a line for each row: the name of its "system", its cells, and its speed if any row has one."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    speeds = [f"{row[SPEED]:.1f}x" if SPEED in row else "" for row in rows]
    table = Table(title=title, box=SIMPLE, padding=(0, 0))  # ten columns and a name in 80 characters
    table.add_column("", overflow="fold")
    for column in [*columns, "speed"] if any(speeds) else columns:
        table.add_column(column, justify="right")
    for name, row, speed in zip(_labels([row["system"] for row in rows]), rows, speeds, strict=True):
        table.add_row(escape(name), *cells(row), *([speed] if any(speeds) else []))
    Console().print(table)


def _labels(names: list[str]) -> list[str]:
    """Return the last parts of folders, if these differ."""
    short = [Path(name).name or name for name in names]
    return short if len(set(short)) == len(names) else names
