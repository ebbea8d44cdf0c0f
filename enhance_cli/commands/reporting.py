"""Report a running batch: write, print and draw its records as they come in, and set the exit code."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from enhance_cli import __version__
from enhance_cli.console import counted, result, result_line, say
from enhance_cli.errors import UsageError
from enhance_cli.flags.output import AudioOutputFlags
from enhance_cli.flags.running import Running

if TYPE_CHECKING:
    from enhance_cli.batch.backends.backend import Listener
    from enhance_cli.batch.outcome import Summary
    from enhance_cli.batch.record import Record
    from enhance_cli.batch.worker import WorkerSpec
    from enhance_cli.progress import Progress
    from enhance_cli.settings import Setting


def settings_of(worker: "WorkerSpec") -> "Mapping[str, Setting]":
    """Return the settings of a run that differ from the built-in defaults.

    A remembered format that gave way to the names of the outputs (planning.chosen_format) is none of them.
    """
    from enhance_cli.settings import GIVEN

    gave_way = worker.file_options is not None and worker.file_options.container is None
    return {name: setting for name, setting in GIVEN.get().items() if not (gave_way and name == "format")}


def say_settings(worker: "WorkerSpec") -> None:
    """Print the settings of a run that differ from the built-in defaults, and where they come from."""
    for name, setting in settings_of(worker).items():
        say(f"{name} {setting}")


def common_facts(facts: Mapping[str, Any], worker: "WorkerSpec") -> dict[str, Any]:
    """Return `facts` with the fields that the records of all commands share.

    These are the version, the working folder, the settings, and the start, channel and track that are taken of every input.
    """
    origins = {name: {"value": setting.value, "from": setting.origin} for name, setting in settings_of(worker).items()}
    common = {**facts, "version": __version__, "folder": os.getcwd(), "settings": origins}
    options = worker.file_options
    if options is None:
        return common
    return {**common, "start": options.start or None, "channel": options.channels, "track": options.track}


def refuse_page(page: Path | None, embed: bool, recordings: int, output: str | None = None) -> None:
    """Raise UsageError for a page that cannot be written, and for --page-embed without one."""
    if page is not None:
        from enhance_cli.batch.page.writer import check_page

        check_page(page, recordings, embed=embed, output=output)
    elif embed:
        raise UsageError("--page-embed: there is no page", "give --page FILE.html too")


@contextmanager
def writing_page(page: Path | None, *, embed: bool, quiet: bool) -> Iterator[Callable[[Any], None]]:
    """Yield a function that adds a record to the page, and write the page at the end. Without a `page`, do nothing."""
    if page is None:
        yield lambda record: None
        return
    from enhance_cli.batch.page.writer import PageWriter

    with (
        counted("recordings drawn", quiet=quiet) as on_drawn,
        PageWriter(page, embed=embed, on_drawn=on_drawn) as writer,
    ):
        yield writer.add
    if not quiet:
        say(f"{page}: before and after, to compare by ear and eye")


def report_run(
    run: "Callable[[Listener], Summary]",
    running: Running,
    writing: AudioOutputFlags,
    *,
    total: int | None = None,
    skips: int = 0,
    on_ended: "Callable[[Record], None]" = lambda record: None,
) -> None:
    """Call `run` with a listener that writes and prints its records, then exit with the code of its summary.

    `writing`: flags of the page. `total`: number of files, None if it is not known. `skips`: files among them that are
    skipped. `on_ended` receives each record before it is written, and may change it.
    """
    from enhance_cli.batch.backends.backend import Listener
    from enhance_cli.batch.record import ReportWriter
    from enhance_cli.progress import Progress, display_for

    display = display_for(running.progress.value, quiet=running.quiet)
    talk = {"json": running.json, "quiet": running.quiet, "verbose": running.verbose}
    with (
        writing_page(writing.page, embed=writing.page_embed, quiet=running.quiet) as add,
        ReportWriter(running.report) as report,
        Progress(total, display, skips=skips) as progress,
        Reporter(progress, **talk) as reporter,
    ):

        def on_record(record: "Record") -> None:
            on_ended(record)
            report.write(record)
            add(record)
            reporter.show(record)

        summary = run(
            Listener(on_record, reporter.announce, progress.move, say if not running.quiet else lambda line: None)
        )
    if not running.quiet and (total is None or total > 1 or summary.interrupted):
        counts = f"{summary.done:,} done, {summary.skipped:,} skipped, {summary.failed:,} failed"
        say(f"interrupted: {counts}" if summary.interrupted else counts)
    raise typer.Exit(summary.exit_code)


class Reporter:
    """Print each finished file: its output path (or its record as JSON) on stdout, errors and notes on stderr.

    `progress` counts the files. `show` must always be called from the same thread.
    """

    SAME_NOTES = 5  # files for which the same kind of note, or the same reason to skip them, is printed
    NAMED = 10  # embeddings that could not be repaired and are named, for each file

    def __init__(self, progress: "Progress", *, json: bool, quiet: bool, verbose: bool):
        self.progress, self.json, self.quiet, self.verbose = progress, json, quiet, verbose
        self.named_last: str | None = None
        self.failed_last: str | None = None
        self.announced: set[int] = set()
        self.notes: Counter[str] = Counter()  # how many files each kind of note or skip was about

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, *_: object) -> None:
        for kind, count in self.notes.items():
            if count > self.SAME_NOTES and not self.verbose:
                say(f"{count - self.SAME_NOTES:,} more files: {kind} (--report FILE.jsonl has all)")

    def announce(self, record: "Record") -> None:
        """Count a file that has been processed. Its `record` will be shown later, with its output."""
        self.announced.add(id(record))
        self.progress.advance(record.seconds_audio)

    def show(self, record: "Record") -> None:
        """Print the outcome of a file."""
        if id(record) not in self.announced:
            self.progress.advance(record.seconds_audio if record.status == "done" else None, status=record.status)
        with self.progress.out_of_the_way():
            self._show_result(record)
        if record.status == "failed":
            if self.verbose and record.error is not None:
                import traceback

                for line in "".join(traceback.format_exception(record.error)).splitlines():
                    say(line)
            if record.reason != self.failed_last:  # if many files share an output, its error is printed once
                say(f"error: {record.reason}")
            self.failed_last = record.reason
            for note in record.notes if not self.quiet else ():
                say(f"{_named(record)}: {note}")
        elif not self.quiet:
            self._talk_about(record)
        self._name_unusable(record)

    def _show_result(self, record: "Record") -> None:
        if self.json:
            result(record.to_json())
        elif record.status == "done":
            for path in list(record.outputs.values()) or [record.output or "-"]:
                if path not in ("-", self.named_last):  # several inputs may share an output, which is printed once
                    result_line(path)
                self.named_last = path

    def _talk_about(self, record: "Record") -> None:
        if record.status == "skipped":
            from enhance_cli.batch.output_checks import OUTPUT_EXISTS

            # without the input's name
            kind = re.sub("(?<=is the output) of .*", "", record.reason or "", flags=re.DOTALL)
            hint = " (--existing overwrite replaces it)" if record.reason == OUTPUT_EXISTS else ""
            self._say_of(f"skipped, {kind}", f"skipped {_named(record)}: {record.reason}{hint}")
            return
        notes = [*record.notes, *(f"not carried over: {tag}" for tag in record.tags_lost)]
        if self.verbose and record.seconds_audio is not None:
            say(f"{_named(record)}: {record.seconds_audio:.1f} s of audio in {record.seconds_work:.1f} s")
            for quantity, unit in (("loudness", "LUFS"), ("peak", "dBFS"), ("noise_floor", "dBFS")):
                before, after = getattr(record, f"{quantity}_before"), getattr(record, f"{quantity}_after")
                if before is not None and after is not None:
                    say(f"  {quantity.replace('_', ' ')} {before:.1f} -> {after:.1f} {unit}")
        for note in notes:
            self._say_of(re.sub(r"\d+([.,]\d+)*", "N", note), f"{_named(record)}: {note}")

    def _say_of(self, kind: str, line: str) -> None:
        """Print a line about a file, unless enough of the same `kind` have been. Those left out are counted."""
        self.notes[kind] += 1
        if self.verbose or self.notes[kind] <= self.SAME_NOTES:
            say(line)

    def _name_unusable(self, record: "Record") -> None:
        """Name the embeddings of a file that could not be repaired, up to NAMED of them."""
        for name in record.unusable[: self.NAMED]:
            why = "is zero or not finite and was left as it was"
            say(f"error: {record.input}: embedding {name} {why}: embed it anew, or drop it")
        if more := len(record.unusable[self.NAMED :]):
            say(f"error: {record.input}: so were {more} more: --json and --report name all")


def _named(record: "Record") -> str | None:
    """Return the name of the input for people."""
    return "standard input" if record.input == "-" else record.input
