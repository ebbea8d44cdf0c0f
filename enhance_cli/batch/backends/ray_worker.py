"""Run a Ray worker, which holds the model and turns rows with jobs into rows with their records."""

import pickle
import socket
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from enhance_cli import __version__
from enhance_cli.atomic import Busy
from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.job import Job
from enhance_cli.batch.outcome import JobFunction, sendable
from enhance_cli.batch.record import Record
from enhance_cli.batch.safety.temporary import temporary_folder
from enhance_cli.batch.worker import WorkerSpec
from enhance_cli.errors import EnhanceError

PATIENCE = 60  # seconds to wait for a worker on a lost machine that still writes the same output


class Tries:
    """Count how often each job has been started. It runs on the machine of the driver, so that it outlives the workers."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        self.counts[number] += 1
        return self.counts[number]


class Slot:
    """Process jobs in one slot of the cluster.

    `weights`: reference to the content of the model file in Ray's object store, since the file on this machine may be
    missing or different. `tries`: handle of Tries. A job that was started more than `max_tries` times (because its workers
    died) is returned undone.
    """

    def __init__(self, spec: WorkerSpec, facts: Mapping[str, Any], weights: Any, tries: Any, max_tries: int):
        self.refused: EnhanceError | None = None
        self.facts = dict(facts)
        self.tries, self.max_tries = tries, max_tries
        try:
            if facts["version"] != __version__:
                message = f"{socket.gethostname()} has enhance {__version__} and this machine {facts['version']}"
                raise EnhanceError(message, "install the same version on every machine")
            with temporary_folder() as folder:
                worker, found = _with_file(spec, weights, folder).load_worker()
            self.function: JobFunction = spec.job_function(worker)
            self.facts |= found
        except EnhanceError as error:
            self.refused = error
        except Exception as error:  # noqa: BLE001 - told by the driver, once
            message = f"{socket.gethostname()}: the model cannot be loaded ({type(error).__name__}: {error})"
            self.refused = EnhanceError(message, "try the same command on that machine, without --engine ray")

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return {"ended": pickled (number, Record)} for {"job": pickled (number, Job)}.

        Instead of the Record, there is an EnhanceError if the model could not be loaded, None if the job was tried too often.
        """
        import ray

        number, job = pickle.loads(row["job"])
        if self.refused:
            return {"ended": pickle.dumps((number, self.refused))}
        if ray.get(self.tries.begin.remote(number)) > self.max_tries:
            return {"ended": pickle.dumps((number, None))}
        ended: list[Record] = []
        if run([job], self._patiently, self.facts, ended.append).interrupted:
            raise KeyboardInterrupt
        return {"ended": pickle.dumps((number, sendable(ended[0])))}

    def _patiently(self, job: Job) -> Mapping[str, Any]:
        """Do a job, and wait as long as its output is locked.

        A machine that Ray considers lost may still be working on this job, and locks the output until it notices.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.function(job)
            except Busy:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)


def _with_file(spec: WorkerSpec, weights: Any, folder: Path) -> WorkerSpec:
    """Return `spec` with the model's file in `folder`."""
    if weights is None:
        return spec
    import ray

    path = folder / Path(spec.entry.path).name
    path.write_bytes(ray.get(weights))
    return replace(spec, entry=replace(spec.entry, path=path))
