"""Run a job and record how it ended, and count the records of a batch."""

import errno
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from enhance_cli.atomic import Busy
from enhance_cli.batch.claims import refuse_made_meanwhile
from enhance_cli.batch.job import Job
from enhance_cli.batch.record import Record
from enhance_cli.batch.safety.atomic import STDOUT, discard_unfinished
from enhance_cli.batch.safety.interrupts import uninterrupted
from enhance_cli.errors import EnhanceError, ExitCode, NothingToDo, OutputError, UsageError, one_line, reader_has_gone

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

JobFunction = Callable[[Job], Mapping[str, Any]]
"""Takes a job and returns fields of its Record. If it raises an exception, the job has failed."""


@dataclass
class Summary:
    """Count the outcomes of files. `flawed` files are done, but a part of them could not be repaired."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    flawed: int = 0
    interrupted: bool = False

    def counting(self, on_record: Callable[[Record], None]) -> Callable[[Record], None]:
        """Return a function that counts a record here and then calls `on_record`, without being interrupted in between."""

        def count(record: Record) -> None:
            with uninterrupted():
                status = str(record.status)
                setattr(self, status, getattr(self, status) + 1)
                self.flawed += bool(record.unusable)
                on_record(record)

        return count

    @property
    def exit_code(self) -> ExitCode:
        """Return the exit code of the command. A skipped file counts as done, a flawed one as failed."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.SOME_FAILED if self.failed + self.flawed else ExitCode.DONE


def record_of(job: Job, fields: Mapping[str, Any]) -> Record:
    """Return a record with these fields and the names of the job's files."""
    names: dict[str, Any] = {"input": str(job.source), "relative": job.relative.as_posix()}
    if job.parts:
        names |= {"outputs": {name: str(target) for name, target in job.parts}}
    else:
        names |= {"output": str(job.target)}
    names |= {"track": job.track or fields.get("track")}
    return Record(**{**fields, **names})


def run_job(job: Job, function: JobFunction, base: Mapping[str, Any]) -> Record:
    """Call `function` on the job and return its record, with the fields in `base` and those that `function` returned.

    If `function` raises an exception, the record says that the job failed. KeyboardInterrupt is not caught. Raises
    AttributeError for a field that a Record does not have.
    """
    record = record_of(job, base)
    if job.action == "skip":
        record.status, record.reason = "skipped", job.reason
        return record
    started = time.perf_counter()
    fields: Mapping[str, Any] = {}
    try:
        refuse_made_meanwhile(job)
        fields = function(job)
        record.status = "done"
    except NothingToDo as reason:
        record.status, record.reason = "skipped", str(reason)
    except Exception as error:  # noqa: BLE001 - no error may stop the other files
        if job.keeps_existing and isinstance(error, Busy):
            record.status, record.reason = "skipped", "another run is writing the output"
        else:
            record.status, record.reason, record.error = "failed", explain(error, job), error
    record.update(fields)
    record.seconds_work = round(time.perf_counter() - started, 3)
    record.ended = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return record


class RemoteError(Exception):
    """Hold the traceback of an error in another process as text, and whether it was `of_output` (see is_of_output)."""

    of_output = False


def is_of_output(error: BaseException | None) -> bool:
    """Return whether an error was caused by the disk, the output folder or the memory, and not by the input."""
    if isinstance(error, RemoteError):
        return error.of_output
    return isinstance(error, (OutputError, OSError, MemoryError))


def sendable(record: Record) -> Record:
    """Return the record with its error as text, since some exceptions cannot be pickled."""
    if record.error is not None:
        error = RemoteError("".join(traceback.format_exception(record.error)).rstrip())
        error.of_output, record.error = is_of_output(record.error), error
    return record


def discard_outputs(job: Job) -> None:
    """Remove the unfinished outputs that a killed process left of the job."""
    for target in job.targets:
        if isinstance(target, Path):
            discard_unfinished(target)


def explain(error: Exception, job: Job) -> str:
    """Return one line for the user that names the file, the reason and the remedy."""
    if isinstance(error, UsageError):  # a flag that is wrong for this file
        return f"{job.source}: {error}"
    if isinstance(error, EnhanceError):
        return str(error)
    if job.target == STDOUT and reader_has_gone(error):
        return "standard output: its reader has gone: look at the command behind the pipe"
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        target = "standard output" if job.target == STDOUT else job.target
        return f"{target}: there is no room for this file: free some space or choose another place with -o"
    if isinstance(error, OSError):
        return f"{error.filename or job.source}: {error.strerror or error}: check the name and its permissions"
    if isinstance(error, MemoryError):
        return f"{job.source}: out of memory: close other programs or use a smaller --batch-size"
    details = f"{type(error).__name__}: {one_line(error)}"
    return f"{job.source}: unexpected {details}: please report this, with the output of --verbose"
