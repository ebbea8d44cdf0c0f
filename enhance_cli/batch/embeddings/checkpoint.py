"""Store the embeddings that a run has made so far in a hidden file beside their target, for the run that continues it.

The file has JSON lines. The first one describes how the embeddings were made. Each of the others has an id, the state of
its recording (safety.changes.state), the length in seconds, and the embedding in base64.
"""

import base64
import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from enhance_cli.atomic import Busy, locked, unfinished_path
from enhance_cli.batch.safety.atomic import STDOUT


class EmbeddingCheckpoint:
    """Store the embeddings for `target` that have been made so far, by several threads.

    `made_by`: describes the network and its settings. Rows of an earlier run with another description are dropped. This
    is a context manager that only one run at a time can enter. The others wait for it, after a call of `on_wait(reason)`,
    or, without `on_wait`, raise Busy. For standard output, nothing is stored.
    """

    def __init__(self, target: Path, made_by: str, *, on_wait: Callable[[str], None] | None = None):
        self.on_wait = on_wait
        self.target, self.header = target, {"made_by": made_by}
        self.path = None if target == STDOUT else unfinished_path(target.with_name(f"{target.name}.rows"))
        self.rows: dict[str, dict] = {}
        self._lock, self._stack = threading.Lock(), contextlib.ExitStack()

    def __enter__(self) -> "EmbeddingCheckpoint":
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_path(self.path)
            lines = self._read(self.path)
            # Unbuffered, so that a line is in the file once it has been written
            self._file = self._stack.enter_context(self.path.open("ab", buffering=0))
            if lines[:1] == [self.header]:
                self.rows = {line["id"]: line for line in lines[1:]}
                self._file.write(b"\n")  # after a line that may be broken
            else:
                self._file.truncate(0)
                self._write(self.header)
        return self

    def _lock_path(self, path: Path) -> None:
        try:
            self._stack.enter_context(locked(path, self.target, wait=False))
        except Busy as busy:
            if self.on_wait is None:
                raise
            self.on_wait(f"{busy.message}: waiting for it")
            self._stack.enter_context(locked(path, self.target, wait=True))

    def __exit__(self, *_: object) -> None:
        if self.path is not None and not self.rows:
            self.delete()
        self._stack.close()

    def get(self, name: str, now: tuple[int, int] | None) -> tuple[np.ndarray, float] | None:
        """Return the row (D,) and the seconds of the recording called `name`, or None if it has changed since."""
        line = self.rows.get(name)
        if line is None or now is None or tuple(line["state"]) != now:
            return None
        return np.frombuffer(base64.b64decode(line["row"]), np.float32), line["seconds"]

    def add(self, name: str, now: tuple[int, int] | None, row: np.ndarray, seconds: float) -> None:
        """Store one row. Raises OSError as the file system gives it."""
        if self.path is None or now is None:
            return
        numbers = base64.b64encode(row.astype(np.float32).tobytes()).decode()
        line = {"id": name, "state": now, "seconds": seconds, "row": numbers}
        with self._lock:
            self._write(line)
            self.rows[name] = line

    def delete(self) -> None:
        """Remove the file, once the output holds all of its rows."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    @staticmethod
    def _read(path: Path) -> list[dict]:
        lines = []
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):  # a line that a kill has broken
                lines.append(json.loads(line))
        return lines

    def _write(self, line: dict) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
