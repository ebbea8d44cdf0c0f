"""Process the files in threads of this process. A bad file does not stop the others, and every failure is recorded.

Several files can be processed at the same time, in threads called lanes, so that reading, computing and writing overlap.
Every file ends in one `Record`, which is passed to a callback immediately.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from enhance_cli.batch import heap
from enhance_cli.batch.backends.backend import Listener, where_of, with_progress
from enhance_cli.batch.job import Job
from enhance_cli.batch.outcome import JobFunction, Summary, run_job
from enhance_cli.batch.record import Record
from enhance_cli.batch.safety.interrupts import interruptible, sigterm_as_interrupt
from enhance_cli.batch.worker import WorkerSpec


def run(
    jobs: Iterable[Job],
    function: JobFunction,
    base: Mapping[str, Any],
    on_record: Callable[[Record], None],
    *,
    lanes: int = 1,
    stop: threading.Event | None = None,
) -> Summary:
    """Call `function` on each job, `lanes` jobs at a time. Its result and `base` are the fields of the job's record.

    `on_record` is called in this thread, in the order in which files end. Its exceptions end the run. Ctrl-C and SIGTERM
    end the run after `function` has cleaned up: with several lanes, `function` must raise KeyboardInterrupt once `stop` is
    set. Files in progress get no record then, since they are neither done nor failed.
    """
    summary = Summary()
    count = summary.counting(on_record)
    with sigterm_as_interrupt():
        try:
            if lanes == 1:
                for job in jobs:
                    count(run_job(job, function, base))
            else:
                do = lambda job: run_job(job, function, base)
                _Lanes(jobs, do, lanes, stop or threading.Event()).run(count)
        except KeyboardInterrupt:
            summary.interrupted = True
    return summary


def run_skips(jobs: Iterable[Job], base: Mapping[str, Any], on_record: Callable[[Record], None]) -> Summary:
    """Record the jobs that are skipped. For the arguments see `run`."""

    def nothing(job: Job) -> Mapping[str, Any]:
        raise AssertionError(f"{job.source} was to be skipped")

    return run([job for job in jobs if job.action == "skip"], nothing, base, on_record)


class Threads:
    """Process files in this process with one model, several files at a time to keep it busy."""

    def __init__(self, spec: WorkerSpec, facts: Mapping[str, Any]):
        self.spec = spec
        self.worker, found = spec.load_worker()
        heap.release()
        self.facts = {**facts, **found}
        self.where = where_of(found)

    def run(self, jobs: Sequence[Job], listener: Listener) -> Summary:
        return self._run(jobs, listener, min(self.worker.lanes, len(jobs)), threading.Event())

    def run_arriving(self, arrivals: Callable[[threading.Event], Iterable[Job]], listener: Listener) -> Summary:
        """Do the jobs that `arrivals(stop)` yields until the event `stop` is set."""
        stop = threading.Event()
        return self._run(arrivals(stop), listener, self.worker.lanes, stop)

    def _run(self, jobs: Iterable[Job], listener: Listener, lanes: int, stop: threading.Event) -> Summary:
        watch = lambda transform: with_progress(interruptible(stop, transform), listener.on_progress)
        function = self.spec.job_function(self.worker, watch)
        return run(jobs, function, self.facts, listener.on_record, lanes=lanes, stop=stop)


@dataclass(frozen=True)
class SkipsOnly:
    """Record a batch in which every job is skipped. It needs no model."""

    facts: Mapping[str, Any]
    where: str = ""

    def run(self, jobs: Sequence[Job], listener: Listener) -> Summary:
        return run_skips(jobs, self.facts, listener.on_record)


class _Lanes:
    """Do jobs in several threads, each of which takes the next job when it has finished one."""

    def __init__(self, jobs: Iterable[Job], record_of: Callable[[Job], Record], lanes: int, stop: threading.Event):
        self.waiting, self.record_of, self.running, self.stop = iter(jobs), record_of, lanes, stop
        self.lock = threading.Lock()  # of `waiting`
        self.ended: queue.SimpleQueue[Record | BaseException | None] = queue.SimpleQueue()  # None: a thread has ended
        self.threads = [threading.Thread(target=self._lane, name=f"lane {n}", daemon=True) for n in range(lanes)]

    def run(self, count: Callable[[Record], None]) -> None:
        """Do the jobs, and call `count` for each record in this thread.

        When this returns or raises, all threads have ended. After Ctrl-C their records have been counted as well.
        """
        for thread in self.threads:
            thread.start()
        try:
            while self.running:
                self._receive(count)
        except KeyboardInterrupt:
            self.stop.set()
            while self.running:
                self._receive(count)
            raise
        except BaseException:
            self.stop.set()
            for thread in self.threads:
                thread.join()
            raise

    def _lane(self) -> None:
        try:
            while not self.stop.is_set():
                with self.lock:
                    job = next(self.waiting, None)
                if job is None:
                    break
                self.ended.put(self.record_of(job))
        except KeyboardInterrupt:
            pass
        except BaseException as error:  # noqa: BLE001 - raised in the main thread instead
            self.ended.put(error)
        finally:
            self.ended.put(None)

    def _receive(self, count: Callable[[Record], None]) -> None:
        with contextlib.suppress(queue.Empty):  # on Windows nothing interrupts a wait without an end
            item = self.ended.get(timeout=0.5)
            if item is None:
                self.running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                count(item)
