"""What is to be done with every file, written down so that another process or another machine can do it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.outputs import Job
from enhance_cli.batch.transfer import fetched
from enhance_cli.errors import AudioError

One = Callable[[Job], Mapping[str, Any]]
"""A job -> fields of its Record; raises what went wrong."""


@dataclass(frozen=True)
class Work:
    """All of it can be pickled: `load` is a function at the top of a module, `entry` the model, with its file at `entry.path`.

    `load(entry, device, precision, threads, **settings)` gives what does the work, and what records say about it. That is
    something with a `process` for `enhance_file`, or, if `options` is None, something with a `one` (see One); `lanes` says how
    many files it works on at a time.
    """

    load: Callable[..., tuple[Any, dict[str, Any]]]
    entry: Any
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: FileOptions | None = None

    def load_worker(self) -> tuple[Any, dict[str, Any]]:
        """What does the work, its model loaded, and what records say about it."""
        return self.load(self.entry, self.device, self.precision, self.threads, **self.settings)

    def one_by(self, worker: Any, watch: Callable = lambda process: process) -> One:
        """What `worker` does with one job, wherever the files are; `watch` is put around its process, if it has one."""
        if self.options is None:
            return anywhere(worker.one)
        process = watch(worker.process)
        return anywhere(lambda job: enhance_file(job, process, self.options))


def anywhere(one: One) -> One:
    """`one`, which knows local files only, for jobs on stored ones too."""

    def fetching(job: Job) -> Mapping[str, Any]:
        if job.problem:
            raise AudioError(job.problem)
        with fetched(job) as local:
            return one(local)

    return fetching
