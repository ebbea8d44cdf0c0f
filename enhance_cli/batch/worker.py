"""Specify the work on every file of a batch, in a form that can be sent to another process or another machine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from enhance_cli.batch.file_options import FileOptions
from enhance_cli.batch.files import Transform, enhance_file
from enhance_cli.batch.job import Job, LocalJob
from enhance_cli.batch.outcome import JobFunction
from enhance_cli.batch.transfer import fetched
from enhance_cli.errors import AudioError


@dataclass(frozen=True)
class WorkerSpec:
    """Hold everything needed to load a worker. It can be pickled.

    `load(entry, options, *, device, precision, threads, runtime)`: function at the top of a module that returns the worker
    and the fields that it adds to all records. `entry`: names the model, whose file is at `entry.path`.
    `options`: options object of the task. `file_options`: with them the worker has a `process` for `enhance_file`,
    without them a `process_job` (see JobFunction). Its `lanes` is the number of files it works on at a time.
    """

    load: Callable[..., tuple[Any, dict[str, Any]]]
    entry: Any
    options: Any = None
    file_options: FileOptions | None = None
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    runtime: str = "auto"

    def load_worker(self) -> tuple[Any, dict[str, Any]]:
        """Load the model. Returns the worker, and the fields that it adds to all records."""
        return self.load(
            self.entry,
            self.options,
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            runtime=self.runtime,
        )

    def job_function(
        self, worker: Any, watch: Callable[[Transform], Transform] = lambda transform: transform
    ) -> JobFunction:
        """Return the function that does one job by `worker`, wherever the files are. `watch` wraps its transform, if any."""
        options = self.file_options
        if options is None:
            return with_remote_files(worker.process_job)
        transform = watch(worker.process)
        return with_remote_files(lambda job: enhance_file(job, transform, options))


def with_remote_files(function: Callable[[LocalJob], Mapping[str, Any]]) -> JobFunction:
    """Return `function`, which knows local files only, for jobs on files in object storage too."""

    def fetching(job: Job) -> Mapping[str, Any]:
        if job.problem:
            raise AudioError(job.problem)
        with fetched(job) as local:
            return function(local)

    return fetching
