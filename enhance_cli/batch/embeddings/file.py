"""Process one file of speaker embeddings, or one recording, from input to output.

The pipeline that embeds and repairs is an argument. If a format has two files (.scp and its .ark), both are written or none.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from enhance_cli.atomic import unfinished_path
from enhance_cli.audio.formats import AUDIO_SUFFIXES
from enhance_cli.batch.inputs import STDIN
from enhance_cli.batch.job import Job, LocalJob
from enhance_cli.batch.safety.atomic import STDOUT, atomic, spool_stdin
from enhance_cli.batch.safety.changes import folders_watched, steady
from enhance_cli.batch.storage import StoredFile
from enhance_cli.batch.worker import WorkerSpec
from enhance_cli.errors import AudioError, UsageError, VectorError
from enhance_cli.vectors import FORMS, Vectors, files_of, form_of, read, write

DEFAULT_FORM = "npz"


class EmbeddingPipeline(Protocol):
    """Embed recordings and repair embeddings (tasks.embedding_pipeline), for `lanes` files at a time.

    `extractor_id`: identifies the speaker network that made the embeddings. `embedded_by`: describes the network and all
    settings that affect the embedding of a recording.
    """

    extractor_id: str
    embedded_by: str
    lanes: int

    def embed_file(self, path: Path) -> tuple[np.ndarray, float, list[str]]:
        """Return the embedding (D,), the seconds and notes of a recording."""

    def repair(self, rows: np.ndarray, found: str | None, source: str) -> tuple[np.ndarray, np.ndarray]:
        """Return repaired rows (K, D), and which of them were left unchanged (K,).

        `found`: id of the extractor that the file `source` names.
        """

    def repair_recorded(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the same for rows that `embed_file` gave."""


@dataclass(frozen=True)
class EmbeddingWorker:
    """Make the output of a job from its input by `pipeline`. `form`: format of the output, if the user chose one."""

    pipeline: EmbeddingPipeline
    form: str | None = None

    @property
    def lanes(self) -> int:
        return self.pipeline.lanes

    def process_job(self, job: LocalJob) -> dict[str, Any]:
        """Repair one file of embeddings, or the embedding of one recording. Returns fields of its Record."""
        if form_of(job.source) is None:
            row, seconds, notes = self.embedding(job)
            vectors = Vectors([job.relative.as_posix()], row[None], self.pipeline.extractor_id)
            facts: dict[str, Any] = {"seconds_audio": round(seconds, 3), "notes": notes}
            rows, unusable = self.pipeline.repair_recorded(vectors.rows)
        else:
            with steady(job.source):
                vectors, facts = read(job.source), {}
            rows, unusable = self.pipeline.repair(vectors.rows, vectors.extractor, str(job.source))
        save(job.target, vectors.replaced(rows), self.form)
        return facts | {"vectors": len(rows), "unusable": [vectors.ids[i] for i in np.flatnonzero(unusable)]}

    def embedding(self, job: LocalJob) -> tuple[np.ndarray, float, list[str]]:
        """Return the embedding (D,), the seconds and notes of the job's recording. Raises AudioError."""
        piped = job.source == STDIN
        source = spool_stdin() if piped else job.source
        try:
            with contextlib.nullcontext() if piped else steady(source):
                return self.pipeline.embed_file(source)
        except AudioError as error:
            if not piped and source.suffix.lower() in AUDIO_SUFFIXES:
                raise
            stored = "must be a file with a name" if piped else f"end in .{', .'.join(FORMS)}"
            message = error.message.replace(str(source), "standard input") if piped else error.message
            raise AudioError(message, f"{error.hint}; stored embeddings {stored}") from error


@dataclass(frozen=True)
class EmbeddingWorkerSpec(WorkerSpec):
    """Specify a worker whose `load` returns an EmbeddingPipeline. `form`: requested format."""

    form: str | None = None

    def load_worker(self) -> tuple[EmbeddingWorker, dict[str, Any]]:
        """Load the models. Returns the worker, and the fields that it adds to all records."""
        pipeline, facts = super().load_worker()
        return EmbeddingWorker(pipeline, self.form), facts


def save(target: Path, vectors: Vectors, form: str | None = None) -> None:
    """Write `vectors` in `form`, else in the format of the target's name, else in their original one."""
    form = form_of(target) or form or vectors.form or DEFAULT_FORM
    if target == STDOUT and form == "scp":
        raise VectorError("an .scp and its .ark cannot both go to standard output", "use --format ark")
    with folders_watched([target]), contextlib.ExitStack() as stack:
        unfinished = [stack.enter_context(atomic(path)) for path in files_of(target)]  # the last is renamed first
        write(unfinished, vectors, form, target)


def refuse_lost_archives(jobs: list[Job], existing: str) -> None:
    """Raise UsageError where the .ark that a written .scp needs is an input, another output, or exists.

    An existing .ark is accepted if a killed run left the .scp unfinished. An .scp in object storage is refused as well,
    since it refers to its .ark by a path.
    """
    paths = {path for job in jobs for path in (job.source, job.target)} - {STDIN}
    for path in paths:
        if isinstance(path, StoredFile) and path.suffix.lower() == ".scp":
            raise UsageError(f"{path}: an .scp cannot be in object storage", "use .ark, here with --format ark")
    taken = {path.resolve(): path for path in paths if isinstance(path, Path)}
    for job in jobs:
        if job.action != "run" or isinstance(job.target, StoredFile):
            continue
        for archive in files_of(job.target)[1:]:
            if archive.resolve() in taken:
                hint = "choose another name or folder with -o"
                raise UsageError(f"{archive}: {job.target} needs this name for its own archive", hint)
            kept = archive.exists() and existing != "overwrite" and not job.target.exists()
            if kept and not unfinished_path(job.target).exists():
                raise UsageError(f"{archive}: this output exists", "use --existing overwrite")
