"""Embed many recordings into one file of embeddings, with their paths as ids.

The file is written atomically when all recordings have ended. Until then the embeddings are kept in a hidden checkpoint
beside it, so that a killed run can be continued. Recordings that the file already contains are kept, others are added.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from enhance_cli.batch.backends.backend import Listener, where_of
from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.embeddings.checkpoint import EmbeddingCheckpoint
from enhance_cli.batch.embeddings.file import EmbeddingWorker, save
from enhance_cli.batch.inputs import Input
from enhance_cli.batch.job import Job, local_job
from enhance_cli.batch.outcome import Summary, explain
from enhance_cli.batch.record import Record
from enhance_cli.batch.safety.atomic import STDOUT
from enhance_cli.batch.safety.changes import state
from enhance_cli.batch.storage import StoredFile
from enhance_cli.batch.worker import WorkerSpec
from enhance_cli.errors import UsageError, VectorError
from enhance_cli.vectors import Vectors, form_of, read

ADDED = "added to the output"


def plan_into_one_file(found: Sequence[Input], plan: Job) -> list[Job]:
    """Return a job for every recording, all with the output of `plan`.

    If that output exists and is kept, jobs for the recordings that it lacks have the reason ADDED, all others are skipped.
    Raises UsageError for ids or outputs that cannot be used, VectorError for an output that cannot be read.
    """
    if any(isinstance(path, StoredFile) for path in (plan.target, *(item.path for item in found))):
        raise UsageError(
            f"{plan.target}: in object storage every recording needs its own file", "give a folder with -o"
        )
    target = local_job(plan).target
    ids = [item.relative.as_posix() for item in found]
    name, count = Counter(ids).most_common(1)[0]
    if count > 1:
        hint = "give the folder that holds them all, with --recursive"
        raise UsageError(f"{count} recordings would have the id {name}", hint)
    spaced = [name for name in ids if len(name.split()) != 1]
    if spaced and form_of(target) in ("ark", "scp"):
        raise UsageError(f"the id {spaced[0]!r} cannot be used in a Kaldi file", "write .npz or .parquet instead")
    there: set[str] = set()
    if plan.action == "skip":
        there, _ = _contents(target, ids)
    missing = replace(plan, action="run")
    if plan.action == "skip":
        missing = replace(missing, reason=ADDED, keeps_existing=False)  # the output exists
    return [
        replace(plan if name in there else missing, source=item.path, relative=item.relative)
        for name, item in zip(ids, found)
    ]


def _contents(target: Path, wanted: Sequence[str]) -> tuple[set[str], Vectors | None]:
    """Return the ids in `target`, and all that it holds.

    An .npy has no ids, so that nobody could tell which it lacks: all `wanted` ones count, and nothing is read.
    """
    if form_of(target) == "npy":
        return set(wanted), None
    vectors = read(target)
    return set(vectors.ids), vectors


def _adds(job: Job) -> bool:
    """Return whether the embedding of a job is added to the output if the output exists."""
    return job.action == "run" and (job.keeps_existing or job.reason == ADDED)


def _planned_again(job: Job, there: set[str]) -> Job:
    """Return the job for an output that now has the ids `there`."""
    if job.relative.as_posix() in there:
        return replace(job, action="skip", reason="another run has added it to the output meanwhile")
    return replace(job, reason=ADDED, keeps_existing=False)


class CollectionBackend:
    """Process many recordings into one file, in this process.

    A record is reported as "done" only when the file has been written. Before that, `listener.on_embedded` receives it.
    `run` raises VectorError if the file exists and nothing can be added to it. If another run is writing it, it waits, or,
    if the file is to be replaced, raises Busy.
    """

    def __init__(self, spec: WorkerSpec, facts: Mapping[str, Any]):
        self.worker, found = spec.load_worker()
        self.facts = {**facts, **found}
        self.where = where_of(found)

    def run(self, jobs: Sequence[Job], listener: Listener) -> Summary:
        target, adds = local_job(jobs[0]).target, any(_adds(job) for job in jobs)
        on_wait = listener.on_wait if adds else None
        with EmbeddingCheckpoint(target, self.worker.pipeline.embedded_by, on_wait=on_wait) as checkpoint:
            there = None
            if any(job.reason == ADDED for job in jobs) or (adds and target != STDOUT and target.is_file()):
                # perhaps another run has written it since the jobs were planned
                ids, there = _contents(target, [job.relative.as_posix() for job in jobs])
                jobs = [_planned_again(job, ids) if _adds(job) else job for job in jobs]
            return self._run(jobs, Collection(jobs, self.worker, checkpoint, there), listener)

    def _run(self, jobs: Sequence[Job], collection: "Collection", listener: Listener) -> Summary:
        embedded: list[Record] = []
        summary = Summary()
        count = summary.counting(listener.on_record)

        def on_record(record: Record) -> None:
            if record.status == "done":
                embedded.append(record)
                listener.on_embedded(record)
            else:
                count(record)

        lanes = min(self.worker.lanes, len(jobs))
        summary.interrupted = run(jobs, collection.embed, self.facts, on_record, lanes=lanes).interrupted
        if summary.interrupted or not embedded:
            return summary
        try:
            unusable = collection.write()
        except Exception as error:  # noqa: BLE001 - as in outcome.run_job
            reason = explain(error, jobs[0])
            for record in embedded:
                record.status, record.reason, record.error = "failed", reason, error
        else:
            for record in embedded:
                record.unusable = [record.relative] if record.relative in unusable else []
        for record in embedded:
            count(record)
        return summary


class Collection:
    """Hold the rows of one file, made by several threads. `there`: the rows that the file holds already.

    Raises VectorError if nothing can be added to that.
    """

    def __init__(
        self, jobs: Sequence[Job], worker: EmbeddingWorker, checkpoint: EmbeddingCheckpoint, there: Vectors | None
    ):
        self.jobs, self.worker, self.checkpoint = jobs, worker, checkpoint
        self.target = local_job(jobs[0]).target
        self.rows: dict[str, np.ndarray] = {}
        self.there = there if any(job.reason == ADDED for job in jobs) else None
        if self.there and self.there.extractor not in (None, worker.pipeline.extractor_id):
            self._refuse(f"holds embeddings of {self.there.extractor}, not of {worker.pipeline.extractor_id}")
        if self.there and getattr(self.there.layout, "holds_more", False):
            self._refuse("holds more than embeddings and their ids, which would be lost")

    def embed(self, job: Job) -> dict[str, Any]:
        """Embed one recording, or take its embedding from the checkpoint of a killed run."""
        local = local_job(job)
        name, now = local.relative.as_posix(), state(local.source)
        found, notes = self.checkpoint.get(name, now), list[str]()
        if found is None:
            row, length, notes = self.worker.embedding(local)
            found = row, length
            self.checkpoint.add(name, now, *found)
        self.rows[name], seconds = found
        if self.there and self.there.rows.shape[1] != len(self.rows[name]):
            self._refuse(f"holds embeddings of {self.there.rows.shape[1]} numbers, not of {len(self.rows[name])}")
        return {"seconds_audio": round(seconds, 3), "vectors": 1, "notes": notes}

    def write(self) -> set[str]:
        """Repair all new rows, and write the file: first its existing rows, then the new ones in the order of the jobs.

        Returns the ids of the new rows that could not be repaired.
        """
        names = [job.relative.as_posix() for job in self.jobs if job.relative.as_posix() in self.rows]
        rows, unusable = self.worker.pipeline.repair_recorded(np.stack([self.rows[name] for name in names]))
        ids = names
        if self.there:
            ids, rows = self.there.ids + names, np.concatenate([self.there.rows, rows.astype(self.there.rows.dtype)])
        save(self.target, Vectors(ids, rows, self.worker.pipeline.extractor_id), self.worker.form)
        self.checkpoint.delete()
        return {name for name, bad in zip(names, unusable) if bad}

    def _refuse(self, why: str) -> None:
        raise VectorError(f"{self.target}: {why}", "choose another file with -o, or --existing overwrite")
