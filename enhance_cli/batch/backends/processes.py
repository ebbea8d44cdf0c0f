"""Process the files in worker processes of this machine: one process for each GPU, or as many as --workers sets.

If a worker dies (a decoder crashes, memory runs out), the run goes on: a new worker is started, and the jobs of the dead
one are tried again, one file at a time. A file on which a second worker dies is reported as failed.
"""

import contextlib
import itertools
import multiprocessing
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from enhance_cli.batch.backends.backend import Listener
from enhance_cli.batch.backends.process_worker import serve
from enhance_cli.batch.backends.threads import run_skips
from enhance_cli.batch.job import Job
from enhance_cli.batch.outcome import Summary, discard_outputs, record_of
from enhance_cli.batch.record import Record
from enhance_cli.batch.safety.interrupts import sigterm_as_interrupt, uninterrupted
from enhance_cli.batch.worker import WorkerSpec
from enhance_cli.errors import EnhanceError

PATIENCE = 20.0  # seconds that workers get to clean up when the run is interrupted
MAX_DEATHS = 3  # of workers in a row that die before they have loaded the model


@dataclass
class _Worker:
    """Hold a worker process, our end of its pipe, and the jobs that it is working on.

    `lanes`: number of jobs that it can work on at a time, 0 until it is ready. `careful`: it works on a file that may kill
    it, and gets no other.
    """

    process: Any
    pipe: Connection
    device: str
    lanes: int = 0
    jobs: dict[int, Job] = field(default_factory=dict)
    careful: bool = False


class Processes:
    """Process files in several processes, one for each of `devices` ("cuda:0", "cpu", ...).

    A file on which two workers died is a failed record. `run` raises EnhanceError if workers cannot load the model.
    """

    def __init__(self, spec: WorkerSpec, facts: Mapping[str, Any], devices: Sequence[str]):
        self.spec, self.facts, self.devices = spec, facts, devices
        self.where = f"in {len(devices)} {'process' if len(devices) == 1 else 'processes'}"

    def run(self, jobs: Sequence[Job], listener: Listener) -> Summary:
        summary = run_skips(jobs, self.facts, listener.on_record)
        todo = {number: job for number, job in enumerate(jobs) if job.action == "run"}
        if not todo or summary.interrupted:
            return summary

        pool = _WorkerPool(self.spec, self.facts, self.devices[: len(todo)], todo)
        return self._run(pool, summary, listener)

    def run_arriving(self, arrivals: Callable[[threading.Event], Iterable[Job]], listener: Listener) -> Summary:
        """Do the jobs that `arrivals(stop)` yields until the event `stop` is set."""
        with _arriving(arrivals) as coming:
            pool = _WorkerPool(self.spec, self.facts, self.devices, {}, coming=coming)
            return self._run(pool, Summary(), listener)

    def _run(self, pool: "_WorkerPool", summary: Summary, listener: Listener) -> Summary:
        count = summary.counting(listener.on_record)
        with sigterm_as_interrupt():
            try:
                pool.run(count)
            except KeyboardInterrupt:
                summary.interrupted = True
                pool.stop(count)
            finally:
                pool.stop()
        return summary


@contextlib.contextmanager
def _arriving(arrivals: Callable[[threading.Event], Iterable[Job]]) -> Iterator[Connection]:
    """Yield a connection through which a thread sends the jobs of `arrivals`, or the exception that ended them.

    It is a connection so that a pool can wait for it and for the pipes of its workers at the same time.
    """
    ours, theirs = multiprocessing.Pipe(duplex=False)
    stop = threading.Event()

    def bring() -> None:
        with theirs, contextlib.suppress(OSError):  # the other end has been closed
            try:
                for job in arrivals(stop):
                    theirs.send(job)
            except Exception as error:  # noqa: BLE001 - raised where it is received
                theirs.send(error)

    thread = threading.Thread(target=bring, name="arrivals", daemon=True)
    thread.start()
    try:
        yield ours
    finally:
        stop.set()
        ours.close()
        thread.join()


