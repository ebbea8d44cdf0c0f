"""The loop over the files: one bad file never stops the rest, and no failure goes unseen.

Each file ends in one `Record`, handed to a callback at once; the summary knows the exit code.
"""

import contextlib
import errno
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from enhance_cli.batch.atomic import STDOUT
from enhance_cli.batch.outputs import Job
from enhance_cli.batch.record import Record
from enhance_cli.errors import EnhanceError

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass
class Summary:
    """How many files ended how."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """130 interrupted, 1 some file failed, 0 all done; a skipped file counts as done."""
        return 130 if self.interrupted else int(self.failed > 0)


def run(
    jobs: Iterable[Job],
    work: Callable[[Job], Mapping[str, Any]],
    base: Mapping[str, Any],
    on_record: Callable[[Record], None],
) -> Summary:
    """Do `work` on each job; what it returns, over `base`, fills the fields of that job's record.

    Whatever `work` raises makes a failed record. Ctrl-C and SIGTERM end the loop after `work` has cleaned up;
    the file in hand gets no record, since it is neither done nor failed. What `on_record` raises
    ends the run.
    """
    summary = Summary()
    try:
        with _sigterm_as_interrupt():
            for job in jobs:
                record = _run_one(job, work, base)
                setattr(summary, record.status, getattr(summary, record.status) + 1)
                on_record(record)
    except KeyboardInterrupt:
        summary.interrupted = True
    return summary


def _run_one(job: Job, work: Callable[[Job], Mapping[str, Any]], base: Mapping[str, Any]) -> Record:
    record = Record(**{**base, "input": str(job.source)})
    if job.parts:
        record.outputs = {name: str(place) for name, place in job.parts}
    else:
        record.output = str(job.target)
    if job.action == "skip":
        record.status, record.reason = "skipped", job.reason
        return record
    started = time.perf_counter()
    try:
        for name, value in work(job).items():
            setattr(record, name, value)
        record.status = "done"
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the other files
        record.status, record.reason, record.error = "failed", explain(error, job), error
    record.seconds_work = round(time.perf_counter() - started, 3)
    return record


def explain(error: Exception, job: Job) -> str:
    """One line for the user: what happened, to which file, and what to do."""
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
def _sigterm_as_interrupt() -> Iterator[None]:
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
