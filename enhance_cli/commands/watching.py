"""Keep a command running on the files that come into a folder (--watch), until it is interrupted."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enhance_cli import flags
from enhance_cli.commands.planning import plan_jobs, planner_for
from enhance_cli.commands.reporting import common_facts, report_run
from enhance_cli.commands.running import local_backend, run_batch
from enhance_cli.console import say
from enhance_cli.errors import UsageError
from enhance_cli.flag_groups import AudioFileFlags, AudioOutputFlags, Running, WatchFlags

if TYPE_CHECKING:
    from enhance_cli.batch.inbox import Inbox
    from enhance_cli.batch.inputs import Input
    from enhance_cli.batch.job import Job
    from enhance_cli.batch.record import Record
    from enhance_cli.batch.worker import WorkerSpec


def plan_or_watch(
    watching: WatchFlags,
    files: Sequence[str] | None,
    where: AudioFileFlags,
    writing: AudioOutputFlags,
    running: Running,
    *,
    suffix: str = "",
    fields: Mapping[str, Any],
    parts: Sequence[str] = (),
) -> "tuple[list[Job], Inbox | None]":
    """Return the jobs, or with --watch an empty list and the inbox. The arguments are those of planning.plan_jobs.

    Raises UsageError.
    """
    if watching.watch is None:
        return plan_jobs(files, where, writing, suffix=suffix, parts=parts, fields=fields), None
    from enhance_cli.batch.inbox import Inbox

    folder = Path(watching.watch)
    _refuse_misuse(folder, files, where, writing, running)
    output = os.path.join(writing.output or "", "")  # a folder, whatever its name
    # a file that is changed after its output was made is done again
    existing = "newer" if writing.existing is flags.Existing.skip else writing.existing.value
    planner = planner_for(writing, suffix=suffix, parts=parts, fields=fields, output=output, existing=existing)

    def plan_one(item: "Input") -> "Job":
        return planner([item])[0]

    return [], Inbox(folder, plan_one, recursive=where.recursive, settle=watching.settle)


def run_or_watch(
    jobs: "list[Job]",
    inbox: "Inbox | None",
    worker: "WorkerSpec",
    facts: Mapping[str, Any],
    describe: Callable[[Mapping[str, Any]], str],
    running: Running,
    *,
    where: AudioFileFlags,
    writing: AudioOutputFlags,
    preview: "Callable[[Job], str] | None" = None,
) -> None:
    """Do the jobs, or those of the inbox until Ctrl-C or SIGTERM ends the command. See running.run_batch."""
    if inbox is None:
        again = where.retry_failed
        run_batch(jobs, worker, facts, describe, running, retry_failed=again, writing=writing, preview=preview)
        return
    backend = local_backend(worker, common_facts(facts, worker), running)
    if not running.quiet:
        say(f"{describe(backend.facts)}, {backend.where}, watching {inbox.folder}: Ctrl-C ends it")

    def set_aside(record: "Record") -> None:
        if record.status == "failed" and (path := inbox.settle_failure(record)):
            record.notes.append(f"set aside as {path}")

    report_run(lambda listener: backend.run_arriving(inbox.arrivals, listener), running, writing, on_ended=set_aside)


def _refuse_misuse(
    folder: Path, files: Sequence[str] | None, where: AudioFileFlags, writing: AudioOutputFlags, running: Running
) -> None:
    """Raise UsageError for flags that exclude --watch, and for folders that cannot be watched or written to."""
    taken = {
        "IN": files,
        "--shard": where.shard,
        "--retry-failed": where.retry_failed,
        "--track all": where.track == "all",
        "--dry-run": running.dry_run,
        "--page": writing.page,
        "--engine ray": running.engine is flags.Engine.ray,
    }
    for flag, given in taken.items():
        if given:
            raise UsageError(f"{flag} and --watch exclude each other", f"leave {flag} away")
    if not folder.is_dir():
        raise UsageError(f"--watch {folder}: there is no such folder", "make it, or check the name")
    if writing.output in (None, "-") or "://" in writing.output:
        raise UsageError("--watch needs a folder for the results", "give one with -o")
    inside = Path(os.path.realpath(folder)) in (output := Path(os.path.realpath(writing.output)), *output.parents)
    if inside and (where.recursive or output == Path(os.path.realpath(folder))):
        raise UsageError(f"{writing.output}: results would be taken for new files of {folder}", "choose another -o")
