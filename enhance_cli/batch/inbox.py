"""Turn files that arrive in a folder into jobs once they have stopped growing, and set bad files aside.

The folder is polled, which also works on network disks, where changes are not announced. Nothing is remembered between
runs: a file counts as done if its output exists and is newer.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from enhance_cli.atomic import move_aside
from enhance_cli.batch.inputs import SOUND_SUFFIXES, Input, expand
from enhance_cli.batch.job import Job
from enhance_cli.batch.outcome import is_of_output
from enhance_cli.batch.record import Record, printable
from enhance_cli.batch.safety.changes import state
from enhance_cli.batch.storage import StoredFile
from enhance_cli.errors import UsageError

State = tuple[int, int] | None


class Inbox:
    """Watch `folder`. `plan` returns the job for one input, or raises UsageError.

    A file is processed when its size and time have not changed for `settle` seconds, an empty file after ten times that.
    A file that fails is moved to the folder FAILED in `folder`, with the reason beside it. If the output cannot be written,
    which is no fault of the input, it is tried again after RETRY seconds, and each further time after twice as long.
    """

    FAILED = "failed"
    PAUSE = 0.5  # seconds between two polls
    REST = 4.0  # pause after a poll, at least as many times its length: 100,000 files take a core seconds
    RETRY, LONGEST = 30.0, 3600.0

    def __init__(self, folder: Path, plan: Callable[[Input], Job], *, recursive: bool, settle: float):
        self.folder, self.plan, self.recursive, self.settle = folder, plan, recursive, settle
        self._seen: dict[Path, tuple[State, float]] = {}  # and since when it has been in this state
        self._taken: dict[Path, State] = {}
        self._wait_until: dict[Path, float] = {}
        self._waits: dict[Path, float] = {}
        self._source_of: dict[str, Path | StoredFile] = {}  # by output
        self._lock = threading.Lock()

    def arrivals(self, stop: threading.Event) -> Iterator[Job]:
        """Yield a job for each file that is ready, until `stop` is set."""
        while not stop.is_set():
            begin = time.monotonic()
            ready = self._ready()
            pause = max(self.PAUSE, self.REST * (time.monotonic() - begin))
            for item in ready:
                yield self._job(item)
                if stop.is_set():
                    return
            stop.wait(pause)

    def settle_failure(self, record: Record) -> Path | None:
        """Set a failed file aside and return its new path, or return None if it will be tried again.

        It is tried again if it has changed since it was processed, or if its output could not be written.
        """
        source = Path(record.input or "")
        with self._lock:
            if state(source) != self._taken.get(source):
                self._taken.pop(source, None)
                return None
            if is_of_output(record.error):
                self._taken.pop(source)
                wait = self._waits.get(source, self.RETRY)
                self._waits[source] = min(2 * wait, self.LONGEST)
                self._wait_until[source] = time.monotonic() + wait
                return None
        try:
            return move_aside(source, self.folder / self.FAILED, printable(record.reason))
        except OSError:  # the folder is read-only. The file is not processed again unless it changes
            return None

    def _ready(self) -> list[Input]:
        """Return the files that have stopped growing and have not been processed in this state, the oldest first."""
        now, found = time.monotonic(), []
        with self._lock:
            seen, self._seen = self._seen, {}
            for path, item in self._files():
                now_is = state(path)
                known, since = seen.get(path, (None, now))
                since = since if known == now_is else now
                self._seen[path] = now_is, since
                patience = self.settle if now_is and now_is[0] else 10 * self.settle
                waits = now < self._wait_until.get(path, 0.0)
                if now_is and now_is != self._taken.get(path) and now - since >= patience and not waits:
                    found.append((now_is[1], item))
                    self._taken[path] = now_is
        return [item for _, item in sorted(found, key=lambda pair: pair[0])]

    def _files(self) -> list[tuple[Path, Input]]:
        """Return the audio files and videos in the folder, or none if it is missing (a network disk may be offline)."""
        try:
            found = expand([os.path.join(self.folder, "")], recursive=self.recursive, searched=SOUND_SUFFIXES)
        except UsageError:
            return []
        wanted = [item for item in found if not item.problem and item.relative.parts[0] != self.FAILED]
        return [(item.path, item) for item in wanted if isinstance(item.path, Path)]

    def _job(self, item: Input) -> Job:
        """Return the job for a file. If it cannot be planned, or would overwrite another file's output, the job will fail."""
        try:
            job = self.plan(item)
        except UsageError as refusal:
            return Job(item.path, item.relative, item.path, problem=str(refusal))
        for target in job.targets:
            real = os.path.realpath(target)
            other = self._source_of.get(real, item.path)
            if other != item.path and os.path.exists(other):
                reason = f"{other} and {item.path} would both be written to {target}: give one of them another name"
                return replace(job, action="run", problem=reason)
            self._source_of[real] = item.path
        return job
