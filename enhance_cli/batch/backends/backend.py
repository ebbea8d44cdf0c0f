"""Define the interface of all back ends, which process the jobs of a batch: in threads, in processes, or on a cluster."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from enhance_cli.audio.levels.level import Meter
from enhance_cli.batch.files import Blocks, Transform
from enhance_cli.batch.job import Job
from enhance_cli.batch.outcome import Summary
from enhance_cli.batch.record import Record
from enhance_cli.batch.worker import WorkerSpec


@dataclass(frozen=True)
class Listener:
    """Hold the callbacks of a run. An exception in one of them ends the run.

    `on_record(record)` is called in the main thread when a file has ended. `on_embedded(record)` is called when a file
    has been read whose output will be written later. `on_progress(key, share, seconds)` is called in the thread that
    reads a file, with a key for that file, the share of it that has been read, and the length of that share in seconds.
    When the whole file has been transformed, `share` is None. `on_wait(reason)` is called before the run waits for another.
    """

    on_record: Callable[[Record], None]
    on_embedded: Callable[[Record], None] = lambda record: None
    on_progress: Callable[[object, float | None, float], None] = lambda key, share, seconds: None
    on_wait: Callable[[str], None] = lambda reason: None


class Backend(Protocol):
    """Do jobs: in threads, in processes, on a Ray cluster, or into one file of embeddings.

    `facts`: fields that all records share. `where`: describes the device or the machines for the user. `run` returns when
    all jobs have ended, or after Ctrl-C, and leaves no unfinished files behind.
    """

    @property
    def facts(self) -> Mapping[str, Any]: ...
    @property
    def where(self) -> str: ...
    def run(self, jobs: Sequence[Job], listener: Listener) -> Summary: ...


def with_progress(transform: Transform, on_progress: Callable[[object, float | None, float], None]) -> Transform:
    """Return a transform that also reports how much of the file has been read (see Listener)."""

    def reporting(blocks: Blocks, rate: int, channels: int, level: Meter) -> Blocks:
        key = object()

        def counted() -> Blocks:
            samples = 0
            for block in blocks:
                yield block
                samples += block.shape[1]
                on_progress(key, samples / level.frames, samples / rate)

        try:
            yield from transform(counted(), rate, channels, level)
        finally:  # when the last result has been consumed, which may be long after the whole file has been read
            on_progress(key, None, 0.0)

    return reporting


def where_of(facts: Mapping[str, Any]) -> str:
    """Return "on DEVICE in PRECISION" for a worker in this process, and the runtime if it is not torch."""
    by = ", ONNX Runtime" if facts.get("runtime") == "onnx" else ""
    return f"on {facts['device']} in {facts['precision']}{by}"


def facts_of(spec: WorkerSpec) -> dict[str, Any]:
    """Return the fields that all records share if workers in other processes do the jobs, each on its own device.

    Workers load the model themselves. It is also loaded here, on the CPU, so that wrong settings are refused before any
    worker starts.
    """
    _, facts = spec.on(device="cpu", precision="auto", threads=1).load_worker()
    return {name: fact for name, fact in facts.items() if name not in ("device", "precision", "runtime")}
