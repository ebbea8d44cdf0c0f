"""Report a run as it goes on: the records that a command writes, shows and draws, and the code that it exits with."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from enhance_cli.console import Reporter, counted, say
from enhance_cli.errors import UsageError
from enhance_cli.flag_groups import AudioOutputFlags, Running

if TYPE_CHECKING:
    from enhance_cli.batch.backends.backend import Listener
    from enhance_cli.batch.outcome import Summary
    from enhance_cli.batch.record import Record
    from enhance_cli.batch.worker import WorkerSpec


def say_settings() -> None:
    """Tell which settings are not built in, and where they come from."""
    from enhance_cli.settings import GIVEN

    for name, setting in GIVEN.get().items():
        say(f"{name} {setting}")


def common_facts(facts: Mapping[str, Any], worker: "WorkerSpec") -> dict[str, Any]:
    """Return `facts` with the fields that the records of all commands have.

    They are the working folder, the settings, and the part of every input that is taken.
    """
    from enhance_cli.settings import GIVEN

    origins = {name: {"value": setting.value, "from": setting.origin} for name, setting in GIVEN.get().items()}
    common = {**facts, "folder": os.getcwd(), "settings": origins}
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
        raise UsageError("--page-embed: there is no page to put anything into", "give --page FILE.html too")


@contextmanager
def writing_page(page: Path | None, *, embed: bool, quiet: bool) -> Iterator[Callable[[Any], None]]:
    """Yield a function that adds a record to the page, which is written at the end. Without a `page` it does nothing."""
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
        say(f"{page}: before and after, to listen to and to look at")


def report_run(
    run: "Callable[[Listener], Summary]",
    running: Running,
    writing: AudioOutputFlags,
    *,
    total: int | None = None,
    skips: int = 0,
    on_ended: "Callable[[Record], None]" = lambda record: None,
) -> None:
    """Call `run` with a listener that writes and shows its records, then exit with the code of its summary.

    `writing` has the page to write. `total` is the number of files, None if nobody knows it. `on_ended` gets each record
    first, and may change it.
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

        summary = run(Listener(on_record, reporter.announce, progress.move))
    if not running.quiet and (total is None or total > 1 or summary.interrupted):
        counts = f"{summary.done} done, {summary.skipped} skipped, {summary.failed} failed"
        say(f"interrupted: {counts}" if summary.interrupted else counts)
    raise typer.Exit(summary.exit_code)
