"""Run a command on many files: check the flags, choose the back end, and do the jobs."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from enhance_cli.batch import heap
from enhance_cli.commands.reporting import Reporter, common_facts, refuse_page, report_run, say_settings
from enhance_cli.console import result, result_line, say
from enhance_cli.errors import EnhanceError, ExitCode, UsageError
from enhance_cli.flags.output import AudioOutputFlags
from enhance_cli.flags.running import Engine, Running

if TYPE_CHECKING:
    from enhance_cli.batch.backends import processes, threads
    from enhance_cli.batch.backends.backend import Backend
    from enhance_cli.batch.file_options import FileOptions
    from enhance_cli.batch.job import Job
    from enhance_cli.batch.record import Record
    from enhance_cli.batch.storage import Listings
    from enhance_cli.batch.worker import WorkerSpec

    Preview = tuple[str, Mapping[str, Any]]


def run_batch(
    jobs: "list[Job]",
    worker: "WorkerSpec",
    facts: Mapping[str, Any],
    describe: Callable[[Mapping[str, Any]], str],
    running: Running,
    *,
    retry_failed: Path | None = None,
    into_one_file: bool = False,
    writing: AudioOutputFlags = AudioOutputFlags(),
    preview: "Callable[[Job], Preview] | None" = None,
) -> None:
    """Do the jobs, then exit with the code of the summary. With --dry-run, only list the outputs.

    `facts`: fields that all records share. `describe(facts)`: returns the text that names the model once it is loaded.
    `into_one_file`: all jobs write to the same output. `writing`: flags of the page and the pictures. `preview(job)`:
    returns the text that --dry-run prints after the outputs of a job, and fields of its record. Raises UsageError for flags
    that exclude each other.
    """
    heap.share()
    _refuse_misuse(jobs, running)
    refuse_page(writing.page, writing.page_embed, len(jobs), writing.output)
    if retry_failed:
        from enhance_cli.batch.retry import failed_records, other_settings

        failed = failed_records(retry_failed)
        _refuse_other_task(retry_failed, failed, facts)
        if not running.quiet:
            _say_what_is_retried(jobs, retry_failed, other_settings(failed, facts))
    facts = common_facts(facts, worker)
    backend = choose_backend(worker, facts, jobs, running, into_one_file=into_one_file)
    if backend.where and not running.quiet:
        say(f"{describe(backend.facts)}, {backend.where}")
    if running.dry_run:  # by now, the model, its settings and the device have been checked
        if not running.quiet:
            say_settings(worker)
        _list_jobs(jobs, backend.facts, running, preview)
    else:
        if writing.plot:
            assert worker.file_options is not None
            _plot_existing(jobs, worker.file_options, running.quiet)
        skips = sum(job.action == "skip" for job in jobs)
        report_run(lambda listener: backend.run(jobs, listener), running, writing, total=len(jobs), skips=skips)


def _plot_existing(jobs: "list[Job]", options: "FileOptions", quiet: bool) -> None:
    """Draw the missing pictures of outputs that an earlier run has written."""
    from enhance_cli.batch.job import local_job
    from enhance_cli.batch.outcome import explain
    from enhance_cli.batch.plots import plot_existing

    for job in jobs:
        if job.action != "skip" or not all(isinstance(path, Path) for path in (job.source, *job.targets)):
            continue
        try:
            for picture in plot_existing(local_job(job), options):
                if not quiet:
                    say(f"{picture}: drawn for an output that existed")
        except (EnhanceError, OSError) as error:
            say(f"error: {explain(error, job)}")


def _refuse_misuse(jobs: "list[Job]", running: Running) -> None:
    """Raise UsageError if results would go to a terminal or to stdout with records, and for a report in a missing folder."""
    from enhance_cli.batch.safety.atomic import STDOUT

    to_stdout = any(job.target == STDOUT for job in jobs)
    if running.json and to_stdout:
        raise UsageError("--json and the results cannot both go to standard output", "use --report FILE.jsonl")
    if to_stdout and not running.dry_run and sys.stdout.isatty():
        raise UsageError("standard output is a terminal", "send the result to a program or a file, or name one with -o")
    if running.report and not running.report.absolute().parent.is_dir():
        raise UsageError(f"{running.report}: there is no folder for this report", "make it, or choose another --report")


def _refuse_other_task(report: Path, failed: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """Raise UsageError if a model of the failed records is one of another task than this run's, as far as they are known."""
    from enhance_cli.models import registry

    tasks = {entry.name: entry.task for entry in (*registry.entries(), *registry.published())}
    ours = tasks.get(facts["model"])
    for model in dict.fromkeys(str(record.get("model")) for record in failed) if ours else ():
        theirs = tasks.get(model, ours)
        if theirs != ours:
            message = f"{report}: its failed files were for {theirs}, with {model}, and this command is for {ours}"
            raise UsageError(message, "use the command that wrote the report")


def _say_what_is_retried(jobs: "list[Job]", report: Path, differ: Sequence[str]) -> None:
    """Tell the user if there is nothing to retry, and which settings of the failed run `differ` from those of this run."""
    if not jobs:
        say(f"{report}: no file in it has failed, there is nothing to do")
    if differ:
        say(f"{report}: the failed run used {', '.join(differ)}, unlike this run")


