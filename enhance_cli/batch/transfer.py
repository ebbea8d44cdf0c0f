"""Do a job of stored files on local ones: fetch the source first, put the results at the end."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from enhance_cli.batch.job import Job, LocalJob, local_job
from enhance_cli.batch.safety.temporary import temporary_folder
from enhance_cli.batch.storage import StoredFile, fetch, put
from enhance_cli.errors import EnhanceError


@contextlib.contextmanager
def fetched(job: Job) -> Iterator[LocalJob]:
    """Provide the job with local files in place of stored ones, which are fetched.

    The files at the targets when the block ends well are sent to storage. Raises AudioError if something cannot be
    fetched or put. Errors of the block name the files as the job does.
    """
    stored = dict.fromkeys(file for file in (job.source, *job.targets) if isinstance(file, StoredFile))
    with contextlib.ExitStack() as stack:
        local: dict[StoredFile, Path] = {}
        for number, file in enumerate(stored):  # a folder each: two files may differ in their folders only
            folder = stack.enter_context(temporary_folder()) / str(number)
            folder.mkdir()
            local[file] = folder / file.name
        if isinstance(job.source, StoredFile):
            fetch(job.source, local[job.source])
        try:
            yield local_job(job, local)
        except EnhanceError as error:
            for file, path in local.items():
                error.message = error.message.replace(str(path), str(file))
            raise
        for target in job.targets:
            if isinstance(target, StoredFile):
                for path in sorted(local[target].parent.iterdir()):  # the picture of --plot too
                    put(path, target.with_name(path.name))
