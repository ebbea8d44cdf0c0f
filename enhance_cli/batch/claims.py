"""Keep two runs from replacing each other's outputs: while a run makes an output, its unfinished file says from which source.

The run holds a lock on the unfinished file, so that whatever a killed run left there counts for nothing.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from enhance_cli.atomic import Busy, unfinished_path
from enhance_cli.audio.tags.provenance import is_made_from_another, mark_text
from enhance_cli.batch.job import Job, LocalJob
from enhance_cli.batch.output_checks import ANOTHER_PLACE, output_of_another
from enhance_cli.batch.safety.atomic import STDOUT, atomic
from enhance_cli.errors import AudioError, NothingToDo, OutputError

PATIENCE = 60.0  # seconds in which another run may encode its output, when its claim cannot be read


def refuse_made_meanwhile(job: Job) -> None:
    """Raise AudioError if another run has made an output of the job from another file, NothingToDo if it has made them all."""
    if job.keeps_existing:
        if problem := output_of_another(job):
            raise AudioError(problem)
        if all(isinstance(path, Path) and path.is_file() for path in job.targets):
            raise NothingToDo("another run has made the output in the meantime")


def mark_of(job: LocalJob, source: Path, target: Path, command: str) -> str:
    """Return the mark of the output `target`, "" without a command. `source`: the job's, or a copy of the data of its pipe."""
    if not command:
        return ""
    in_place = source == job.source and not job.is_copy and target != STDOUT
    return mark_text(command, source, output=target if in_place else None)


@contextlib.contextmanager
def claimed(job: LocalJob, source: Path, target: Path, command: str) -> Iterator[Path]:
    """Yield the path to write `target` to, as `atomic` does, with a claim in it until it is written to.

    If an existing output is to be kept, raises NothingToDo if another run is making it from the same source, or has made all
    outputs of the job, and AudioError if it does so from another file. Otherwise raises Busy if another run is writing it.
    """
    with contextlib.ExitStack() as stack:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                unfinished = stack.enter_context(atomic(target))
                break
            except Busy as busy:
                if not job.keeps_existing:
                    raise
                _refuse_claimed(source, target)
                if time.monotonic() > deadline:  # no Busy, which counts as done elsewhere
                    raise OutputError(busy.message, busy.hint) from busy
            time.sleep(0.05)
        refuse_made_meanwhile(job)
        unfinished.write_text(mark_of(job, source, target, command), encoding="ascii")
        yield unfinished


def _refuse_claimed(source: Path, target: Path) -> None:
    """Raise NothingToDo or AudioError if an unfinished file says from which source another run makes it."""
    unfinished = unfinished_path(Path(os.path.realpath(target)))
    another = is_made_from_another(unfinished, source, path=target)
    if another:
        raise AudioError(f"{source}: another run is making {target} from another file", ANOTHER_PLACE)
    if another is False:
        raise NothingToDo("another run is writing the output")
