"""Embeddings that a run has made so far, in a hidden file beside the one they are for, which a later run reads.

JSON lines: the first says how they were made, the others have an id, what its recording was like (batch.changes.state), its
seconds, and the numbers in base64.
"""

import base64
import contextlib
import json
import os
import threading
from pathlib import Path

import numpy as np

from enhance_cli.batch.atomic import STDOUT, part_path


class KeptRows:
    """The rows for `target`, of threads side by side. Those of a run that made them otherwise than `made_by` says are dropped.

    Nothing is kept for standard output.
    """

    def __init__(self, target: Path, made_by: str):
        self.path = None if target == STDOUT else part_path(target.with_name(f"{target.name}.rows"))
        self.header = {"made_by": made_by}
        self.rows = {line["id"]: line for line in self._read()}
        self._lock, self._file = threading.Lock(), None

    def get(self, name: str, now: tuple[int, int] | None) -> tuple[np.ndarray, float] | None:
        """(row (D,), seconds) of the recording called `name`, unless it has changed since."""
        line = self.rows.get(name)
        if line is None or now is None or tuple(line["state"]) != now:
            return None
        return np.frombuffer(base64.b64decode(line["row"]), np.float32), line["seconds"]

    def add(self, name: str, now: tuple[int, int] | None, row: np.ndarray, seconds: float) -> None:
        """Raises OSError as the file system gives it."""
        if self.path is None or now is None:
            return
        numbers = base64.b64encode(row.astype(np.float32).tobytes()).decode()
        with self._lock:
            if self._file is None:
                self._open()
            self._write({"id": name, "state": now, "seconds": seconds, "row": numbers})

    def discard(self) -> None:
        """The file has done its duty."""
        if self._file is not None:
            self._file.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _read(self) -> list[dict]:
        if self.path is None or not self.path.exists():
            return []
        lines = []
        for line in self.path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):  # a line that a kill has broken
                lines.append(json.loads(line))
        if lines[:1] == [self.header]:
            return lines[1:]
        self.path.unlink()
        return []

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab", buffering=0)  # a line is there as soon as it is written
        if self._file.seek(0, os.SEEK_END):
            self._file.write(b"\n")  # after a line that may be broken
        else:
            self._write(self.header)

    def _write(self, line: dict) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
