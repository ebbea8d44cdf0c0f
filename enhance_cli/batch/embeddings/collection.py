"""Many recordings into one file of embeddings, with their paths as ids.

The file is written when all have ended, whole. Until then what has been embedded is kept in a hidden file beside it, so that a
run that was killed goes on where it stopped. Recordings that the file holds already are left as they are, others are added.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from enhance_cli.batch.backends import threads
from enhance_cli.batch.embeddings.checkpoint import KeptRows
from enhance_cli.batch.embeddings.file import EmbeddingWorker, save
from enhance_cli.batch.inputs import Input
from enhance_cli.batch.outputs import Job
from enhance_cli.batch.record import Record
from enhance_cli.batch.safety.changes import state
from enhance_cli.batch.storage import StoredFile
from enhance_cli.errors import UsageError, VectorError
from enhance_cli.vectors import Vectors, form_of, read

ADDED = "added to what the output holds"


def plan_into_one(found: Sequence[Input], plan: Job) -> list[Job]:
    """A job for every recording, all with the output of `plan`; where that is there and kept, those that it lacks are done, and
    the reason says that they are added.

    Raises UsageError for ids and places that would not do, VectorError for an output that cannot be read.
    """
    if any(isinstance(place, StoredFile) for place in (plan.target, *(item.path for item in found))):
        raise UsageError(f"{plan.target}: object storage takes a file for every recording", "give a folder with -o")
    ids = [item.relative.as_posix() for item in found]
    name, count = Counter(ids).most_common(1)[0]
    if count > 1:
        hint = "give the folder that holds them all, with --recursive"
        raise UsageError(f"{count} recordings would have the id {name}", hint)
    spaced = [name for name in ids if len(name.split()) != 1]
    if spaced and form_of(plan.target) in ("ark", "scp"):
        raise UsageError(f"the id {spaced[0]!r} cannot stand in a Kaldi file", "write .npz or .parquet instead")
    there = set()
    if plan.action == "skip":  # an .npy knows no ids, so that nobody could tell what it lacks
        there = set(ids if form_of(plan.target) == "npy" else read(plan.target).ids)
    missing = replace(plan, action="run", reason=ADDED if plan.action == "skip" else "")
    return [
        replace(plan if name in there else missing, source=item.path, relative=item.relative)
        for name, item in zip(ids, found)
    ]


def run(
    jobs: Sequence[Job],
    worker: EmbeddingWorker,
    base: Mapping[str, Any],
    on_record: Callable[[Record], None],
    on_embedded: Callable[[Record], None],
    stop: threading.Event,
) -> threads.Summary:
    """As threads.run, into one file. No record says "done" before that file is there; until then `on_embedded` gets it.

    Raises VectorError if there is a file already to which nothing can be added, AudioError if another run works on it.
    """
    with KeptRows(jobs[0].target, worker.embedded_by) as kept:
        return _run(jobs, Collection(jobs, worker, kept), base, on_record, on_embedded, stop)


def _run(jobs, collection: "Collection", base, on_record, on_embedded, stop) -> threads.Summary:
    embedded: list[Record] = []
    summary = threads.Summary()
    count = summary.counting(on_record)

    def hear(record: Record) -> None:
        if record.status == "done":
            embedded.append(record)
            on_embedded(record)
        else:
            count(record)

    lanes = min(collection.worker.lanes, len(jobs))
    summary.interrupted = threads.run(jobs, collection.embed, base, hear, lanes, stop).interrupted
    if summary.interrupted or not embedded:
        return summary
    try:
        unusable = collection.write()
    except Exception as error:  # noqa: BLE001 - as in backends.threads
        reason = threads.explain(error, jobs[0])
        for record in embedded:
            record.status, record.reason, record.error = "failed", reason, error
    else:
        for record in embedded:
            record.unusable = [record.relative] if record.relative in unusable else []
    for record in embedded:
        count(record)
    return summary


class Collection:
    """Rows for one file, from several threads."""

    def __init__(self, jobs: Sequence[Job], worker: EmbeddingWorker, kept: KeptRows):
        self.jobs, self.worker, self.kept, self.target = jobs, worker, kept, jobs[0].target
        self.rows: dict[str, np.ndarray] = {}
        self.there = read(self.target) if any(job.reason == ADDED for job in jobs) else None
        if self.there and self.there.extractor not in (None, worker.extractor):
            self._refuse(f"holds embeddings of {self.there.extractor}, not of {worker.extractor}")
        if self.there and getattr(self.there.layout, "holds_more", False):
            self._refuse("holds more than embeddings and their ids, which would be lost")

    def embed(self, job: Job) -> dict[str, Any]:
        """Embed one recording, or take what a run that was killed has kept of it."""
        name, now = job.relative.as_posix(), state(job.source)
        found = self.kept.get(name, now)
        if found is None:
            found = self.worker.embedding(job)
            self.kept.add(name, now, *found)
        self.rows[name], seconds = found
        if self.there and self.there.rows.shape[1] != len(self.rows[name]):
            self._refuse(f"holds embeddings of {self.there.rows.shape[1]} numbers, not of {len(self.rows[name])}")
        return {"seconds_audio": round(seconds, 3), "vectors": 1}

    def write(self) -> set[str]:
        """Repair all rows and write the file, in the order of the jobs, after what it holds already. Returns the ids of those
        that could not be repaired."""
        names = [job.relative.as_posix() for job in self.jobs if job.relative.as_posix() in self.rows]
        rows, unusable = self.worker.repair_recorded(np.stack([self.rows[name] for name in names]))
        ids = names
        if self.there:
            ids, rows = self.there.ids + names, np.concatenate([self.there.rows, rows.astype(self.there.rows.dtype)])
        save(self.target, Vectors(ids, rows, self.worker.extractor), self.worker.form)
        self.kept.discard()
        return {name for name, bad in zip(names, unusable) if bad}

    def _refuse(self, why: str) -> None:
        raise VectorError(f"{self.target}: {why}", "choose another file with -o, or --existing overwrite")
