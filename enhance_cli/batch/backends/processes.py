"""Process the files in worker processes of this machine: one process for each GPU, or as many as wanted.

A worker that dies (a decoder that crashes, memory that runs out) ends neither the run nor the other files: another
worker is started, the jobs of the dead one are done again, now one file at a time, and a file that kills a second time
is reported.
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

PATIENCE = 20.0  # seconds in which workers put their things in order when the run is interrupted
MAX_DEATHS = 3  # of workers one after the other that have not even loaded the model


@dataclass
class _Worker:
    """Hold a process, our end of its pipe, the number of files it may have in hand (0: not ready) and those it has."""

    process: Any
    pipe: Connection
    device: str
    lanes: int = 0
    hand: dict[int, Job] = field(default_factory=dict)
    careful: bool = False  # it has a file that may kill it, and gets no other


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

        crew = _Crew(self.spec, self.facts, self.devices[: len(todo)], todo)
        return self._run(crew, summary, listener)

    def run_arriving(self, arrivals: Callable[[threading.Event], Iterable[Job]], listener: Listener) -> Summary:
        """Do the jobs that `arrivals(stop)` yields, which ends when the event `stop` is set."""
        with _arriving(arrivals) as coming:
            crew = _Crew(self.spec, self.facts, self.devices, {}, coming=coming)
            return self._run(crew, Summary(), listener)

    def _run(self, crew: "_Crew", summary: Summary, listener: Listener) -> Summary:
        count = summary.counting(listener.on_record)
        with sigterm_as_interrupt():
            try:
                crew.work_off(count)
            except KeyboardInterrupt:
                summary.interrupted = True
                crew.stop(count)
            finally:
                crew.stop()
        return summary


@contextlib.contextmanager
def _arriving(arrivals: Callable[[threading.Event], Iterable[Job]]) -> Iterator[Connection]:
    """Yield a connection that brings the jobs of `arrivals`, or the exception that ended them, from a thread of its own.

    A crew can wait for it and for its workers at once.
    """
    ours, theirs = multiprocessing.Pipe(duplex=False)
    stop = threading.Event()

    def bring() -> None:
        with theirs, contextlib.suppress(OSError):  # nobody listens any more
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


class _Crew:
    """Hold the workers, and the jobs that are left. `coming` brings further ones until it ends."""

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

    def work_off(self, count: Callable[[Record], None]) -> None:
        while self.left or self.coming:
            for worker in self.workers:
                self._feed(worker)
            ready = wait([*(worker.pipe for worker in self.workers), *([self.coming] if self.coming else [])])
            with uninterrupted():  # or received messages would be lost
                self._take(ready, count)

    def _take(self, ready: Collection[object], count: Callable[[Record], None]) -> None:
        """Take the job and the messages that are `ready` to be received."""
        if self.coming in ready:
            self._receive(count)
        for worker in [worker for worker in self.workers if worker.pipe in ready]:
            try:
                said = worker.pipe.recv()
            except (EOFError, OSError):
                self._bury(worker, count)
            else:
                self._hear(worker, said, count)

    def _receive(self, count: Callable[[Record], None]) -> None:
        """Take a job that has come, or note that no more will."""
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
        """Let every worker drop the files it has in hand. Records of files that had just ended still count."""
        begun = [worker.hand for worker in self.workers]
        for worker in self.workers:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)
        for worker in self.workers:
            with contextlib.suppress(EOFError, OSError):
                while count and worker.pipe.poll(PATIENCE):
                    self._hear(worker, worker.pipe.recv(), count)
            worker.pipe.close()
            worker.process.join(PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self.workers = []
        for hand in begun:
            for job in hand.values():  # without those that have ended meanwhile
                discard_outputs(job)

    def _start(self, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        spec = replace(self.spec, device=device)
        process = context.Process(target=serve, args=(theirs, spec, self.facts), daemon=True)
        process.start()
        theirs.close()  # or we would not see its end
        self.workers.append(_Worker(process, ours, device))

    def _feed(self, worker: _Worker) -> None:
        while (
            worker.lanes and not worker.careful and len(worker.hand) < worker.lanes and (self.waiting or self.suspects)
        ):
            if not self.waiting and worker.hand:
                return  # a suspect has a worker to itself
            worker.careful = not self.waiting
            number = (self.suspects if worker.careful else self.waiting).popleft()
            worker.hand[number] = self.left[number]
            with contextlib.suppress(OSError):  # it has died, as we shall hear
                worker.pipe.send((number, self.left[number]))

    def _hear(self, worker: _Worker, said: Any, count: Callable[[Record], None]) -> None:
        message, value = said
        if message == "refused":
            raise value
        if message == "ready":
            worker.lanes, self.deaths = value, 0
            return
        number, record = value
        del worker.hand[number], self.left[number]
        worker.careful = False
        count(record)

    def _bury(self, worker: _Worker, count: Callable[[Record], None]) -> None:
        """Do the files of a dead worker again, one at a time. Those on which a worker died before have failed."""
        worker.pipe.close()
        worker.process.join()
        self.workers.remove(worker)
        if not worker.lanes:
            self.deaths += 1
            if self.deaths == MAX_DEATHS:
                raise EnhanceError("the workers die while they load the model", "use fewer --workers, or --workers 1")
        for number, job in worker.hand.items():
            discard_outputs(job)
            if number in self.tried_again:
                del self.left[number]
                reason = f"{job.source}: the worker died twice over this file: look at its memory, and at the file"
                count(record_of(job, {**self.facts, "status": "failed", "reason": reason}))
            else:
                self.tried_again.add(number)
                self.suspects.append(number)
                self.left[number] = replace(job, keeps_existing=False)  # the output may be that of the dead one
        if self.left or self.coming:
            self._start(worker.device)
