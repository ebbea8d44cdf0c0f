"""Process the files on a Ray cluster, with workers on many machines.

Ray Data sends jobs to worker processes that hold the model, one for each slot (a GPU, or `--threads` CPU cores), and
returns a record when a file has ended. If a worker or its machine dies, the job is done again elsewhere, which gives the
same file.
"""

import contextlib
import io
import logging
import os
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from enhance_cli.batch.backends.backend import Listener
from enhance_cli.batch.backends.ray_worker import Slot, Tries
from enhance_cli.batch.backends.threads import run_skips
from enhance_cli.batch.inputs import STDIN
from enhance_cli.batch.job import Job
from enhance_cli.batch.outcome import Summary, discard_outputs, record_of
from enhance_cli.batch.record import Record
from enhance_cli.batch.safety.atomic import STDOUT
from enhance_cli.batch.safety.interrupts import sigterm_as_interrupt
from enhance_cli.batch.worker import WorkerSpec
from enhance_cli.errors import EnhanceError, UsageError, one_line

MAX_TRIES = 1, 3  # of a job whose worker dies: together with other jobs, then alone in a worker
LANES_ON_GPU = 8  # files that a worker processes at a time, so that the GPU does not wait for reading and writing
# Above this number, jobs are sent in bundles, each of which costs Ray's scheduler some milliseconds
MAX_BLOCKS = 20_000


class RayCluster:
    """Process files on a Ray cluster.

    `address`: None means the cluster in RAY_ADDRESS, else one on this machine, else one that is started for this run.
    `workers`: None means one for every slot that the cluster has now. More workers than that wait for machines to join.
    """

    where = "on Ray"

    def __init__(self, spec: WorkerSpec, facts: Mapping[str, Any], address: str | None, workers: int | None):
        self.spec, self.facts, self.address, self.workers = spec, facts, address, workers

    def run(self, jobs: Sequence[Job], listener: Listener) -> Summary:
        """Record the skipped jobs in this process, then do the others on the cluster. Each record arrives when its job ends.

        If the worker dies at every try, the job has failed. Raises UsageError if Ray is missing or has no slot,
        EnhanceError if the workers cannot load the model or the cluster is lost.
        """
        todo = [job for job in jobs if job.action == "run"]
        if any(path in (STDIN, STDOUT) for job in todo for path in (job.source, job.target)):
            raise UsageError("--engine ray cannot use standard input or output", "name files")
        device = self.spec.resources.device
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"--device {device}: Ray chooses the GPU", "use --device auto, cuda or cpu")
        summary = run_skips(jobs, self.facts, listener.on_record)
        if not todo or summary.interrupted:
            return summary

        count = summary.counting(listener.on_record)
        with _Cluster(self.address) as cluster, sigterm_as_interrupt():
            left = dict(enumerate(todo))
            try:
                for careful in (False, True):  # the second time for those whose workers died
                    records = cluster.records(dict(left), self.spec, self.facts, self.workers, careful) if left else ()
                    for number, record in records:
                        if record is not None and number in left:
                            count(_as_asked(left.pop(number), record))
                for job in left.values():
                    count(_lost(job, self.facts))
            except KeyboardInterrupt:
                summary.interrupted = True
        for job in left.values():
            discard_outputs(job)
        return summary


