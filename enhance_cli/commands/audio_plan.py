"""Plan and run a command on audio files: on the given ones, or on those that arrive in a folder (--watch)."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enhance_cli.commands.planning import chosen_format, plan_jobs, planner_for, refuse_formats
from enhance_cli.commands.reporting import common_facts, report_run
from enhance_cli.commands.running import local_backend, run_batch
from enhance_cli.console import say
from enhance_cli.errors import UsageError
from enhance_cli.flags import values
from enhance_cli.flags.files import AudioFileFlags, WatchFlags
from enhance_cli.flags.output import AudioOutputFlags, Existing
from enhance_cli.flags.running import Engine, Running

if TYPE_CHECKING:
    from enhance_cli.batch.file_options import FileOptions
    from enhance_cli.batch.inbox import Inbox
    from enhance_cli.batch.inputs import Input
    from enhance_cli.batch.job import Job
    from enhance_cli.batch.record import Record
    from enhance_cli.batch.worker import WorkerSpec


@dataclass(frozen=True)
class AudioPlan:
    """Hold the `jobs` of a command, or the `inbox` that will provide them (--watch), and the flags that apply to them."""

    jobs: "list[Job]"
    inbox: "Inbox | None"
    where: AudioFileFlags
    writing: AudioOutputFlags
    running: Running

    def file_options(self, command: str, of_task: "FileOptions") -> "FileOptions":
        """Return the settings with which every file is read and written.

        `command`: name of the command, which is noted in its results. `of_task`: settings that no flag controls, such as the
        parts of a result. Raises UsageError for flags that do not fit the outputs.
        """
        where = self.where
        writing = replace(self.writing, format=chosen_format(self.jobs, self.writing.format))
        loudness = values.parse_loudness(writing.loudness)
        refuse_formats(self.jobs, where, writing)
        return replace(
            of_task,
            start=where.start,
            duration=where.duration,
            container=writing.format,
            bit_depth=writing.bit_depth.value if writing.bit_depth else None,
            sample_rate=writing.sample_rate,
            loudness=loudness,
            true_peak=writing.true_peak,
            limiter=writing.limiter,
            plot=writing.plot,
            measure=self.running.measures or writing.page is not None,
            track=None if where.track == "all" else where.track,
            channels=values.parse_channel(where.channel),
            dither=writing.dither.value,
            keep_original=writing.keep_original,
            command=command,
        )

    def run(
        self,
        worker: "WorkerSpec",
        facts: Mapping[str, Any],
        describe: Callable[[Mapping[str, Any]], str],
        preview: "Callable[[Job], tuple[str, Mapping[str, Any]]] | None" = None,
    ) -> None:
        """Do the jobs and exit. Jobs of an inbox are done until Ctrl-C or SIGTERM. For the arguments see running.run_batch."""
        if self.inbox is not None:
            self._run_arriving(self.inbox, worker, facts, describe)
            return
        run_batch(
            self.jobs,
            worker,
            facts,
            describe,
            self.running,
            retry_failed=self.where.retry_failed,
            writing=self.writing,
            preview=preview,
        )

    def _run_arriving(
        self,
        inbox: "Inbox",
        worker: "WorkerSpec",
        facts: Mapping[str, Any],
        describe: Callable[[Mapping[str, Any]], str],
    ) -> None:
        running = self.running
        backend = local_backend(worker, common_facts(facts, worker), running)
        if not running.quiet:
            say(f"{describe(backend.facts)}, {backend.where}, watching {inbox.folder}: Ctrl-C ends it")

        def set_aside(record: "Record") -> None:
            if record.status == "failed" and (path := inbox.settle_failure(record)):
                record.notes.append(f"set aside as {path}")

        run = lambda listener: backend.run_arriving(inbox.arrivals, listener)  # noqa: E731
        report_run(run, running, self.writing, on_ended=set_aside)


def plan_audio(
    files: Sequence[str] | None,
    where: AudioFileFlags,
    watching: WatchFlags,
    writing: AudioOutputFlags,
    running: Running,
    *,
    suffix: str = "",
    fields: Mapping[str, Any],
    parts: Sequence[str] = (),
) -> AudioPlan:
    """Return the plan for `files`, or for the folder of --watch. The other arguments are those of planning.plan_jobs.

    Raises UsageError.
    """
    if watching.watch is None:
        jobs = plan_jobs(files, where, writing, suffix=suffix, parts=parts, fields=fields)
        return AudioPlan(jobs, None, where, writing, running)
    from enhance_cli.batch.inbox import Inbox

    folder = Path(watching.watch)
    _refuse_misuse(folder, files, where, writing, running)
    output = os.path.join(writing.output or "", "")  # with a separator at its end, so that it is a folder
    # If a file is changed after its output was written, it is processed again
    existing = "newer" if writing.existing is Existing.skip else writing.existing.value
    planner = planner_for(writing, suffix=suffix, parts=parts, fields=fields, output=output, existing=existing)

    def plan_one(item: "Input") -> "Job":
        return planner([item])[0]

    inbox = Inbox(folder, plan_one, recursive=where.recursive, settle=watching.settle)
    return AudioPlan([], inbox, where, writing, running)


def _refuse_misuse(
    folder: Path, files: Sequence[str] | None, where: AudioFileFlags, writing: AudioOutputFlags, running: Running
) -> None:
    """Raise UsageError for flags that cannot be combined with --watch, and for unusable folders."""
    taken = {
        "IN": files,
        "--shard": where.shard,
        "--retry-failed": where.retry_failed,
        "--track all": where.track == "all",
        "--dry-run": running.dry_run,
        "--page": writing.page,
        "--engine ray": running.engine is Engine.ray,
    }
    for flag, given in taken.items():
        if given:
            raise UsageError(f"{flag} and --watch exclude each other", f"leave {flag} out")
    if not folder.is_dir():
        raise UsageError(f"--watch {folder}: there is no such folder", "make it, or check the name")
    if writing.output in (None, "-") or "://" in writing.output:
        raise UsageError("--watch needs a folder for the results", "give one with -o")
    inside = Path(os.path.realpath(folder)) in (output := Path(os.path.realpath(writing.output)), *output.parents)
    if inside and (where.recursive or output == Path(os.path.realpath(folder))):
        raise UsageError(f"{writing.output}: results would become new inputs in {folder}", "choose another -o")
