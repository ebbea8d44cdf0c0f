"""Count the progress of a batch, and show it on stderr as a bar, as occasional lines, or as lines of JSON."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from enhance_cli.console import say, shows_bars, span, talk


@dataclass(frozen=True)
class ProgressState:
    """Hold the progress of a batch: files, seconds of audio, elapsed and remaining seconds, speed in times real time.

    `reached` is the number of files including fractions of files in progress, and never decreases. Unknown values are
    None, such as the total, the speed and the remaining time while a folder is watched.
    """

    files: int
    files_total: int | None
    skipped: int
    failed: int
    seconds_audio: float
    seconds_passed: float
    seconds_left: float | None
    speed: float | None
    reached: float

    def __str__(self) -> str:
        """Return files, audio, speed and time left as text."""
        noun = "file" if self.files == 1 else "files"
        said = f"{self.files:,} {noun}" if self.files_total is None else f"{self.files:,} of {self.files_total:,} files"
        if self.seconds_audio:
            said += f", {span(self.seconds_audio)} of audio"
        if self.speed is not None:
            said += f", {self.speed:.3g} times as fast as it plays"
        return said if self.seconds_left is None else f"{said}, {span(self.seconds_left)} left"

    @property
    def complete(self) -> bool:
        return self.files_total is not None and self.files >= self.files_total


class Display(Protocol):
    """Show the progress. `start` and `stop` may be called several times, to make room for other output in between."""

    def start(self, state: ProgressState) -> None: ...

    def update(self, state: ProgressState) -> None: ...

    def stop(self) -> None: ...

    def end(self, state: ProgressState) -> None: ...


class Progress:
    """Count the files of a batch. Methods may be called from several threads.

    `total`: number of files, None for a batch without an end (--watch). `skips`: files among them that will be skipped,
    which the estimate of the remaining time leaves out. There is none in the first SETTLED_SECONDS, when a model warms up.
    """

    SETTLED_SECONDS = 3.0

    def __init__(self, total: int | None, display: Display, *, skips: int = 0):
        self.total, self.display = total, display
        self.to_do, self.processed = (total or 0) - skips, 0
        self.finished = self.skipped = self.failed = 0
        self.seconds = 0.0
        self.in_progress: dict[object, tuple[float, float]] = {}  # of each file being read: share, seconds of audio
        self.reached = 0.0
        self.started = time.monotonic()
        self._lock = threading.Lock()

    def __enter__(self) -> "Progress":
        self.started = time.monotonic()
        self.display.start(self._state())
        return self

    def __exit__(self, *_: object) -> None:
        self.display.end(self._state())

    def advance(self, seconds: float | None = None, *, status: str | None = "done") -> None:
        """Count one more finished file. `seconds`: length of its audio."""
        with self._lock:
            self.finished += 1
            self.processed += status != "skipped"
            self.skipped += status == "skipped"
            self.failed += status == "failed"
            self.seconds += seconds or 0.0
            self.display.update(self._state())

    def move(self, key: object, share: float | None, seconds: float = 0.0) -> None:
        """Note that `share` (0 to 1) of the file `key` has been read. None means that its results are complete."""
        with self._lock:
            if share is None:
                self.in_progress.pop(key, None)
                return
            self.in_progress[key] = share, seconds
            self.display.update(self._state())

    @contextlib.contextmanager
    def out_of_the_way(self) -> Iterator[None]:
        """Hide the bar within the block if results go to a terminal, where both would share a line."""
        if not sys.stdout.isatty():
            yield
            return
        self.display.stop()
        yield
        if self.total is None or self.finished < self.total:
            self.display.start(self._state())

    def _state(self) -> ProgressState:
        hand, passed = list(self.in_progress.values()), time.monotonic() - self.started
        begun = sum(share for share, _ in hand)
        most = self.finished + begun if self.total is None else self.total
        self.reached = min(max(self.reached, self.finished + begun), most)
        seconds, worked = self.seconds + sum(seconds for _, seconds in hand), self.processed + begun
        left, settled = self.to_do - worked, passed >= self.SETTLED_SECONDS
        return ProgressState(
            files=self.finished,
            files_total=self.total,
            skipped=self.skipped,
            failed=self.failed,
            seconds_audio=seconds,
            seconds_passed=passed,
            seconds_left=passed * left / worked if settled and worked and left > 0 else None,
            speed=seconds / max(passed, 1e-3) if seconds and self.total is not None else None,
            reached=self.reached,
        )


class NoDisplay:
    """Show nothing."""

    def start(self, state: ProgressState) -> None: ...

    def update(self, state: ProgressState) -> None: ...

    def stop(self) -> None: ...

    def end(self, state: ProgressState) -> None:
        self.stop()


class Bar(NoDisplay):
    """Show a progress bar."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        columns = BarColumn(), TextColumn("{task.description}", markup=False)
        self.bar = RichProgress(*columns, console=talk(), transient=True, redirect_stdout=False)
        self.task: Any = None

    def start(self, state: ProgressState) -> None:
        if self.task is None:
            self.task = self.bar.add_task(str(state), total=state.files_total)
        self.bar.start()

    def update(self, state: ProgressState) -> None:
        self.bar.update(self.task, completed=state.reached, description=str(state))

    def stop(self) -> None:
        self.bar.stop()


class Lines(NoDisplay):
    """Print a line every SECONDS until all files have ended."""

    SECONDS = 30.0

    def __init__(self) -> None:
        self.said = time.monotonic()

    def update(self, state: ProgressState) -> None:
        if not state.complete and time.monotonic() - self.said >= self.SECONDS:
            self.said = time.monotonic()
            say(str(state))


class JsonLines(NoDisplay):
    """Print one JSON object per line: at the start, at most every SECONDS, and at the end, also that of a run cut short.

    While a folder is watched, a line is printed for every finished file.
    """

    SECONDS = 1.0

    def __init__(self) -> None:
        self.said, self.files = 0.0, -1

    def start(self, state: ProgressState) -> None:
        if not self.said:
            self._print(state)

    def update(self, state: ProgressState) -> None:
        ended = state.complete or state.files_total is None and state.files != self.files
        if ended or time.monotonic() - self.said >= self.SECONDS:
            self._print(state)

    def end(self, state: ProgressState) -> None:
        if state.files != self.files:
            self._print(state)

    def _print(self, state: ProgressState) -> None:
        import json

        self.said, self.files = time.monotonic(), state.files
        numbers = {name: value for name, value in vars(state).items() if name != "reached"}
        rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in numbers.items()}
        sys.stderr.write(json.dumps({"event": "progress", **rounded}) + "\n")
        sys.stderr.flush()


def display_for(choice: str, *, quiet: bool) -> Display:
    """Return the display that --progress asks for.

    "auto" is a bar on a terminal, or lines in a file, a pipe and the log of a CI. With `quiet` it is nothing.
    """
    displays: dict[str, Callable[[], Display]] = {"json": JsonLines, "lines": Lines, "none": NoDisplay}
    if choice in displays:
        return displays[choice]()
    if quiet:
        return NoDisplay()
    return Bar() if shows_bars() else Lines()
