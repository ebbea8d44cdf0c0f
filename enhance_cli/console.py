"""Print messages on stderr and results on stdout. rich is imported only when it is needed."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

from enhance_cli.errors import OutputError, reader_has_gone

T = TypeVar("T")
# File names may hold line ends, bells, and sequences that a terminal obeys.
CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160)) if chr(code) != "\t"}


@lru_cache(maxsize=1)
def talk() -> "Console":
    """Return the rich console on stderr: no markup, no wrapping, no color if NO_COLOR is set or stderr is a pipe."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)


def say(line: str) -> None:
    """Print one line on stderr, with rich if it has been imported, since a progress bar may be on the screen then."""
    if "rich.console" in sys.modules:
        talk().print(printable(line))
    else:
        print(printable(line), file=sys.stderr, flush=True)


def result(line: str) -> None:
    """Print one line of results on stdout and flush it. File names may hold any bytes. Raises OutputError on a full disk."""
    try:
        sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")
        sys.stdout.flush()
    except OSError as error:
        if reader_has_gone(error):
            raise
        raise unwritable_stdout(error) from error


def result_line(line: str) -> None:
    """Print a line of results with the name of a file. On a terminal its control characters are escaped, as in messages."""
    result(printable(line) if sys.stdout.isatty() else line)


def unwritable_stdout(error: OSError) -> OutputError:
    """Return the error that tells the user that stdout cannot be written, and stop all further output to it."""
    discard_stdout()
    message = f"standard output cannot be written ({error.strerror})"
    return OutputError(message, "free some space, or send it somewhere else")


def discard_stdout() -> None:
    """Discard all further output to stdout, including buffered text that would be written at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def result_json(value: object, indent: int | None = None) -> None:
    """Print a value as JSON on stdout, on one line without `indent`."""
    import json

    result(json.dumps(value, indent=indent))


def printable(text: str) -> str:
    """Return `text` on one line, with control characters and invalid UTF-8 escaped, both of which file names may contain."""
    return text.encode("utf-8", "backslashreplace").decode().translate(CONTROLS)


def shows_bars() -> bool:
    """Return whether to show progress bars: stderr is a terminal that can move its cursor, and not the log of a CI job."""
    return sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def tracked(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """Return the items, and show a progress bar on a terminal while they are consumed."""
    if not shows_bars():
        return items
    from rich.progress import track

    return track(items, description, total, console=talk(), transient=True)


@contextmanager
def transfer(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function (bytes received, total bytes or None) that updates a bar on a terminal and does nothing elsewhere."""
    if not shows_bars():
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=talk(), transient=True) as bar:
        task = bar.add_task(name, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


@contextmanager
def counted(noun: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield a function (done, total) that updates a bar on a terminal, and elsewhere prints a line every 30 s.

    `noun`: the things that are counted. Nothing is shown before the first call, since another bar may still be visible.
    """
    bars: list[Bar] = []
    said: list[float] = []  # when the last line was printed

    def count(done: int, total: int) -> None:
        if quiet:
            return
        if not shows_bars():
            said[:] = said or [time.monotonic()]
            if time.monotonic() - said[0] >= 30 and done < total:
                said[0] = time.monotonic()
                say(f"{done:,} of {total:,} {noun}")
            return
        if not bars:
            from rich.progress import BarColumn, Progress, TextColumn

            columns = BarColumn(), TextColumn(f"{{task.completed:,.0f}} of {{task.total:,.0f}} {noun}")
            bars.append(Progress(*columns, console=talk(), transient=True, redirect_stdout=False))
            bars[0].add_task(noun, total=total)
            bars[0].start()
        bars[0].update(bars[0].task_ids[0], completed=done)

    try:
        yield count
    finally:
        for bar in bars:
            bar.stop()


def count_of(count: int, noun: str) -> str:
    """Return a number with its noun: 1 file, 2 files."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def span(seconds: float) -> str:
    """Return a duration in a readable unit: 12 s, 3.5 min, 2.0 h."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


class TrainingReporter:
    """Print at most one plain line of progress every SECONDS, and every line with scores."""

    SECONDS = 10
    OF_ALL_LINES = frozenset(("step", "loss", "lr", "eta"))  # the others are scores, which each task names itself

    def __init__(self, quiet: bool):
        self.quiet, self.last = quiet, 0.0

    def log(self, line: str) -> None:
        if not self.quiet:
            say(line)

    def report(self, line: dict) -> None:
        if line.keys() - self.OF_ALL_LINES or time.monotonic() - self.last > self.SECONDS:
            self.last = time.monotonic()
            left = f"  left {span(line['eta'])}" if "eta" in line else ""
            values = "  ".join(f"{k} {v:.4g}" for k, v in line.items() if k not in ("step", "eta"))
            self.log(f"step {line['step']}  {values}{left}")
