"""What commands on many audio files share once their flags are read: the plan shown or carried out, one record a file."""

from collections.abc import Callable

import typer

from enhance_cli.console import Reporter, result, say


def list_jobs(jobs: list, quiet: bool) -> None:
    """What a run would do: the outputs on stdout, the rest on stderr."""
    for job in jobs:
        if job.action == "skip":
            if not quiet:
                say(f"skip {job.source}: {job.reason}")
        else:
            for target in job.targets:
                result(str(target))


def run_jobs(jobs: list, process: Callable | None, options, base: dict, json, report, quiet, verbose) -> None:
    """Every job through `process` (batch.files.Process; None if all are to be skipped), then exit with the summary's code.

    `options` are batch.files.FileOptions, `base` the fields that all records have.
    """
    from enhance_cli.batch.files import enhance_file
    from enhance_cli.batch.record import Report
    from enhance_cli.batch.runner import run

    with Report(report) as written, Reporter(len(jobs), json, quiet, verbose) as reporter:
        work = lambda job: enhance_file(job, reporter.watch(process), options)
        summary = run(jobs, work, base, lambda record: (written.write(record), reporter.show(record)))
    if not quiet and len(jobs) > 1:
        say(f"{summary.done} done, {summary.skipped} skipped, {summary.failed} failed")
    raise typer.Exit(summary.exit_code)
