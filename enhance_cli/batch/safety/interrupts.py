"""Turn Ctrl-C and SIGTERM into KeyboardInterrupt, also between the blocks of a long file."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Turn SIGTERM (kill, the time limit of a batch scheduler) into KeyboardInterrupt within the block."""
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


def interruptible(stop: threading.Event, transform: Callable) -> Callable:
    """Return `transform` (batch.files.Transform), extended to raise KeyboardInterrupt between two blocks once `stop` is set."""

    def stopping(blocks: Iterable, *facts: Any) -> Iterator:
        for block in transform(blocks, *facts):
            if stop.is_set():
                raise KeyboardInterrupt
            yield block

    return stopping
