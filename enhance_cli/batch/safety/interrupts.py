"""Raise KeyboardInterrupt for Ctrl-C, SIGTERM and SIGHUP, also between the blocks of a long file."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

INTERRUPTS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a run. A terminal sends SIGHUP when it is closed, which does not exist on Windows."""


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM (sent by kill or a batch scheduler) within the block."""
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
    """Delay the KeyboardInterrupt of Ctrl-C, SIGTERM and SIGHUP to the end of the block, so that the block is completed.

    A second signal raises it immediately, since the block may hang if nobody reads standard output.
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
    """Return a batch.files.Transform that raises KeyboardInterrupt between two blocks once `stop` is set."""

    def stopping(blocks: Iterable, *facts: Any) -> Iterator:
        for block in transform(blocks, *facts):
            if stop.is_set():
                raise KeyboardInterrupt
            yield block

    return stopping
