"""Make jobs of the failed files of a report, for --retry-failed."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from enhance_cli.batch.inputs import STDIN, WRITABLE_SUFFIXES, Input
from enhance_cli.batch.job import Job
from enhance_cli.batch.output_checks import Existing
from enhance_cli.batch.outputs import check
from enhance_cli.batch.reports import read, real_path
from enhance_cli.errors import UsageError

SETTINGS = ("model", "revision", "steps", "sampler", "sampler_args", "guide", "seed")


def failed_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of the files in a report that failed."""
    return [record for record in read([path]).records if record["status"] == "failed"]


def failed_jobs(
    path: Path,
    existing: Existing,
    *,
    given: Sequence[object] = (),
    parts: Sequence[str] = (),
    writable: frozenset[str] = WRITABLE_SUFFIXES,
) -> list[Job]:
    """Return jobs for the failed files of a report, with their original outputs. Paths are relative to the first run's folder.

    Files from standard input or to standard output cannot be repeated.

    Args:
        path: the report.
        existing: how to treat outputs that exist, as in --existing.
        given: inputs, output folder and name template of the command line, all of which must be empty, since the report
            determines them.
        parts: names of the parts that this command makes of a file, if several.
        writable: suffixes of outputs that this command can write.

    Raises UsageError if the command does not make such outputs, or if no failed file can be repeated.
    """
    if any(given):
        hint = "leave IN, --output and --name out"
        raise UsageError("--retry-failed takes inputs and outputs from the report", hint)
    records = read([path]).records
    inputs_of = Counter(real_path(record.get("output") or "-", record.get("folder")) for record in records)
    failed = [record for record in records if record["status"] == "failed"]
    jobs: list[Job] = []
    refusals: list[UsageError] = []
    for job in map(_job_of, failed):
        if STDIN in (job.source, job.target):
            continue
        if not job.parts and inputs_of[job.target] > 1:
            hint = "run the command that wrote it again, which does the missing ones"
            refusals.append(UsageError(f"{path}: {job.target} is made of several inputs at once", hint))
            job = replace(job, problem=str(refusals[-1]))
        _refuse_foreign(path, job, parts, writable)
        jobs.append(job)
    if refusals and len(refusals) == len(jobs):
        raise refusals[0]
    if failed and not jobs:
        message = f"{path}: the failed ones came from standard input or went to standard output"
        raise UsageError(message, "run its command again")
    return check(jobs, [Input(job.source, job.relative) for job in jobs], existing)


def _job_of(record: Mapping[str, Any]) -> Job:
    """Return the job of a record, with its original outputs."""
    folder = record.get("folder")
    parts = tuple((name, real_path(path, folder)) for name, path in (record.get("outputs") or {}).items())
    target = parts[0][1] if parts else real_path(record.get("output") or "-", folder)
    source = real_path(record["input"], folder)
    return Job(source, PurePath(record.get("relative") or source), target, parts=parts, track=record.get("track"))


def _refuse_foreign(path: Path, job: Job, parts: Sequence[str], writable: frozenset[str]) -> None:
    """Raise UsageError for a job of the report `path` whose outputs this command does not make (see failed_jobs)."""
    if Path(job.target).suffix.lower() not in writable:
        raise UsageError(f"{path}: this command does not make {job.target}", "use the one that wrote the report")
    wanted = [name for name, _ in job.parts]
    if bool(parts) != bool(wanted) or not set(wanted) <= set(parts):
        results = ", ".join(wanted) or "one file"
        hint = "use the command that wrote the report, with its --stem and --residual"
        raise UsageError(f"{path}: {job.source} was to become {results}, which this command does not make", hint)


def other_settings(failed: Sequence[Mapping[str, Any]], base: Mapping[str, Any]) -> list[str]:
    """Return the settings of the failed records that differ from `base`, as texts such as "steps 4"."""
    said = {(name, json.dumps(r[name])) for r in failed for name in SETTINGS if name in r and name in base}
    return sorted(f"{name} {value.strip(chr(34))}" for name, value in said if json.loads(value) != base[name])
