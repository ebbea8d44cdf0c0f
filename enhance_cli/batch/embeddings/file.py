"""One file of speaker embeddings, or one recording, from input to output.

Whatever embeds a recording and repairs rows is given. A format that takes two files (.scp and its .ark) gets both or none.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from enhance_cli.atomic import unfinished_path
from enhance_cli.batch.inputs import STDIN
from enhance_cli.batch.outputs import Job
from enhance_cli.batch.safety.atomic import STDOUT, atomic, spool_stdin
from enhance_cli.batch.safety.changes import folders_watched, steady
from enhance_cli.batch.storage import StoredFile
from enhance_cli.errors import AudioError, UsageError, VectorError
from enhance_cli.vectors import Vectors, files_of, form_of, read, write

Embed = Callable[[Path], tuple[np.ndarray, float]]
"""A recording -> (embedding (D,), seconds)."""
Repair = Callable[[np.ndarray, str | None, str], tuple[np.ndarray, np.ndarray]]
"""Rows (K, D), the id of the extractor that the file names, its name -> (repaired (K, D), which are as they were (K,))."""
RepairRecorded = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""The same for rows that an Embed gave."""
DEFAULT_FORM = "npz"


@dataclass(frozen=True)
class EmbeddingWorker:
    """What turns a job's input into its output, `lanes` of them at a time.

    `extractor` is the id of the embeddings, `embedded_by` all that decides what a recording's embedding is, in words, and
    `form` the format that was asked for.
    """

    repair: Repair
    extractor: str
    embed: Embed | None = None
    repair_recorded: RepairRecorded | None = None
    form: str | None = None
    lanes: int = 1
    embedded_by: str = ""

    def one(self, job: Job) -> dict[str, Any]:
        """Repair one file of embeddings, or the embedding of one recording; returns fields of its Record."""
        if form_of(job.source) is None:
            row, seconds = self.embedding(job)
            vectors = Vectors([job.relative.as_posix()], row[None], self.extractor)
            facts = {"seconds_audio": round(seconds, 3)}
            rows, unusable = self.repair_recorded(vectors.rows)
        else:
            with steady(job.source):
                vectors, facts = read(job.source), {}
            rows, unusable = self.repair(vectors.rows, vectors.extractor, str(job.source))
        save(job.target, vectors.replaced(rows), self.form)
        return facts | {"vectors": len(rows), "unusable": [vectors.ids[i] for i in np.flatnonzero(unusable)]}

    def embedding(self, job: Job) -> tuple[np.ndarray, float]:
        """(embedding (D,), seconds) of the job's recording. Raises AudioError."""
        if job.source != STDIN:
            with steady(job.source):
                return self.embed(job.source)
        source = spool_stdin()
        try:
            return self.embed(source)
        except AudioError as error:
            hint = f"{error.hint}; stored embeddings must be a file with a name"
            raise AudioError(error.message.replace(str(source), "standard input"), hint) from error


def save(target: Path, vectors: Vectors, form: str | None = None) -> None:
    """Write `vectors` in `form`, else as the target's name says, else as they were read."""
    form = form_of(target) or form or vectors.form or DEFAULT_FORM
    if target == STDOUT and form == "scp":
        raise VectorError("an .scp and its .ark cannot both go to standard output", "use --format ark")
    with folders_watched([target]), contextlib.ExitStack() as stack:
        parts = [stack.enter_context(atomic(path)) for path in files_of(target)]  # the last is in its place first
        write(parts, vectors, form, target)


def refuse_lost_archives(jobs: list[Job], existing: str) -> None:
    """Raises UsageError where the .ark that a written .scp needs is an input, another output, or there already.

    An .ark whose .scp a killed run did not live to finish does not count. An .scp in object storage is refused as well: it
    names its .ark by a path.
    """
    places = {path for job in jobs for path in (job.source, job.target)} - {STDIN}
    for path in places:
        if isinstance(path, StoredFile) and form_of(path) == "scp":
            raise UsageError(f"{path}: an .scp cannot be in object storage", "use .ark, here with --format ark")
    taken = {path.resolve(): path for path in places if isinstance(path, Path)}
    for job in jobs:
        for archive in files_of(job.target)[1:] if job.action == "run" else []:
            if archive.resolve() in taken:
                hint = "choose another name or folder with -o"
                raise UsageError(f"{archive}: {job.target} needs this name for its own archive", hint)
            kept = archive.exists() and existing != "overwrite" and not job.target.exists()
            if kept and not unfinished_path(job.target).exists():
                raise UsageError(f"{archive}: this output exists", "use --existing overwrite")
