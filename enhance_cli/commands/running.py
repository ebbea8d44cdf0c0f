"""What commands on many audio files share once their flags are read: the plan shown or carried out, one record a file."""

from collections.abc import Callable

import typer

from enhance_cli import flags
from enhance_cli.console import Reporter, result, say
from enhance_cli.errors import UsageError


def find_jobs(
    plan: Callable[[list], list],
    named: tuple[list | None, str | None, str | None],
    recursive: bool,
    existing: flags.Existing,
    retry_failed,
    json: bool,
    part: tuple[int, int] | None,
    outputs: tuple[str, ...] = (),
) -> list:
    """What the flags ask for: `plan(inputs)`, or the failed files of the report `retry_failed`; of that, a shard's `part`.

    `named` are inputs, output and name template, of which a report takes the place; `outputs` are the names of what is made of
    a file, if that is several things. Raises UsageError for what is not there or does not fit together.
    """
    from enhance_cli.batch import inputs
    from enhance_cli.batch.atomic import STDOUT
    from enhance_cli.batch.reports import failed_jobs

    if retry_failed:
        jobs = failed_jobs(retry_failed, existing.value, named, outputs)
    else:
        jobs = plan(inputs.expand(named[0] or [], recursive))
    if json and any(job.target == STDOUT for job in jobs):
        raise UsageError("--json and the audio cannot both go to standard output", "use --report FILE.jsonl")
    return inputs.shard(jobs, *part) if part else jobs


def list_jobs(jobs: list, quiet: bool) -> None:
    """What a run would do: the outputs on stdout, the rest on stderr."""
    for job in jobs:
        if job.action == "skip":
            if not quiet:
                say(f"skip {job.source}: {job.reason}")
        else:
            for target in job.targets:
                result(str(target))


def say_other_settings(report, base: dict) -> None:
    """What the failed files of `report` were to be made with, if that is not what records will say now."""
    from enhance_cli.batch.reports import other_settings

    if differ := other_settings(report, base):
        say(f"{report}: the failed files were to be made with {', '.join(differ)}, which is not what this run does")


def engage(work, jobs: list, engine: flags.Engine, workers: int | None, ray_address: str | None) -> tuple:
    """How the jobs will be done, `do(jobs, base, on_record, watch, stop) -> Summary`, what records say about it, and where that
    is, in words.

    The model is loaded. `workers` None is one process for each GPU, or none but this one; on Ray every slot there is.
    """
    from enhance_cli.batch import runner

    if engine is flags.Engine.ray:
        from enhance_cli.batch import ray_engine

        do = lambda jobs, base, on_record, *_: ray_engine.run(jobs, work, base, on_record, ray_address, workers)
        return do, _facts_elsewhere(work), "on Ray"
    devices = _devices(work.device, workers, sum(job.action == "run" for job in jobs))
    if len(devices) > 1 or (workers or 1) > 1:  # also for a single file, which may kill its worker
        from enhance_cli.batch.workers import run

        do = lambda jobs, base, on_record, *_: run(jobs, work, base, on_record, devices)
        return do, _facts_elsewhere(work), f"in {len(devices)} {'process' if len(devices) == 1 else 'processes'}"
    worker, facts = work.start()

    def here(jobs, base, on_record, watch, stop):
        one = work.one_by(worker, lambda process: watch(runner.until(stop, process)))
        return runner.run(jobs, one, base, on_record, min(worker.lanes, len(jobs)), stop)

    return here, facts, f"on {facts['device']} in {facts['precision']}"


def _facts_elsewhere(work) -> dict:
    """What records say about work that other processes do, each with its device. They load the model themselves; here it is
    loaded on the CPU, to find what cannot work before they do."""
    from dataclasses import replace

    _, facts = replace(work, device="cpu", precision="auto", threads=1).start()
    return {name: fact for name, fact in facts.items() if name not in ("device", "precision")}


def _devices(device: str, workers: int | None, jobs: int) -> list[str]:
    """One for each worker process; GPUs are shared out among them."""
    cards = []
    if workers != 1 and device in ("auto", "cuda"):
        import torch

        cards = [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    count = min(workers or len(cards) or 1, jobs)
    return [cards[n % len(cards)] if cards else device for n in range(count)]


def run_jobs(jobs: list, do: Callable, base: dict, json, report, quiet, verbose) -> None:
    """Every job as `engage` said, then exit with the summary's code; `base` are the fields that all records have."""
    import threading

    from enhance_cli.batch.record import Report

    skips = sum(job.action == "skip" for job in jobs)
    with Report(report) as written, Reporter(len(jobs), json, quiet, verbose, skips) as reporter:
        show = lambda record: (written.write(record), reporter.show(record))
        summary = do(jobs, base, show, reporter.watch, threading.Event())
    if not quiet and len(jobs) > 1:
        say(f"{summary.done} done, {summary.skipped} skipped, {summary.failed} failed")
    raise typer.Exit(summary.exit_code)


def skip_all(jobs, base, on_record, *_):
    """What there is to do when everything is there already."""
    from enhance_cli.batch import runner

    return runner.run_skips(jobs, base, on_record)
