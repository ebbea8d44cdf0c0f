"""Run a module of this package that uses FFmpeg in a separate process. process.py is the other side of it."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys


class Child:
    """Run `main()` of a module of this package in a process, which ends when its standard input is closed."""

    def __init__(self, module: str) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"from {module} import main; main()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self._input, self._output = self.process.stdin, self.process.stdout

    def ask(self, request: dict) -> None:
        """Send a request. Raises OSError if the process has ended."""
        self.send(json.dumps(request).encode() + b"\n")

    def send(self, data: bytes) -> None:
        """Write to its standard input. Raises OSError if the process has ended."""
        self._input.write(data)
        self._input.flush()

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return type and content of the next message, or None if the process has died."""
        head = self._output.read(5)
        if len(head) < 5:
            return None
        kind, length = struct.unpack("<cI", head)
        data = self._output.read(length)
        return (kind, data) if len(data) == length else None

    def end(self) -> int:
        """Kill the process and return its exit code."""
        with contextlib.suppress(OSError):
            self._input.close()
        self.process.kill()
        self._output.close()
        return self.process.wait()
