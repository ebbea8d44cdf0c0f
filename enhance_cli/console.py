"""Print messages on stderr, results on stdout. rich is imported when something is shown."""

import re
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from functools import lru_cache


@lru_cache(maxsize=1)
def talk():
    """Return the rich console on stderr: no markup, no wrapping, no color if NO_COLOR is set or stderr is a pipe."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)


def say(line: str) -> None:
    """Print one line on stderr."""
    talk().print(printable(line))


def result(line: str) -> None:
    """Print one line of results on stdout, at once, whatever bytes file names hold."""
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.flush()


def result_json(value: object, indent: int | None = None) -> None:
    """Print a value as JSON on stdout, on one line without `indent`."""
    import json

    result(json.dumps(value, indent=indent))


def printable(text: str) -> str:
    """Return `text` with bytes that are not UTF-8, which file names may hold, escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


@contextmanager
def transfer(name: str):
    """Yield a function (bytes received, bytes in all or None) that moves a bar on a terminal, and does nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=talk(), transient=True) as bar:
        task = bar.add_task(name, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


def span(seconds: float) -> str:
    """Return a length of time as people say it: 12 s, 3.5 min, 2.0 h."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


class Reporter:
    """Print each finished file: its output path (or its record as JSON) on stdout, errors and progress on stderr.

    Progress (files, audio, speed, time left) is a bar on a terminal, else a line every SECONDS. `skips` of the `total` files
    are skipped and do not count for the time left. Several threads may move the bar. Only one may `show`.
    """

    SECONDS = 30
    SAME_NOTES = 5  # files of which a note of one kind is said
    NAMED = 10  # embeddings of one file that could not be repaired

    def __init__(self, total: int, *, json: bool, quiet: bool, verbose: bool, skips: int = 0):
        self.total, self.json, self.quiet, self.verbose = total, json, quiet, verbose
        self.progress, self.finished, self.seconds = None, 0, 0.0
        self.to_do, self.worked = total - skips, 0
        self.in_hand: dict[object, tuple[float, float]] = {}  # of each file being read: share, seconds of audio
        self.reached = 0.0  # so that the bar never goes back
        self.lock = threading.Lock()
        self.named_last = self.failed_last = None
        self.announced: set[int] = set()
        self.notes: Counter[str] = Counter()  # how many files each kind of note was about

    def __enter__(self) -> "Reporter":
        self.started = self.said = time.monotonic()
        if sys.stderr.isatty() and not self.quiet:
            from rich.progress import BarColumn, Progress, TextColumn

            columns = BarColumn(), TextColumn("{task.description}", markup=False)
            self.progress = Progress(*columns, console=talk(), transient=True, redirect_stdout=False)
            self.task = self.progress.add_task(f"0 of {self.total} files", total=self.total)
            self.progress.start()
        return self

    def __exit__(self, *_) -> None:
        if self.progress:
            self.progress.stop()
        for kind, count in self.notes.items():
            if count > self.SAME_NOTES and not self.verbose:
                say(f"{count - self.SAME_NOTES:,} more files: {kind} (--report FILE.jsonl has all)")

    def watch(self, transform):
        """Return `transform` (batch.files.Transform), extended to report progress within a long file."""
        if self.quiet:
            return transform

        def watched(blocks, rate, channels, level):
            key = object()

            def counted():
                samples = 0
                try:
                    for block in blocks:
                        yield block
                        samples += block.shape[1]
                        self._move(key, samples / level.frames, samples / rate)
                finally:
                    self.in_hand.pop(key, None)

            return transform(counted(), rate, channels, level)

        return watched

    def advance(self, seconds: float | None = None, skipped: bool = False) -> None:
        """Count one more file, with so many seconds of audio."""
        with self.lock:
            self.finished += 1
            self.worked += not skipped
            self.seconds += seconds or 0.0
        self._move()

    def announce(self, record) -> None:
        """Move the bar for a file that has been worked on, and whose `record` will be shown later."""
        self.announced.add(id(record))
        self.advance(record.seconds_audio)

    def _move(self, key: object = None, share: float = 0.0, seconds: float = 0.0) -> None:
        """Show the progress, after the file `key` has come to `share` of its length."""
        with self.lock:
            if key is not None:
                self.in_hand[key] = share, seconds
            hand = list(self.in_hand.values())
            begun = sum(share for share, _ in hand)
            self.reached = min(max(self.reached, self.finished + begun), self.total)
            line = self._standing(self.worked + begun, self.seconds + sum(seconds for _, seconds in hand))
            due = time.monotonic() - self.said >= self.SECONDS and self.finished < self.total
            if due:
                self.said = time.monotonic()
        if self.progress:
            self.progress.update(self.task, completed=self.reached, description=line)
        elif due and not self.quiet:
            say(line)

    def _standing(self, worked: float, seconds: float) -> str:
        """Return files, audio, speed and time left as text. `worked` counts files that were not skipped, and parts of files."""
        passed = time.monotonic() - self.started
        said = f"{self.finished:,} of {self.total:,} files"
        if seconds:
            said += f", {span(seconds)} of audio, {seconds / max(passed, 1e-3):.3g} times as fast as it plays"
        left = self.to_do - worked
        if worked and left > 0:
            said += f", {span(passed * left / worked)} left"
        return said

    def show(self, record) -> None:
        """Print the outcome of a file, whose `record` is a batch.record.Record."""
        if id(record) not in self.announced:
            self.advance(record.seconds_audio if record.status == "done" else None, record.status == "skipped")
        if self.progress and sys.stdout.isatty():
            self.progress.stop()  # or the bar and the result would share a line
        if self.json:
            result(record.to_json())
        elif record.status == "done":
            for path in list(record.outputs.values()) or [record.output]:
                if path not in ("-", self.named_last):  # of several inputs into one output all name the same
                    result(path)
                self.named_last = path
        if self.progress and self.finished < self.total:
            self.progress.start()
        if record.status == "failed":
            if self.verbose and record.error is not None:
                import traceback

                say("".join(traceback.format_exception(record.error)).rstrip())
            if record.reason != self.failed_last:  # what keeps many from one output is said once
                say(f"error: {record.reason}")
            self.failed_last = record.reason
        elif not self.quiet:
            self._talk_about(record)
        self._name_unusable(record)

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