def choose_backend(
    worker: "WorkerSpec", facts: Mapping[str, Any], jobs: "list[Job]", running: Running, *, into_one_file: bool = False
) -> "Backend":
    """Return the back end for the jobs, with its model loaded. Raises UsageError.

    Without --workers, it uses one process for each GPU, or this process alone. Ray uses all slots of the cluster.
    """
    from enhance_cli.batch.backends import threads
    from enhance_cli.batch.backends.backend import facts_of
    from enhance_cli.batch.inputs import STDIN

    count = sum(job.action == "run" for job in jobs)
    if not count:
        return threads.SkipsOnly(facts)
    if into_one_file:
        from enhance_cli.batch.embeddings.collection import CollectionBackend

        return CollectionBackend(worker, facts)
    if running.engine is Engine.ray:
        from enhance_cli.batch.backends.ray_cluster import RayCluster

        return RayCluster(worker, {**facts, **facts_of(worker)}, running.ray_address, running.workers)
    processes = running.workers or len(_devices(worker, None)[:count])
    if processes > 1 and any(job.source == STDIN for job in jobs):
        raise UsageError(
            f"--workers {running.workers}: standard input has one reader", "leave --workers out, or name files"
        )
    return local_backend(worker, facts, running, count)


def local_backend(
    worker: "WorkerSpec", facts: Mapping[str, Any], running: Running, jobs: int | None = None
) -> "threads.Threads | processes.Processes":
    """Return the back end on this machine. `jobs`: number of jobs, None if it is not known.

    Files are processed in threads of this process, or in worker processes if --workers is above 1 or there are several
    GPUs. Then even a single job gets its own process, since a damaged file may kill it.
    """
    devices = _devices(worker, running.workers)[:jobs]
    if len(devices) == 1 and (running.workers or 1) == 1:
        from enhance_cli.batch.backends import threads

        return threads.Threads(worker, facts)
    from enhance_cli.batch.backends import processes
    from enhance_cli.batch.backends.backend import facts_of

    share = worker.on(threads=worker.resources.threads or max(1, (os.cpu_count() or 1) // len(devices)))
    return processes.Processes(share, {**facts, **facts_of(worker)}, devices)


def _devices(worker: "WorkerSpec", workers: int | None) -> list[str]:
    """Return the device of each worker process. The GPUs are distributed among them."""
    from enhance_cli.models.runtime import may_have_gpu

    resources, cards = worker.resources, list[str]()
    device = "cpu" if resources.runtime == "onnx" else resources.device
    if workers != 1 and (device == "cuda" or device == "auto" and may_have_gpu()):
        import torch

        cards = [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    return [cards[n % len(cards)] if cards else device for n in range(workers or len(cards) or 1)]


def _list_jobs(
    jobs: "list[Job]", facts: Mapping[str, Any], running: Running, preview: "Callable[[Job], Preview] | None"
) -> None:
    """Print each output once on stdout, everything else on stderr, then exit. If an input is missing, the exit code is 1.

    The text of `preview` follows after a tab. With --json, print the record of every job instead.
    """
    from enhance_cli.batch.outcome import record_of
    from enhance_cli.batch.storage import Listings

    there, counts, few = Listings(), Counter[str](), Reporter.SAME_NOTES
    lines: dict[str, None] = {}  # each once, in order
    for job in jobs:
        record = record_of(job, facts)
        text = _plan_into(record, job, there, preview)
        counts[str(record.status)] += 1
        if record.status == "failed":
            say(f"error: {record.reason}")
        elif record.status == "skipped" and not running.quiet and (running.verbose or counts["skipped"] <= few):
            say(f"skip {job.source}: {job.reason}")
        if running.json:
            result(record.to_json())
        elif record.status == "planned":
            lines |= dict.fromkeys(f"{target}\t{text}" if text else str(target) for target in job.targets)
    for line in lines:
        result_line(line)
    if len(jobs) > 1 and not running.quiet:
        more = " (--verbose names all)" if counts["skipped"] > few and not running.verbose else ""
        say(f"{counts['planned']:,} planned, {counts['skipped']:,} skipped{more}, {counts['failed']:,} failed")
    raise typer.Exit(ExitCode.SOME_FAILED if counts["failed"] else ExitCode.DONE)


def _plan_into(record: "Record", job: "Job", there: "Listings", preview: "Callable[[Job], Preview] | None") -> str:
    """Set the status of the record of a job that is only planned, and its reason. Return the text of `preview`."""
    from enhance_cli.batch.inputs import STDIN
    from enhance_cli.batch.outcome import explain

    record.status, text = "failed", ""
    if job.action == "skip":
        record.status, record.reason = "skipped", job.reason
    elif job.problem:
        record.reason = job.problem
    elif job.source != STDIN and not there.has(job.source):
        record.reason = f"{job.source} does not exist: check the name"
    else:
        try:
            if preview and job.source != STDIN:
                text, fields = preview(job)
                record.update(fields)
            record.status = "planned"
        except EnhanceError as error:
            record.reason = explain(error, job)
    return text