class _WorkerPool:
    """Hold the workers, and the jobs that are left. `coming`: connection through which more jobs arrive, if any."""

    def __init__(
        self,
        spec: WorkerSpec,
        facts: Mapping[str, Any],
        devices: Sequence[str],
        todo: Mapping[int, Job],
        *,
        coming: Connection | None = None,
    ):
        self.spec, self.facts, self.left, self.coming = spec, dict(facts), dict(todo), coming
        self.arrived = itertools.count()
        self.waiting, self.suspects = deque(todo), deque[int]()
        self.tried_again: set[int] = set()
        self.deaths = 0
        self.workers: list[_Worker] = []
        for device in devices:
            self._start(device)

    def run(self, count: Callable[[Record], None]) -> None:
        while self.left or self.coming:
            for worker in self.workers:
                self._send_jobs(worker)
            ready = wait([*(worker.pipe for worker in self.workers), *([self.coming] if self.coming else [])])
            with uninterrupted():  # an interrupt in between would lose received messages
                self._take(ready, count)

    def _take(self, ready: Collection[object], count: Callable[[Record], None]) -> None:
        """Receive the job and the messages that are `ready`."""
        if self.coming in ready:
            self._receive(count)
        for worker in [worker for worker in self.workers if worker.pipe in ready]:
            try:
                message, value = worker.pipe.recv()
            except (EOFError, OSError):
                self._replace_dead(worker, count)
            else:
                self._handle(worker, message, value, count)

    def _receive(self, count: Callable[[Record], None]) -> None:
        """Receive a job that has arrived, or note that no more will come."""
        assert self.coming is not None
        try:
            job = self.coming.recv()
        except EOFError:
            self.coming = None
            return
        if isinstance(job, Exception):
            raise job
        if job.action == "run":
            number = next(self.arrived)
            self.left[number] = job
            self.waiting.append(number)
        else:
            run_skips([job], self.facts, count)

    def stop(self, count: Callable[[Record], None] | None = None) -> None:
        """Stop all workers, which drop their current jobs. With `count`, records that they have already sent are counted."""
        begun = [worker.jobs for worker in self.workers]
        for worker in self.workers:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)
        for worker in self.workers:
            with contextlib.suppress(EOFError, OSError):
                while count and worker.pipe.poll(PATIENCE):
                    message, value = worker.pipe.recv()
                    self._handle(worker, message, value, count)
            worker.pipe.close()
            worker.process.join(PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self.workers = []
        for jobs in begun:
            for job in jobs.values():  # jobs that have ended in the meantime are no longer among them
                discard_outputs(job)

    def _start(self, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        spec = self.spec.on(device=device)
        process = context.Process(target=serve, args=(theirs, spec, self.facts), daemon=True)
        process.start()
        theirs.close()  # otherwise the end of the process would not close the pipe
        self.workers.append(_Worker(process, ours, device))

    def _send_jobs(self, worker: _Worker) -> None:
        while (
            worker.lanes and not worker.careful and len(worker.jobs) < worker.lanes and (self.waiting or self.suspects)
        ):
            if not self.waiting and worker.jobs:
                return  # a file that may kill a worker gets a worker of its own
            worker.careful = not self.waiting
            number = (self.suspects if worker.careful else self.waiting).popleft()
            worker.jobs[number] = self.left[number]
            with contextlib.suppress(OSError):  # the worker has died, which is handled when its pipe closes
                worker.pipe.send((number, self.left[number]))

    def _handle(self, worker: _Worker, message: str, value: Any, count: Callable[[Record], None]) -> None:
        if message == "refused":
            raise value
        if message == "ready":
            worker.lanes, self.deaths = value, 0
            return
        number, record = value
        del worker.jobs[number], self.left[number]
        worker.careful = False
        count(record)

    def _replace_dead(self, worker: _Worker, count: Callable[[Record], None]) -> None:
        """Queue the jobs of a dead worker again, to be done one at a time. A job that killed a worker before has failed."""
        worker.pipe.close()
        worker.process.join()
        self.workers.remove(worker)
        if not worker.lanes:
            self.deaths += 1
            if self.deaths == MAX_DEATHS:
                raise EnhanceError("the workers die while they load the model", "use fewer --workers, or --workers 1")
        for number, job in worker.jobs.items():
            discard_outputs(job)
            if number in self.tried_again:
                del self.left[number]
                reason = f"{job.source}: the worker died twice over this file: look at its memory, and at the file"
                count(record_of(job, {**self.facts, "status": "failed", "reason": reason}))
            else:
                self.tried_again.add(number)
                self.suspects.append(number)
                self.left[number] = replace(job, keeps_existing=False)  # the dead worker may have written the output
        if self.left or self.coming:
            self._start(worker.device)
