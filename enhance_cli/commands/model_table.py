"""Describe models in a row each, and lay out the table of `enhance models list`.

In a pipe every model is one line, for grep. On a terminal the facts of a model fit into 80 columns, and the text about its
use follows below them, or beside them if the terminal is wide.
"""

import textwrap

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import STEPS
from enhance_cli.models.registry import Entry
from enhance_cli.models.spec import read_spec

BESIDE = 150  # columns of a terminal that is wide enough for facts and use in one line
LICENSE = 17  # columns of the license on a terminal, at most
INDENT = "    "
HEADS = {
    "model": "model",
    "task": "task",
    "rate": "kHz",
    "size": "MB",
    "license": "license",
    "cpu": "CPU",
    "steps": "steps",
    "where": "where",
}
NUMBERS = ("rate", "size")


def row_of(entry: Entry) -> dict:
    """Return the row of a model, as --json prints it.

    Its size is that of the model here, or of the original elsewhere, None if unknown.
    """
    source, here = entry.source, entry.path.is_file()
    size = entry.path.stat().st_size if here else source and (source.size or source.about)
    steps = ""
    if here:
        try:
            spec = read_spec(entry.path)
            if spec.samplers and spec.max_steps:
                steps = f"{spec.min_steps}-{spec.max_steps} ({spec.default_steps})"
        except ModelError:
            steps = "damaged"
    elif source and source.process:
        default, largest = STEPS[source.process]
        steps = f"1-{largest} ({default})"
    if source is None:
        where = "package"
    elif source.package:
        where = f"Hub, by the package {source.package}"
    elif here:
        where = "pulled"
    else:
        where = "Hub" if source.repo else "web"
    return {
        "name": entry.name,
        "task": entry.task,
        "sample_rate": entry.sample_rate,
        "bytes": size,
        "licence": entry.licence,
        "restriction": source.restriction if source else "",
        "default": entry.default,
        "cpu": entry.cpu,
        "use_for": entry.use_for,
        "scores": entry.scores,
        "steps": steps,
        "where": where,
        "path": str(entry.path) if here or source is None else None,
        "summary": entry.summary,
    }


def table(rows: list[dict], width: int | None) -> list[str]:
    """Return the lines for models, sorted by task. On a terminal, each of several tasks gets a heading.

    Args:
        rows: those of `row_of`.
        width: columns of the terminal, None for lines of any length.
    """
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    rows = sorted(rows, key=lambda row: tasks.index(row["task"]))
    beside = width is None or width >= BESIDE
    facts = [HEADS, *map(_facts, rows)]
    widths = {name: max(len(cells[name]) for cells in facts) for name in HEADS}
    if width is not None:
        widths["license"] = min(widths["license"], LICENSE)
    if width is not None or len(tasks) == 1:
        del widths["task"]
    if width is not None and _total(widths) > width:
        del widths["steps"]
    left = None if width is None else width - _total(widths) - 2
    lines = _lines(HEADS, widths, ["use it for"] if beside else [])
    task = None
    for row, cells in zip(rows, facts[1:]):
        if width is not None and len(tasks) > 1 and row["task"] != task:
            task = row["task"]
            lines += ["", f"{task}:"]
        use = row["use_for"] or row["summary"]
        if beside:
            lines += _lines(cells, widths, textwrap.wrap(use, left) if left else [use])
        else:
            lines += _lines(cells, widths, [])
            lines += textwrap.wrap(use, max(width or 0, 20), initial_indent=INDENT, subsequent_indent=INDENT)
    return lines


def _total(widths: dict[str, int]) -> int:
    """Return the columns of a line of facts."""
    return sum(widths.values()) + 2 * (len(widths) - 1)


def _facts(row: dict) -> dict[str, str]:
    """Return the text of every column but the use."""
    megabytes = (row["bytes"] or 0) / 1e6
    return {
        "model": f"{row['name']} (default)" if row["default"] else row["name"],
        "task": row["task"],
        "rate": f"{row['sample_rate'] / 1000:g}",
        "size": f"{megabytes:.{0 if megabytes >= 100 else 1}f}" if megabytes else "?",
        "license": f"{row['licence']} (!)" if row["restriction"] else row["licence"],
        "cpu": row["cpu"] or "-",
        "steps": row["steps"] or "-",
        "where": row["where"].partition(",")[0],
    }


def _lines(cells: dict[str, str], widths: dict[str, int], use: list[str]) -> list[str]:
    """Return the lines of one model. A license or a use that is too long continues on the next line."""
    license = textwrap.wrap(cells["license"], widths["license"])
    lines = []
    for number in range(max(len(license), len(use))):
        shown = {name: cells[name] if number == 0 else "" for name in widths}
        shown["license"] = license[number] if number < len(license) else ""
        padded = [text.rjust(widths[n]) if n in NUMBERS else text.ljust(widths[n]) for n, text in shown.items()]
        lines.append("  ".join([*padded, *use[number : number + 1]]).rstrip())
    return lines
