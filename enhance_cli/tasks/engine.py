"""Compute windows of many files on one device. Callers submit windows and receive the results in order.

Windows of all files wait in one queue. On a GPU, two threads take turns at batches of windows of one shape, so that one batch
is transferred while the other is computed. Windows are padded with silence to a few lengths, so that those of short files can
share a batch. On a CPU, each of several threads takes one window, and torch computes it with a single thread. So a result is
bit-identical, whatever the number of threads and whatever windows are computed beside it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from enhance_cli.errors import EnhanceError
from enhance_cli.models.device import (
    MAX_PARAMETERS_FOR_PARALLEL_WINDOWS,
    is_out_of_memory,
    release_memory,
    set_threads,
    threads_to_use,
)
from enhance_cli.tasks.windows import Window

MAX_SPARE_LANES = 15  # files that are read or written while the device computes


@runtime_checkable
class GraphModel(Protocol):
    """Describe a model that runs on ONNX Runtime, in sessions that have the threads of a single window."""

    @property
    def device(self) -> Any: ...
    def windows_at_once(self, threads: int | None) -> int: ...


class TorchModel(Protocol):
    """Describe a model that runs on torch."""

    @property
    def device(self) -> Any: ...
    @property
    def network(self) -> Any: ...


@dataclass(frozen=True)
class Order:
    """Hold a window to compute. `given`: facts about its file that the task's `run` needs."""

    window: Window
    given: Any


class Engine:
    """Run a function on windows, in threads of its own. `lanes`: number of files at a time that keep it busy."""

    def __init__(
        self,
        run: Callable[[list[Order]], list[np.ndarray]] | None,
        threads: int = 1,
        together: int = 1,
        torch_threads: int | None = None,
        longest: int = 0,
    ):
        """Start the threads.

        Args:
            run: takes orders whose windows have one shape, and returns their results. None for an engine that is only
                used through `call`.
            threads: number of threads.
            together: largest size of a batch, in windows times their channels.
            torch_threads: CPU threads that torch may use in each of them, None for torch's own number.
            longest: samples of a whole window. Shorter ones are padded (see `pad_window`).
        """
        self._run, self._together, self._ahead, self._longest = run, together, threads * together, longest
        spare = max(together, 2, threads // 4)  # files that are read or written meanwhile, or fill up a batch
        self.lanes = threads + min(spare, MAX_SPARE_LANES)
        self._waiting: deque[tuple[Order, Future]] = deque()
        self._lock = threading.Lock()
        setting: Any = {} if torch_threads is None else {"initializer": set_threads, "initargs": (torch_threads,)}
        self._threads = ThreadPoolExecutor(threads, "windows", **setting)

    def map(self, orders: Iterable[Order]) -> Iterator[tuple[Window, np.ndarray]]:
        """Yield every window with its result, in order. Orders are taken ahead, as many as keep the engine busy.

        Raises the exceptions of `run`. May be called from several threads at once.
        """
        asked: deque[tuple[Window, Future]] = deque()
        try:
            for order in orders:
                future: Future = Future()
                with self._lock:
                    self._waiting.append((pad_window(order, self._longest), future))
                asked.append((order.window, future))
                self._threads.submit(self._serve)
                if len(asked) > self._ahead:
                    yield _unpad(*asked.popleft())
            while asked:
                yield _unpad(*asked.popleft())
        finally:
            for _, future in asked:
                future.cancel()

    def submit(self, function: Callable, *arguments: Any) -> Future:
        """Return the future result of `function` for the arguments, computed in one of the engine's threads."""
        return self._threads.submit(function, *arguments)

    def call(self, function: Callable, *arguments: Any) -> Any:
        """Return the result of `function` for the arguments, computed in one of the engine's threads."""
        return self.submit(function, *arguments).result()

    def _serve(self) -> None:
        """Compute the oldest waiting window and all others of the same shape, up to the batch size.

        One call is submitted per window, so a call may find the queue empty.
        """
        taken = self._take()
        for future, result in zip((future for _, future in taken), self._results([order for order, _ in taken])):
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _take(self) -> list[tuple[Order, Future]]:
        taken: list[tuple[Order, Future]] = []
        left: deque[tuple[Order, Future]] = deque()
        shape: tuple[int, ...] = ()
        with self._lock:
            while self._waiting and (not taken or (len(taken) + 1) * shape[0] <= self._together):
                order, future = self._waiting.popleft()
                if shape not in ((), order.window.audio.shape):
                    left.append((order, future))
                elif future.set_running_or_notify_cancel():
                    taken.append((order, future))
                    shape = order.window.audio.shape
            self._waiting.extendleft(reversed(left))
        return taken

    def _results(self, orders: list[Order]) -> list[np.ndarray | BaseException]:
        """Return the results.

        If several fail together they are tried one by one, so that no file fails because of another.
        """
        if not orders:
            return []
        try:
            assert self._run is not None
            return [*self._run(orders)]
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            fits = len(orders) // 2 if is_out_of_memory(error) else None
            if fits is None and len(orders) == 1:
                return [error]
        # The traceback of the error, which kept the data of these orders on the GPU, is gone by now.
        if fits is None:
            return [result for order in orders for result in self._results([order])]
        release_memory()
        if not fits:
            return [EnhanceError("not enough GPU memory for one window", "use --device cpu")]
        self._together = min(self._together, fits * orders[0].window.audio.shape[0])  # from now on
        return self._results(orders[:fits]) + self._results(orders[fits:])


def pad_window(order: Order, longest: int) -> Order:
    """Return the order with its window padded with silence to one of eight lengths an octave, or to `longest`.

    The padded length depends on the window's own length only, and so does the result.
    """
    samples = order.window.audio.shape[1]
    if samples >= longest:
        return order
    step = max(1, 2 ** (samples.bit_length() - 1) // 8)
    missing = min(-(-samples // step) * step, longest) - samples
    return replace(order, window=replace(order.window, audio=np.pad(order.window.audio, ((0, 0), (0, missing)))))


def _unpad(window: Window, future: Future) -> tuple[Window, np.ndarray]:
    return window, future.result()[:, : window.audio.shape[1]]


def engine_for(
    model: TorchModel | GraphModel,
    run: Callable[[list[Order]], list[np.ndarray]] | None,
    batch_size: int,
    longest: int,
    threads: int | None = None,
) -> Engine:
    """Return the engine that suits the model and its device. `threads`: CPU threads, None for torch's own number.

    `batch_size` and `longest` (samples of a whole window) are for GPUs. On a CPU windows of a small network run side by
    side, one thread each. A large one, which is slow even for a single window, has all threads for one window at a
    time.
    """
    if model.device.type != "cpu":
        return Engine(run, threads=2, together=batch_size, longest=longest)
    if isinstance(model, GraphModel):
        return Engine(run, model.windows_at_once(threads))
    count = threads_to_use(threads)
    light = sum(p.numel() for p in model.network.parameters()) <= MAX_PARAMETERS_FOR_PARALLEL_WINDOWS
    return Engine(run, count, torch_threads=1) if light else Engine(run, 1, torch_threads=count)
