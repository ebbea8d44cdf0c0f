"""What commands on many audio files share once their flags are read: the plan shown or carried out, one record a file."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath

import typer

from enhance_cli import flags
from enhance_cli.console import Reporter, result, say
from enhance_cli.errors import UsageError


def file_options(jobs: list, json: bool, report, verbose: bool, plot: bool, bit_depth, **asked):
    """What of every audio file is taken, and how its result is written, for enhance_file. `asked` are fields of FileOptions.

    Raises UsageError for a picture of what goes to standard output, and for what none of the outputs could be.
    """
    from enhance_cli.audio.formats import refuse_impossible
    from enhance_cli.batch.files import FileOptions
    from enhance_cli.batch.safety.atomic import STDOUT

    depth = bit_depth.value if bit_depth else None
    targets = {target for job in jobs if job.action == "run" for target in job.targets}
    if plot and STDOUT in targets:
        raise UsageError("a picture cannot go to standard output", "use --plot with -o FILE")
    suffixes, refusals = {None if target == STDOUT else PurePath(target.name).suffix for target in targets}, []
    for suffix in suffixes:
        try:
            refuse_impossible(suffix, asked["container"], depth, asked["sample_rate"])
        except UsageError as error:
            refusals.append(error)
    if refusals and len(refusals) == len(suffixes):  # else the files that it fits are done, and the others fail
        raise refusals[0]
    return FileOptions(bit_depth=depth, plot=plot, measure=bool(json or report or verbose), **asked)


def count_steps(steps: int) -> str:
    return "1 step" if steps == 1 else f"{steps} steps"


def carry_out(
    jobs: list,
    work,
    base: dict,
    name: Callable[[dict], str],
    engine: flags.Engine,
    workers: int | None,
    ray_address: str | None,
    retry_failed,
    dry_run: bool,
    json: bool,
    report,
    quiet: bool,
    verbose: bool,
    into_one: bool = False,
) -> None:
    """Do `work` on the jobs as the flags say, then exit with the summary's code; with `dry_run` only show what would be done.

    `base` are the fields that all records have, and `name(base)` says what does the work once the model is loaded. With
    `into_one` all jobs have one output. Raises UsageError for what does not fit together.
    """
    from enhance_cli.batch.safety.atomic import STDOUT

    if json and any(job.target == STDOUT for job in jobs):
        raise UsageError("--json and the results cannot both go to standard output", "use --report FILE.jsonl")
    if report and not report.absolute().parent.is_dir():
        raise UsageError(f"{report}: there is no folder for this report", "make it, or choose another --report")
    if retry_failed and not jobs and not quiet:
        say(f"{retry_failed}: no file in it has failed, there is nothing to do")
    if retry_failed and not quiet:
        _say_other_settings(retry_failed, base)
    base = base | {"folder": os.getcwd()}
    do = _skip_all
    if any(job.action == "run" for job in jobs):
        do, facts, place = _engage_into_one(work) if into_one else engage(work, jobs, engine, workers, ray_address)
        base = base | facts
        if not quiet:
            say(f"{name(base)}, {place}")
    if dry_run:  # the model, its settings and the device have been checked as well
        _list_jobs(jobs, quiet)
    else:
        _run_jobs(jobs, do, base, json, report, quiet, verbose)


def _list_jobs(jobs: list, quiet: bool) -> None:
    """What a run would do: the outputs on stdout, each once, the rest on stderr. Exits with 1 if an input is missing."""
    from enhance_cli.batch.inputs import STDIN
    from enhance_cli.batch.storage import Listings

    there, targets, missing = Listings(), {}, 0
    for job in jobs:
        if job.action == "skip":
            if not quiet:
                say(f"skip {job.source}: {job.reason}")
        elif job.problem:
            missing += 1
            say(f"error: {job.problem}")
        elif job.source == STDIN or there.has(job.source):
            targets |= dict.fromkeys(map(str, job.targets))
        else:
            missing += 1
            say(f"error: {job.source} does not exist: check the name")
    for target in targets:
        result(target)
    raise typer.Exit(int(missing > 0))


def _say_other_settings(report, base: dict) -> None:
    """What the failed files of `report` were to be made with, if that is not what records will say now."""
    from enhance_cli.batch.reports import other_settings

    if differ := other_settings(report, base):
        say(f"{report}: the failed files were to be made with {', '.join(differ)}, which is not what this run does")


def engage(work, jobs: list, engine: flags.Engine, workers: int | None, ray_address: str | None) -> tuple:
    """How the jobs will be done, `do(jobs, base, on_record, reporter, stop) -> Summary`, what records say about it, and where
    that is, in words.

    The model is loaded. `workers` None is one process for each GPU, or none but this one; on Ray every slot there is.
    """
    from enhance_cli.batch.backends import threads
    from enhance_cli.batch.inputs import STDIN

    if engine is flags.Engine.ray:
        from enhance_cli.batch.backends import ray_cluster

        do = lambda jobs, base, on_record, *_: ray_cluster.run(jobs, work, base, on_record, ray_address, workers)
        return do, _facts_elsewhere(work), "on Ray"
    devices = _devices(work.device, workers, sum(job.action == "run" for job in jobs))
    if len(devices) > 1 or (workers or 1) > 1:  # also for a single file, which may kill its worker
        if any(job.source == STDIN for job in jobs):
            raise UsageError(
                f"--workers {workers}: standard input has one reader", "leave --workers away, or name files"
            )
        from enhance_cli.batch.backends.processes import run

        share = replace(work, threads=work.threads or max(1, (os.cpu_count() or 1) // len(devices)))
        do = lambda jobs, base, on_record, *_: run(jobs, share, base, on_record, devices)
        return do, _facts_elsewhere(work), f"in {len(devices)} {'process' if len(devices) == 1 else 'processes'}"
    worker, facts = work.load_worker()

    def here(jobs, base, on_record, reporter, stop):
        one = work.one_by(worker, lambda process: reporter.watch(threads.until(stop, process)))
        return threads.run(jobs, one, base, on_record, min(worker.lanes, len(jobs)), stop)

    return here, facts, _place(facts)


def _engage_into_one(work) -> tuple:
    """As `engage`, for recordings that go into one file of embeddings."""
    from enhance_cli.batch.embeddings import collection

    worker, facts = work.load_worker()

    def do(jobs, base, on_record, reporter, stop):
        return collection.run(jobs, worker, base, on_record, reporter.announce, stop)

    return do, facts, _place(facts)


def _place(facts: dict) -> str:
    return f"on {facts['device']} in {facts['precision']}"


def _facts_elsewhere(work) -> dict:
    """What records say about work that other processes do, each with its device. They load the model themselves; here it is
    loaded on the CPU, to find what cannot work before they do."""
    _, facts = replace(work, device="cpu", precision="auto", threads=1).load_worker()
    return {name: fact for name, fact in facts.items() if name not in ("device", "precision")}


def _devices(device: str, workers: int | None, jobs: int) -> list[str]:
    """One for each worker process; GPUs are shared out among them."""
    cards = []
    if workers != 1 and device in ("auto", "cuda"):
        import torch

        cards = [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    count = min(workers or len(cards) or 1, jobs)
    return [cards[n % len(cards)] if cards else device for n in range(count)]


def _run_jobs(jobs: list, do: Callable, base: dict, json, report, quiet, verbose) -> None:
    """Every job as `engage` said, then exit with the summary's code; `base` are the fields that all records have."""
    import threading

    from enhance_cli.batch.record import ReportWriter

    skips = sum(job.action == "skip" for job in jobs)
    with ReportWriter(report) as written, Reporter(len(jobs), json, quiet, verbose, skips) as reporter:
        show = lambda record: (written.write(record), reporter.show(record))
        summary = do(jobs, base, show, reporter, threading.Event())
    if not quiet and (len(jobs) > 1 or summary.interrupted):
        counts = f"{summary.done} done, {summary.skipped} skipped, {summary.failed} failed"
        say(f"interrupted: {counts}" if summary.interrupted else counts)
    raise typer.Exit(summary.exit_code)


def _skip_all(jobs, base, on_record, *_):
    """What there is to do when everything is there already."""
    from enhance_cli.batch.backends import threads

    return threads.run_skips(jobs, base, on_record)
