"""The loop over the files: one bad file never stops the rest, and no failure goes unseen.

Each file ends in one `Record`, handed to a callback at once; the summary knows the exit code. Files may be worked on side by
side, in threads called lanes, so that reading, computing and writing overlap.
"""

import contextlib
import errno
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from enhance_cli.batch.outputs import Job
from enhance_cli.batch.record import Record
from enhance_cli.batch.safety.atomic import STDOUT, discard_unfinished
from enhance_cli.errors import EnhanceError, NothingToDo, UsageError

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass
class Summary:
    """How many files ended how; `flawed` ones are done, but for a part that was left as it was."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    flawed: int = 0
    interrupted: bool = False

    def counting(self, on_record: Callable[[Record], None]) -> Callable[[Record], None]:
        """`on_record`, before which every record is counted here."""

        def count(record: Record) -> None:
            setattr(self, record.status, getattr(self, record.status) + 1)
            self.flawed += bool(record.unusable)
            on_record(record)

        return count

    @property
    def exit_code(self) -> int:
        """130 interrupted, 1 some file failed or is flawed, 0 all done; a skipped file counts as done."""
        return 130 if self.interrupted else int(self.failed + self.flawed > 0)


def run(
    jobs: Iterable[Job],
    work: Callable[[Job], Mapping[str, Any]],
    base: Mapping[str, Any],
    on_record: Callable[[Record], None],
    lanes: int = 1,
    stop: threading.Event | None = None,
) -> Summary:
    """Do `work` on each job, `lanes` jobs at a time; what it returns, over `base`, fills the fields of that job's record.

    Whatever `work` raises makes a failed record. `on_record` gets them here, in the order in which files end; what it raises
    ends the run. Ctrl-C and SIGTERM end the run after `work` has cleaned up: with several lanes `work` raises
    KeyboardInterrupt when it sees that `stop` is set. A file then in hand gets no record, since it is neither done nor failed.
    """
    summary = Summary()
    count = summary.counting(on_record)
    with sigterm_as_interrupt():
        try:
            if lanes == 1:
                for job in jobs:
                    count(run_one(job, work, base))
            else:
                _run_in_lanes(jobs, lambda job: run_one(job, work, base), count, lanes, stop or threading.Event())
        except KeyboardInterrupt:
            summary.interrupted = True
    return summary


def run_skips(jobs: Iterable[Job], base: Mapping[str, Any], on_record: Callable[[Record], None]) -> Summary:
    """As `run`, for those of the jobs that have nothing to be done."""

    def nothing(job: Job) -> Mapping[str, Any]:
        raise AssertionError(f"{job.source} was to be skipped")

    return run([job for job in jobs if job.action == "skip"], nothing, base, on_record)


def _run_in_lanes(
    jobs: Iterable[Job],
    one: Callable[[Job], Record],
    count: Callable[[Record], None],
    lanes: int,
    stop: threading.Event,
) -> None:
    """Threads that take the next job as soon as they have ended one. All have ended, and their records have been counted,
    when this returns or raises."""
    waiting, lock = iter(jobs), threading.Lock()
    ended: queue.SimpleQueue[Record | BaseException | None] = queue.SimpleQueue()

    def lane() -> None:
        try:
            while not stop.is_set():
                with lock:
                    job = next(waiting, None)
                if job is None:
                    break
                ended.put(one(job))
        except KeyboardInterrupt:
            pass
        except BaseException as error:  # noqa: BLE001 - raised in the main thread instead
            ended.put(error)
        finally:
            ended.put(None)

    threads = [threading.Thread(target=lane, name=f"lane {n}", daemon=True) for n in range(lanes)]
    for thread in threads:
        thread.start()
    running = lanes

    def next_ended() -> None:
        nonlocal running
        with contextlib.suppress(queue.Empty):  # on Windows nothing interrupts a wait without an end
            item = ended.get(timeout=0.5)
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                count(item)

    try:
        while running:
            next_ended()
    except KeyboardInterrupt:
        stop.set()
        while running:
            next_ended()
        raise
    except BaseException:
        stop.set()
        for thread in threads:
            thread.join()
        raise


def until(stop: threading.Event, process: Callable) -> Callable:
    """`process` (batch.files.Process), which is interrupted between two blocks once `stop` is set."""

    def stopping(blocks: Iterable, *facts: Any) -> Iterator:
        for block in process(blocks, *facts):
            if stop.is_set():
                raise KeyboardInterrupt
            yield block

    return stopping


def record_of(job: Job, fields: Mapping[str, Any]) -> Record:
    """A record with these fields, and the names of the job's files."""
    if job.parts:
        names = {"outputs": {name: str(place) for name, place in job.parts}}
    else:
        names = {"output": str(job.target)}
    return Record(
        **{**fields, "input": str(job.source), "relative": job.relative.as_posix(), "track": job.track, **names}
    )


def run_one(job: Job, work: Callable[[Job], Mapping[str, Any]], base: Mapping[str, Any]) -> Record:
    """What became of the job, whatever `work` raised; only KeyboardInterrupt and the like get through."""
    record = record_of(job, base)
    if job.action == "skip":
        record.status, record.reason = "skipped", job.reason
        return record
    started = time.perf_counter()
    try:
        for name, value in work(job).items():
            setattr(record, name, value)
        record.status = "done"
    except NothingToDo as reason:
        record.status, record.reason = "skipped", str(reason)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the other files
        record.status, record.reason, record.error = "failed", explain(error, job), error
    record.seconds_work = round(time.perf_counter() - started, 3)
    record.ended = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return record


class RemoteError(Exception):
    """The traceback of an error in another process, as text."""


def sendable(record: Record) -> Record:
    """The record with an error that can be sent to another process, as some cannot."""
    if record.error is not None:
        record.error = RemoteError("".join(traceback.format_exception(record.error)).rstrip())
    return record


def discard(job: Job) -> None:
    """Remove what a process that was killed has left of the job's outputs."""
    for target in job.targets:
        if isinstance(target, Path):
            discard_unfinished(target)


def explain(error: Exception, job: Job) -> str:
    """One line for the user: what happened, to which file, and what to do."""
    if isinstance(error, UsageError):  # about what was asked for, which does not fit this file
        return f"{job.source}: {error}"
    if isinstance(error, EnhanceError):
        return str(error)
    if isinstance(error, BrokenPipeError) and job.target == STDOUT:
        return "standard output: its reader has gone: look at the command behind the pipe"
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        target = "standard output" if job.target == STDOUT else job.target
        return f"{target}: there is no room for this file: free some space or choose another place with -o"
    if isinstance(error, OSError):
        return f"{error.filename or job.source}: {error.strerror or error}: check the name and its permissions"
    if isinstance(error, MemoryError):
        return f"{job.source}: out of memory: close other programs or use a smaller --batch-size"
    details = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{job.source}: unexpected {details}: please report this, with what --verbose prints"


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM (kill, a batch scheduler's time limit) clean up as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
