"""Talk to people on stderr, give results on stdout. rich is imported when something is really shown."""

import sys
import time
from contextlib import contextmanager
from functools import lru_cache


@lru_cache(maxsize=1)
def talk():
    """The rich console on stderr: no markup, no wrapping, no colour where NO_COLOR or a pipe says so."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)


def say(line: str) -> None:
    talk().print(printable(line))


def result(line: str) -> None:
    """One line of results on stdout, at once, whatever bytes file names hold."""
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """File names may hold bytes that are not UTF-8; show them escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


@contextmanager
def transfer(name: str):
    """A function (bytes here, bytes in all or None) that moves a bar on a terminal, and does nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=talk(), transient=True) as bar:
        task = bar.add_task(name, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


class Reporter:
    """Tells of each finished file: its output path (or its record as JSON) on stdout, errors and progress on stderr."""

    def __init__(self, total: int, json: bool, quiet: bool, verbose: bool):
        self.total, self.json, self.quiet, self.verbose = total, json, quiet, verbose
        self.progress, self.finished = None, 0

    def __enter__(self) -> "Reporter":
        if sys.stderr.isatty() and not self.quiet:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn()
            self.progress = Progress(*columns, console=talk(), transient=True)
            self.task = self.progress.add_task(f"0 of {self.total} files", total=self.total)
            self.progress.start()
        return self

    def __exit__(self, *_) -> None:
        if self.progress:
            self.progress.stop()

    def watch(self, process):
        """The same `process` (batch.files.Process), moving the bar while a long file is read for the second time."""
        if not self.progress:
            return process

        def watched(blocks, rate, channels, level):
            def counted():
                for block in blocks:
                    yield block
                    self.progress.advance(self.task, block.shape[1] / level.frames)

            return process(counted(), rate, channels, level)

        return watched

    def advance(self) -> None:
        """One more file has ended."""
        self.finished += 1
        if self.progress:
            said = f"{self.finished} of {self.total} files"
            self.progress.update(self.task, completed=self.finished, description=said)

    def show(self, record) -> None:
        """`record` is a batch.record.Record."""
        self.advance()
        if self.progress and sys.stdout.isatty():
            self.progress.stop()  # or the bar and the result would share a line
        if self.json:
            result(record.to_json())
        elif record.status == "done":
            for path in list(record.outputs.values()) or [record.output]:
                if path != "-":
                    result(path)
        if self.progress and self.finished < self.total:
            self.progress.start()
        if record.status == "failed":
            if self.verbose and record.error is not None:
                import traceback

                say("".join(traceback.format_exception(record.error)).rstrip())
            say(f"error: {record.reason}")
        elif not self.quiet:
            self._talk_about(record)

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
            say(f"{record.input}: {note}")


class TrainingReporter:
    """Says at most one plain line of progress every ten seconds, and every line with scores."""

    SECONDS = 10

    def __init__(self, quiet: bool):
        self.quiet, self.last = quiet, 0.0

    def log(self, line: str) -> None:
        if not self.quiet:
            say(line)

    def report(self, line: dict) -> None:
        if {"si_sdr", "degraded"} & line.keys() or time.monotonic() - self.last > self.SECONDS:
            self.last = time.monotonic()
            left = time.strftime("%H:%M:%S", time.gmtime(line["eta"]))
            values = "  ".join(f"{k} {v:.4g}" for k, v in line.items() if k not in ("step", "eta"))
            self.log(f"step {line['step']}  {values}  left {left}")
