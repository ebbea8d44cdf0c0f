"""Do a job on files in object storage: download the source first, upload the results at the end."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from enhance_cli.batch.job import Job, LocalJob, local_job
from enhance_cli.batch.safety.temporary import temporary_folder
from enhance_cli.batch.storage import StoredFile, fetch, put
from enhance_cli.errors import EnhanceError


@contextlib.contextmanager
def fetched(job: Job) -> Iterator[LocalJob]:
    """Yield the job with local files in place of those in object storage, and download its source.

    If the block succeeds, the local outputs are uploaded. Raises AudioError if a transfer fails. In errors of the block,
    local names are replaced by those of the job.
    """
    stored = dict.fromkeys(file for file in (job.source, *job.targets) if isinstance(file, StoredFile))
    with contextlib.ExitStack() as stack:
        local: dict[StoredFile, Path] = {}
        for number, file in enumerate(stored):  # each in its own folder, since names in different folders may be equal
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
