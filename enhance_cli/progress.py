"""Count the progress of a batch, and show it on stderr: as a bar, as a line now and then, or as lines of JSON."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from enhance_cli.console import say, shows_bars, span, talk


@dataclass(frozen=True)
class Standing:
    """Hold how far a batch has come: files, seconds of audio, seconds passed and left, times as fast as it plays.

    `reached` counts the parts of files too, and never goes back. Unknown values are None: the total, speed and time left
    of a folder that is watched.
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
    """Show a Standing. `start` and `stop` may be called several times, `stop` also to make way for other output."""

    def start(self, standing: Standing) -> None: ...

    def update(self, standing: Standing) -> None: ...

    def stop(self) -> None: ...


class Progress:
    """Count the files of a batch. Several threads may call it. `skips` of the `total` do not count for the time left.

    A batch whose `total` is None never ends by itself.
    """

    def __init__(self, total: int | None, display: Display, *, skips: int = 0):
        self.total, self.display = total, display
        self.to_do, self.worked = (total or 0) - skips, 0
        self.finished = self.skipped = self.failed = 0
        self.seconds = 0.0
        self.in_hand: dict[object, tuple[float, float]] = {}  # of each file being read: share, seconds of audio
        self.reached = 0.0
        self.started = time.monotonic()
        self._lock = threading.Lock()

    def __enter__(self) -> "Progress":
        self.started = time.monotonic()
        self.display.start(self._standing())
        return self

    def __exit__(self, *_: object) -> None:
        self.display.stop()

    def advance(self, seconds: float | None = None, *, status: str | None = "done") -> None:
        """Count one more file, with so many seconds of audio."""
        with self._lock:
            self.finished += 1
            self.worked += status != "skipped"
            self.skipped += status == "skipped"
            self.failed += status == "failed"
            self.seconds += seconds or 0.0
            self.display.update(self._standing())

    def move(self, key: object, share: float | None, seconds: float = 0.0) -> None:
        """Note that the file `key` has come to `share` of its length, or with None that its results are there."""
        with self._lock:
            if share is None:
                self.in_hand.pop(key, None)
                return
            self.in_hand[key] = share, seconds
            self.display.update(self._standing())

    @contextlib.contextmanager
    def out_of_the_way(self) -> Iterator[None]:
        """Make way for a result on the same terminal, which would share a line with a bar."""
        if not sys.stdout.isatty():
            yield
            return
        self.display.stop()
        yield
        if self.total is None or self.finished < self.total:
            self.display.start(self._standing())

    def _standing(self) -> Standing:
        hand, passed = list(self.in_hand.values()), time.monotonic() - self.started
        begun = sum(share for share, _ in hand)
        most = self.finished + begun if self.total is None else self.total
        self.reached = min(max(self.reached, self.finished + begun), most)
        seconds, worked = self.seconds + sum(seconds for _, seconds in hand), self.worked + begun
        left = self.to_do - worked
        return Standing(
            files=self.finished,
            files_total=self.total,
            skipped=self.skipped,
            failed=self.failed,
            seconds_audio=seconds,
            seconds_passed=passed,
            seconds_left=passed * left / worked if worked and left > 0 else None,
            speed=seconds / max(passed, 1e-3) if seconds and self.total is not None else None,
            reached=self.reached,
        )


class Nothing:
    """Show nothing."""

    def start(self, standing: Standing) -> None: ...

    def update(self, standing: Standing) -> None: ...

    def stop(self) -> None: ...


class Bar(Nothing):
    """Show a bar that moves."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        columns = BarColumn(), TextColumn("{task.description}", markup=False)
        self.bar = RichProgress(*columns, console=talk(), transient=True, redirect_stdout=False)
        self.task: Any = None

    def start(self, standing: Standing) -> None:
        if self.task is None:
            self.task = self.bar.add_task(str(standing), total=standing.files_total)
        self.bar.start()

    def update(self, standing: Standing) -> None:
        self.bar.update(self.task, completed=standing.reached, description=str(standing))

    def stop(self) -> None:
        self.bar.stop()


class Lines(Nothing):
    """Print a line every SECONDS, and none once all files have ended."""

    SECONDS = 30.0

    def __init__(self) -> None:
        self.said = time.monotonic()

    def update(self, standing: Standing) -> None:
        if not standing.complete and time.monotonic() - self.said >= self.SECONDS:
            self.said = time.monotonic()
            say(str(standing))


class JsonLines(Nothing):
    """Print a JSON object on a line of its own at the start, at most every SECONDS, and once all files have ended.

    While a folder is watched, every file that ends has its line.
    """

    SECONDS = 1.0

    def __init__(self) -> None:
        self.said, self.files = 0.0, -1

    def start(self, standing: Standing) -> None:
        if not self.said:
            self._print(standing)

    def update(self, standing: Standing) -> None:
        ended = standing.complete or standing.files_total is None and standing.files != self.files
        if ended or time.monotonic() - self.said >= self.SECONDS:
            self._print(standing)

    def _print(self, standing: Standing) -> None:
        import json

        self.said, self.files = time.monotonic(), standing.files
        numbers = {name: value for name, value in vars(standing).items() if name != "reached"}
        rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in numbers.items()}
        sys.stderr.write(json.dumps({"event": "progress", **rounded}) + "\n")
        sys.stderr.flush()


def display_for(choice: str, *, quiet: bool) -> Display:
    """Return the display that --progress asks for.

    "auto" is a bar on a terminal, or lines in a file, a pipe and the log of a CI. With `quiet` it is nothing.
    """
    displays: dict[str, Callable[[], Display]] = {"json": JsonLines, "lines": Lines, "none": Nothing}
    if choice in displays:
        return displays[choice]()
    if quiet:
        return Nothing()
    return Bar() if shows_bars() else Lines()