class _Cluster:
    """Connect to Ray. A connection that existed before is left open."""

    def __init__(self, address: str | None):
        self.address = address
        self.ours = False

    def __enter__(self) -> "_Cluster":
        if self.address and self.address.startswith("ray://"):
            hint = "run `enhance` on a machine of the cluster, or by `ray job submit`"
            raise UsageError(f"--ray-address {self.address}: Ray Data does not work through a Ray client", hint)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        with _silent_stderr():
            self._connect()
        self._stdout = contextlib.redirect_stdout(_BytesOnly(sys.stdout))
        self._stdout.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self.ours:
            self.ray.shutdown()
        self._stdout.__exit__(None, None, None)

    def _connect(self) -> None:
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise UsageError("--engine ray: Ray is not installed", "pip install 'enhance-cli[ray]'") from error
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.ray = ray
        if ray.is_initialized():
            return
        try:
            ray.init(self.address, log_to_driver=False, logging_level=logging.CRITICAL)
        except Exception as error:  # noqa: BLE001 - also plain Exception
            where = f"at {self.address}" if self.address else "here"
            raise EnhanceError(
                f"Ray cannot be reached {where} ({type(error).__name__}: {one_line(error)[:300]})", "see `ray status`"
            ) from error
        self.ours = True

    def records(
        self, jobs: Mapping[int, Job], spec: WorkerSpec, facts: Mapping[str, Any], workers: int | None, careful: bool
    ) -> Iterator[tuple[int, Record | None]]:
        """Yield the number and the record of each job as it ends. The record is None if the job's workers died too often.

        With `careful`, a worker has only one job at a time, so that a job that kills it affects no other.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        spec, needs, lanes = self._resources(spec)
        lanes = 1 if careful else lanes
        slots = workers or self._slots(needs)
        numbered = [{"job": pickle.dumps((number, _absolute(job)))} for number, job in jobs.items()]
        self._settle_data_context(slots)
        try:
            model = Path(spec.entry.path)
            weights = self.ray.put(model.read_bytes()) if model.suffix == ".safetensors" else None
            here = self.ray.get_runtime_context().get_node_id()
            beside = NodeAffinitySchedulingStrategy(here, soft=False)
            tries = self.ray.remote(num_cpus=0)(Tries).options(scheduling_strategy=beside).remote()
            data = self.ray.data.from_items(numbered, override_num_blocks=min(len(numbered), MAX_BLOCKS))
            worker: Any = Slot  # a class, which Ray takes but does not declare
            done = data.map(
                worker,
                fn_constructor_args=(spec, dict(facts), weights, tries, MAX_TRIES[careful]),
                compute=self.ray.data.ActorPoolStrategy(
                    size=min(slots, len(numbered)),
                    max_concurrent_calls_per_actor=lanes,
                    max_tasks_in_flight_per_actor=lanes,
                    enable_true_multi_threading=lanes > 1,
                ),
                num_cpus=needs["num_cpus"],
                num_gpus=needs.get("num_gpus"),
            )
            for row in done.iter_rows():
                number, ended = pickle.loads(row["ended"])
                if isinstance(ended, EnhanceError):
                    raise ended
                yield number, ended
        except EnhanceError:
            raise
        except Exception as error:  # noqa: BLE001 - Ray wraps an error in many ways
            message = f"Ray stopped working ({type(error).__name__}: {one_line(error)[:300]})"
            raise EnhanceError(message, "run the same command again: finished files are skipped") from error

    def _resources(self, spec: WorkerSpec) -> tuple[WorkerSpec, dict[str, float], int]:
        """Return the spec for the workers, the resources that each needs, and the number of files it processes at a time."""
        if spec.resources.device == "auto":
            spec = spec.on(device="cuda" if self.ray.cluster_resources().get("GPU") else "cpu")
        threads = spec.resources.threads or 1
        if spec.resources.device == "cuda":
            return spec, {"num_gpus": 1, "num_cpus": threads}, LANES_ON_GPU
        return spec.on(threads=threads), {"num_cpus": threads}, threads

    def _slots(self, needs: Mapping[str, float]) -> int:
        names = {"num_cpus": "CPU", "num_gpus": "GPU"}
        there = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        slots = sum(int(min(node.get(names[need], 0) // count for need, count in needs.items())) for node in there)
        if not slots:
            wanted = " and ".join(f"{count:g} {names[need]}" for need, count in needs.items())
            raise UsageError(f"no machine of the Ray cluster has {wanted}", "see `ray status`, and use fewer --threads")
        return slots

    def _settle_data_context(self, slots: int) -> None:
        context = self.ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.max_errored_blocks = -1  # a job whose workers died is seen by its missing record
        context.max_consecutive_actor_init_deaths = 10 + 2 * slots  # machines may go while a model is loaded
        context.execution_no_progress_timeout_s = -1  # a file may take hours


class _BytesOnly(io.TextIOBase):
    """Pass bytes to standard output and drop text, since results are bytes and Ray prints text about its retries there."""

    def __init__(self, stream: Any):
        self._stream = stream
        self.buffer = stream.buffer

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Silence standard error while Ray's own libraries start. Their errors are raised as well."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _absolute(job: Job) -> Job:
    """Return the job with absolute paths, since workers have another working folder.

    Existing outputs are overwritten, since a job that is repeated after its worker died may find its own output.
    """
    full = lambda path: path.absolute() if isinstance(path, Path) else path
    parts = tuple((name, full(path)) for name, path in job.parts)
    return replace(job, source=full(job.source), target=full(job.target), parts=parts, keeps_existing=False)


def _as_asked(job: Job, record: Record) -> Record:
    """Return the record with the names that the user gave."""
    there = _absolute(job)
    if record.reason:
        for given, full in zip((job.source, *job.targets), (there.source, *there.targets)):
            record.reason = record.reason.replace(str(full), str(given))
    return record_of(job, {field.name: getattr(record, field.name) for field in fields(record)})


def _lost(job: Job, facts: Mapping[str, Any]) -> Record:
    reason = f"{job.source}: the worker died each time it had this file: look at its memory, and at the file"
    return record_of(job, {**facts, "status": "failed", "reason": reason})
