"""Define the job: one input, and the outputs to make of it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Literal

from enhance_cli.batch.storage import StoredFile


@dataclass(frozen=True)
class Job:
    """Describe one input and its output. `target`: `-` for standard output. `reason`: why the job is skipped.

    If an input has several outputs, `parts` are the (name, path) of those to write, and `target` is the first of them.
    `track`: number of the sound track to process, if it is one of several. `problem`: reason why the job cannot be done.
    `beside`: results are written beside their inputs, under names that the program chose. `keeps_existing`: skip the job
    if another run has made the output in the meantime, or is writing it. `is_copy`: the files are local copies of
    those in object storage. `leaves_own`: skip a source that is an output of the same command.
    """

    source: Path | StoredFile
    relative: PurePath
    target: Path | StoredFile
    action: Literal["run", "skip"] = "run"
    reason: str = ""
    parts: tuple[tuple[str, Path | StoredFile], ...] = ()
    track: str | None = None
    problem: str = ""
    beside: bool = False
    keeps_existing: bool = False
    is_copy: bool = False
    leaves_own: bool = False

    @property
    def targets(self) -> tuple[Path | StoredFile, ...]:
        """Return all outputs of this job."""
        return tuple(path for _, path in self.parts) or (self.target,)


@dataclass(frozen=True)
class LocalJob(Job):
    """Describe a job with all files on this machine. Files in object storage are replaced by local copies."""

    source: Path
    target: Path
    parts: tuple[tuple[str, Path], ...] = ()

    @property
    def targets(self) -> tuple[Path, ...]:
        return tuple(path for _, path in self.parts) or (self.target,)


def local_job(job: Job, copies: Mapping[StoredFile, Path] | None = None) -> LocalJob:
    """Return the job with the local `copies` in place of its files in object storage."""

    def here(file: Path | StoredFile) -> Path:
        return (copies or {})[file] if isinstance(file, StoredFile) else file

    values = {field.name: getattr(job, field.name) for field in fields(job)}
    values |= {"source": here(job.source), "target": here(job.target), "is_copy": bool(copies)}
    return LocalJob(**values | {"parts": tuple((name, here(file)) for name, file in job.parts)})
