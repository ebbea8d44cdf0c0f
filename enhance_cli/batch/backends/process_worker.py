"""Run a worker process of this machine: it loads the model, and does the jobs that processes.py sends."""

import contextlib
import queue
import signal
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from enhance_cli.batch.job import Job
from enhance_cli.batch.outcome import run_job, sendable
from enhance_cli.batch.safety.interrupts import INTERRUPTS, interruptible
from enhance_cli.batch.worker import WorkerSpec
from enhance_cli.errors import EnhanceError


def serve(pipe: Connection, spec: WorkerSpec, facts: Mapping[str, Any]) -> None:
    """Load the model, then do the jobs that arrive through `pipe`, until None arrives or the pipe is closed.

    Ctrl-C reaches all processes of a terminal. Workers ignore it, since the parent process tells them when to end.
    """
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    try:
        worker, found = spec.load_worker()
    except EnhanceError as error:
        pipe.send(("refused", error))
        return
    stop, inbox, lock = threading.Event(), queue.SimpleQueue[tuple[int, Job] | None](), threading.Lock()
    function = spec.job_function(worker, lambda transform: interruptible(stop, transform))
    lanes, facts = worker.lanes, {**facts, **found}

    def lane() -> None:
        while (item := inbox.get()) is not None and not stop.is_set():
            number, job = item
            try:
                record = run_job(job, function, facts)
            except KeyboardInterrupt:
                return
            with lock, contextlib.suppress(OSError):
                pipe.send(("ended", (number, sendable(record))))

    try:
        pipe.send(("ready", lanes))
    except OSError:  # the parent process has been killed
        return
    pool = [threading.Thread(target=lane) for _ in range(lanes)]
    for thread in pool:
        thread.start()
    with contextlib.suppress(EOFError, OSError):
        while (item := pipe.recv()) is not None:
            inbox.put(item)
    stop.set()
    for _ in pool:
        inbox.put(None)
    for thread in pool:
        thread.join()
