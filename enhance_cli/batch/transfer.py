"""Do a job of stored files on local ones: fetch the source first, put the results at the end."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from enhance_cli.batch.job import Job
from enhance_cli.batch.safety.temporary import temporary_folder
from enhance_cli.batch.storage import StoredFile, fetch, put
from enhance_cli.errors import EnhanceError


@contextlib.contextmanager
def fetched(job: Job) -> Iterator[Job]:
    """Provide the job with local files in place of stored ones. A job without stored files is returned unchanged.

    The files at the targets when the block ends well are sent to storage. Raises AudioError if something cannot be
    fetched or put. Errors of the block name the files as the job does.
    """
    stored = dict.fromkeys(file for file in (job.source, *job.targets) if isinstance(file, StoredFile))
    if not stored:
        yield job
        return
    with temporary_folder() as temporary:
        local: dict[StoredFile, Path] = {}
        for number, file in enumerate(stored):
            folder = temporary / str(number)  # one each: two files may differ in their folders only
            folder.mkdir()
            local[file] = folder / file.name

        def here(file: Path | StoredFile) -> Path:
            return local[file] if isinstance(file, StoredFile) else file

        if isinstance(job.source, StoredFile):
            fetch(job.source, here(job.source))
        try:
            parts = tuple((name, here(file)) for name, file in job.parts)
            yield replace(job, source=here(job.source), target=here(job.target), parts=parts)
        except EnhanceError as error:
            for file, path in local.items():
                error.message = error.message.replace(str(path), str(file))
            raise
        for target in job.targets:
            if isinstance(target, StoredFile):
                for path in sorted(local[target].parent.iterdir()):  # the picture of --plot too
                    put(path, target.with_name(path.name))
