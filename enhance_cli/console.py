"""Print messages on stderr, results on stdout. rich is imported when something is shown."""

import os
import re
import sys
import time
from collections import Counter
from contextlib import contextmanager
from functools import lru_cache

from enhance_cli.errors import OutputError

CONTROLS = dict.fromkeys((7, 8, 11, 12, 13))  # bell, backspace, ...: file names may hold them, and rich drops them too


@lru_cache(maxsize=1)
def talk():
    """Return the rich console on stderr: no markup, no wrapping, no color if NO_COLOR is set or stderr is a pipe."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)


def say(line: str) -> None:
    """Print one line on stderr. Without rich, which takes as long as NumPy to import, there is no bar in its way."""
    if "rich.console" in sys.modules:
        talk().print(printable(line))
    else:
        print(printable(line).translate(CONTROLS), file=sys.stderr, flush=True)


def result(line: str) -> None:
    """Print one line of results on stdout, at once, whatever bytes file names hold. Raises OutputError on a full disk."""
    try:
        sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has gone
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the rest is tried again at exit
        message = f"standard output cannot be written ({error.strerror})"
        raise OutputError(message, "free some space, or send it somewhere else") from error


def result_json(value: object, indent: int | None = None) -> None:
    """Print a value as JSON on stdout, on one line without `indent`."""
    import json

    result(json.dumps(value, indent=indent))


def printable(text: str) -> str:
    """Return `text` with bytes that are not UTF-8, which file names may hold, escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def shows_bars() -> bool:
    """Tell whether stderr is a terminal that somebody watches, and not the log of a CI, which may have a terminal too."""
    return sys.stderr.isatty() and not os.environ.get("CI")


@contextmanager
def transfer(name: str):
    """Yield a function (bytes received, bytes in all or None) that moves a bar on a terminal, and does nothing elsewhere."""
    if not shows_bars():
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=talk(), transient=True) as bar:
        task = bar.add_task(name, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


@contextmanager
def counted(what: str, *, quiet: bool):
    """Yield a function (done, total) that moves a bar on a terminal, and elsewhere prints a line every 30 s.

    Nothing is shown before its first call: other bars may be there until then.
    """
    bars, said = [], []

    def count(done: int, total: int) -> None:
        if quiet:
            return
        if not shows_bars():
            said[:] = said or [time.monotonic()]
            if time.monotonic() - said[0] >= 30 and done < total:
                said[0] = time.monotonic()
                say(f"{done:,} of {total:,} {what}")
            return
        if not bars:
            from rich.progress import BarColumn, Progress, TextColumn

            columns = BarColumn(), TextColumn(f"{{task.completed:,.0f}} of {{task.total:,.0f}} {what}")
            bars.append(Progress(*columns, console=talk(), transient=True, redirect_stdout=False))
            bars[0].add_task(what, total=total)
            bars[0].start()
        bars[0].update(bars[0].task_ids[0], completed=done)

    try:
        yield count
    finally:
        for bar in bars:
            bar.stop()


def span(seconds: float) -> str:
    """Return a length of time as people say it: 12 s, 3.5 min, 2.0 h."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


class Reporter:
    """Print each finished file: its output path (or its record as JSON) on stdout, errors and notes on stderr.

    `progress` (a progress.Progress) counts the files. Only one thread may `show`.
    """

    SAME_NOTES = 5  # files of which a note of one kind is said
    NAMED = 10  # embeddings of one file that could not be repaired

    def __init__(self, progress, *, json: bool, quiet: bool, verbose: bool):
        self.progress, self.json, self.quiet, self.verbose = progress, json, quiet, verbose
        self.named_last = self.failed_last = None
        self.announced: set[int] = set()
        self.notes: Counter[str] = Counter()  # how many files each kind of note was about

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, *_) -> None:
        for kind, count in self.notes.items():
            if count > self.SAME_NOTES and not self.verbose:
                say(f"{count - self.SAME_NOTES:,} more files: {kind} (--report FILE.jsonl has all)")

    def announce(self, record) -> None:
        """Count a file that has been worked on, and whose `record` will be shown later."""
        self.announced.add(id(record))
        self.progress.advance(record.seconds_audio)

    def show(self, record) -> None:
        """Print the outcome of a file, whose `record` is a batch.record.Record."""
        if id(record) not in self.announced:
            self.progress.advance(record.seconds_audio if record.status == "done" else None, status=record.status)
        with self.progress.out_of_the_way():
            self._show_result(record)
        if record.status == "failed":
            if self.verbose and record.error is not None:
                import traceback

                say("".join(traceback.format_exception(record.error)).rstrip())
            if record.reason != self.failed_last:  # what keeps many from one output is said once
                say(f"error: {record.reason}")
            self.failed_last = record.reason
            for note in record.notes if not self.quiet else ():
                say(f"{record.input}: {note}")
        elif not self.quiet:
            self._talk_about(record)
        self._name_unusable(record)

    def _show_result(self, record) -> None:
        if self.json:
            result(record.to_json())
        elif record.status == "done":
            for path in list(record.outputs.values()) or [record.output]:
                if path not in ("-", self.named_last):  # of several inputs into one output all name the same
                    result(path)
                self.named_last = path

    def _talk_about(self, record) -> None:
        if record.status == "skipped":
            say(f"skipped {record.input}: {record.reason}")
            return
        notes = [*record.notes, *(f"not carried over: {tag}" for tag in record.tags_lost)]
        if self.verbose and record.seconds_audio is not None:
            say(f"{record.input}: {record.seconds_audio:.1f} s of audio in {record.seconds_work:.1f} s")
            for what, unit in (("loudness", "LUFS"), ("peak", "dBFS"), ("noise_floor", "dBFS")):
                before, after = getattr(record, f"{what}_before"), getattr(record, f"{what}_after")
                if before is not None and after is not None:
                    say(f"  {what.replace('_', ' ')} {before:.1f} -> {after:.1f} {unit}")
        for note in notes:
            kind = re.sub(r"\d+([.,]\d+)*", "N", note)
            self.notes[kind] += 1
            if self.verbose or self.notes[kind] <= self.SAME_NOTES:
                say(f"{record.input}: {note}")

    def _name_unusable(self, record) -> None:
        """Name the embeddings of a file that were left as they were, the first of them if they are many."""
        for name in record.unusable[: self.NAMED]:
            why = "is zero or not finite and was left as it was"
            say(f"error: {record.input}: {name} {why}: embed it anew, or drop it")
        if more := len(record.unusable[self.NAMED :]):
            say(f"error: {record.input}: so were {more} more: --json and --report name all")


class TrainingReporter:
    """Print at most one plain line of progress every SECONDS, and every line with scores."""

    SECONDS = 10

    def __init__(self, quiet: bool):
        self.quiet, self.last = quiet, 0.0

    def log(self, line: str) -> None:
        if not self.quiet:
            say(line)

    def report(self, line: dict) -> None:
        if {"si_sdr", "si_sdri", "degraded"} & line.keys() or time.monotonic() - self.last > self.SECONDS:
            self.last = time.monotonic()
            left = span(line["eta"])
            values = "  ".join(f"{k} {v:.4g}" for k, v in line.items() if k not in ("step", "eta"))
            self.log(f"step {line['step']}  {values}  left {left}")
