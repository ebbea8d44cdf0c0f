"""Define the form that all back ends share.

They are given the common fields of the records and the device, and process the jobs of a batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from enhance_cli.audio.levels.level import Meter
from enhance_cli.batch.files import Blocks, Transform
from enhance_cli.batch.job import Job
from enhance_cli.batch.outcome import Summary
from enhance_cli.batch.record import Record
from enhance_cli.batch.worker import WorkerSpec


@dataclass(frozen=True)
class Listener:
    """Hold the callbacks of a run. An exception that they raise ends it.

    `on_record` receives each record as its file ends, in the main thread. `on_embedded` receives a record whose file
    has been read but whose output is written later. `on_progress` receives a key for each file in progress, the share
    of it that has been read (None when all of it has been transformed) and the seconds, in the thread that reads it.
    """

    on_record: Callable[[Record], None]
    on_embedded: Callable[[Record], None] = lambda record: None
    on_progress: Callable[[object, float | None, float], None] = lambda key, share, seconds: None


class Backend(Protocol):
    """Do jobs: in threads, in processes, on a Ray cluster, or into one file of embeddings.

    `facts` are the fields that all records have, `where` tells the user the device or the machines. `run` returns when
    all jobs have ended, or after Ctrl-C, with nothing unfinished left behind.
    """

    @property
    def facts(self) -> Mapping[str, Any]: ...
    @property
    def where(self) -> str: ...
    def run(self, jobs: Sequence[Job], listener: Listener) -> Summary: ...


def with_progress(transform: Transform, on_progress: Callable[[object, float | None, float], None]) -> Transform:
    """Return `transform`, extended to report how far a long file has been read (see Listener)."""

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
        finally:  # when the last result has been taken, long after the end has been read
            on_progress(key, None, 0.0)

    return reporting


def where_of(facts: Mapping[str, Any]) -> str:
    """Return "on DEVICE in PRECISION" for a worker in this process, and the runtime if it is not torch."""
    by = ", ONNX Runtime" if facts.get("runtime") == "onnx" else ""
    return f"on {facts['device']} in {facts['precision']}{by}"


def facts_of(spec: WorkerSpec) -> dict[str, Any]:
    """Return the fields of records whose files are worked on elsewhere, where the device may be another.

    Workers load the model themselves. It is loaded here too, on the CPU, to refuse wrong settings before any worker starts.
    """
    _, facts = replace(spec, device="cpu", precision="auto", threads=1).load_worker()
    return {name: fact for name, fact in facts.items() if name not in ("device", "precision", "runtime")}
