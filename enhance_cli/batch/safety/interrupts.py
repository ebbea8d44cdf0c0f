"""Turn Ctrl-C, SIGTERM and SIGHUP into KeyboardInterrupt, also between the blocks of a long file."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

INTERRUPTS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a run. Windows has no SIGHUP, which a terminal sends when it is closed."""


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


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back KeyboardInterrupt by Ctrl-C, SIGTERM and SIGHUP until the end of the block, so that it is done wholly.

    A second signal raises it at once, since the block may wait for somebody who does not read standard output.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []

    def hold(number: int, _frame: object) -> None:
        if held:
            raise KeyboardInterrupt
        held.append(number)

    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    before = {number: handler for number, handler in before.items() if callable(handler)}  # not those that are ignored
    for number in before:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        raise KeyboardInterrupt


def interruptible(stop: threading.Event, transform: Callable) -> Callable:
    """Return `transform` (batch.files.Transform), extended to raise KeyboardInterrupt between two blocks once `stop` is set."""

    def stopping(blocks: Iterable, *facts: Any) -> Iterator:
        for block in transform(blocks, *facts):
            if stop.is_set():
                raise KeyboardInterrupt
            yield block

    return stopping
