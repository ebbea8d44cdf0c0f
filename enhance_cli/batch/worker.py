"""Describe the work on the files of a batch, in a form that can be sent to another process or machine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from enhance_cli.batch.file_options import FileOptions
from enhance_cli.batch.files import Transform, enhance_file
from enhance_cli.batch.job import Job, LocalJob
from enhance_cli.batch.outcome import JobFunction
from enhance_cli.batch.transfer import fetched
from enhance_cli.errors import AudioError
from enhance_cli.resources import Resources


@dataclass(frozen=True)
class WorkerSpec:
    """Hold everything that is needed to load a worker. It can be pickled.

    A worker has `lanes`, the number of files that it processes at a time. If there are `file_options`, it has a method
    `process`, which is the transform for `enhance_file`. Otherwise it has a method `process_job` (see JobFunction).

    Args:
        load: module-level function `load(entry, options, resources)` that returns the worker and the fields that it adds
            to all records.
        entry: names the model, whose file is at `entry.path`.
        options: options object of the task.
        file_options: settings for reading and writing audio files, None for speaker embeddings.
        resources: device and runtime of the model.
    """

    load: Callable[..., tuple[Any, dict[str, Any]]]
    entry: Any
    options: Any = None
    file_options: FileOptions | None = None
    resources: Resources = Resources()

    def load_worker(self) -> tuple[Any, dict[str, Any]]:
        """Load the model. Returns the worker, and the fields that it adds to all records."""
        return self.load(self.entry, self.options, self.resources)

    def on(self, **changed: Any) -> "WorkerSpec":
        """Return a copy with `changed` fields of its resources, such as the device."""
        return replace(self, resources=replace(self.resources, **changed))

    def job_function(
        self, worker: Any, watch: Callable[[Transform], Transform] = lambda transform: transform
    ) -> JobFunction:
        """Return the function that does one job with `worker`. `watch` wraps the transform of the worker, if it has one."""
        options = self.file_options
        if options is None:
            return with_remote_files(worker.process_job)
        transform = watch(worker.process)
        return with_remote_files(lambda job: enhance_file(job, transform, options))


def with_remote_files(function: Callable[[LocalJob], Mapping[str, Any]]) -> JobFunction:
    """Return a function for jobs on any files from `function`, which can handle local files only."""

    def fetching(job: Job) -> Mapping[str, Any]:
        if job.problem:
            raise AudioError(job.problem)
        with fetched(job) as local:
            return function(local)

    return fetching
