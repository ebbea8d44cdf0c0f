"""Define the job: one input, and the outputs to make of it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Literal

from enhance_cli.batch.storage import StoredFile


@dataclass(frozen=True)
class Job:
    """Describe one input with its output. `target`: `-` for standard output. `reason`: why a job is skipped.

    Where one input has several outputs, `parts` are those to be written, (name, path) each, and `target` is the first.
    `track`: number of the sound track to take, if it is one of several. `problem`: reason why the input is no file.
    `beside`: results are written beside their inputs, under names that the program chose. `keeps_existing`: outputs that
    another run has made meanwhile, or is writing, are left alone.
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

    @property
    def targets(self) -> tuple[Path | StoredFile, ...]:
        """Return all outputs of this job."""
        return tuple(path for _, path in self.parts) or (self.target,)


@dataclass(frozen=True)
class LocalJob(Job):
    """Describe a job whose files are all on this machine, those of object storage by copies."""

    source: Path
    target: Path
    parts: tuple[tuple[str, Path], ...] = ()

    @property
    def targets(self) -> tuple[Path, ...]:
        return tuple(path for _, path in self.parts) or (self.target,)


def local_job(job: Job, copies: Mapping[StoredFile, Path] | None = None) -> LocalJob:
    """Return the job on this machine, with the `copies` of its stored files in their place."""

    def here(file: Path | StoredFile) -> Path:
        return (copies or {})[file] if isinstance(file, StoredFile) else file

    values = {field.name: getattr(job, field.name) for field in fields(job)}
    values |= {"source": here(job.source), "target": here(job.target)}
    return LocalJob(**values | {"parts": tuple((name, here(file)) for name, file in job.parts)})
