"""Check the outputs of a whole batch before any work starts: collisions, earlier outputs, names, and folders."""

import os
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

from enhance_cli.atomic import NAME_MAX
from enhance_cli.audio.tags.provenance import is_made_from_another
from enhance_cli.batch.inputs import STDIN, Input
from enhance_cli.batch.job import Job
from enhance_cli.batch.safety.names import refused_by_windows
from enhance_cli.batch.storage import Listings, StoredFile
from enhance_cli.errors import UsageError

MOST_READ = 1000  # existing outputs of a batch, to learn from which files they were made
ON_WINDOWS = sys.platform == "win32"
OUTPUT_EXISTS = "the output exists"  # reason of files that are skipped
ANOTHER_PLACE = "choose another folder with -o, or a name template with {parent}"
Existing = Literal["skip", "overwrite", "newer", "error"]


def checked(
    jobs: list[Job],
    inputs: Sequence[Input],
    *,
    beside: bool,
    existing: Existing,
    folder: Path | StoredFile | None = None,
) -> list[Job]:
    """Return the jobs, with those that have nothing to do marked as skipped. Raises UsageError for an impossible output.

    `beside`: results are written beside their inputs, under names that the program chose. `folder`: that of the outputs, if
    one was given. Outputs that a search finds there, or beside their inputs, must not become inputs.
    """
    keeps = existing == "skip"
    found_below = _found_below(folder, inputs) if isinstance(folder, Path) else set()
    doable = [
        replace(job, beside=beside, keeps_existing=keeps, leaves_own=beside or job.source in found_below)
        for job in jobs
        if not job.problem
    ]
    doable = _set_earlier_outputs_aside(doable, inputs, beside=beside, existing=existing)
    doable = _set_collisions_aside(doable, inputs)
    there = Listings()
    if existing in ("skip", "newer"):
        doable = _set_outputs_of_others_aside(doable, there)
    doable = [_settle_existing(job, existing, there) for job in doable]
    doable = _set_long_names_aside(doable, inputs)
    _refuse_unwritable(doable)
    settled = iter(doable)
    return [job if job.problem else next(settled) for job in jobs]


def _found_below(folder: Path, inputs: Sequence[Input]) -> set[Path | StoredFile]:
    """Return the inputs that were not named, but found in the folder of the outputs or below it."""
    below, real_path = os.path.join(os.path.realpath(folder), ""), _real_paths()
    found = (item.path for item in inputs if not item.named and isinstance(item.path, Path))
    return {path for path in found if real_path(path).startswith(below)}


def _real_paths() -> Callable[[Path | StoredFile], str]:
    """Return a function like os.path.realpath for files, which resolves the links in a folder once for all of its files."""
    real_folder = cache(os.path.realpath)

    def real_path(file: Path | StoredFile) -> str:
        folder, name = os.path.split(file)
        path = os.path.join(real_folder(folder), name)
        return os.path.realpath(path) if os.path.islink(path) else path

    return real_path


def _set_earlier_outputs_aside(jobs: list[Job], inputs: Sequence[Input], beside: bool, existing: str) -> list[Job]:
    """Skip inputs that are outputs of an earlier run, and refuse a plan that would overwrite any other input.

    If results are written beside their inputs, the same command finds them as inputs when it runs again. Without this
    check, such a run could not be resumed, or would make a_denoised_denoised.wav.
    """
    by_path = {os.path.abspath(item.path): item for item in inputs if item.path != STDIN}
    by_stem = {os.path.splitext(path)[0]: item for path, item in by_path.items() if not item.named}
    by_inode = {_inode(item.path): item for item in inputs if item.path != STDIN}
    made_from: dict[Path | StoredFile, Path | StoredFile] = {}
    for job in jobs:
        target = os.path.abspath(job.target)
        same_path = by_path.get(target)
        same_file = by_inode.get(_inode(job.target)) if os.path.exists(job.target) else None
        other = same_path or same_file
        if other is None:  # made with another --format, perhaps
            other = by_stem.get(os.path.splitext(target)[0])
            if beside and other is not None and other.path != job.source:
                made_from[other.path] = job.source
            continue
        if same_path and other.path != job.source and (beside or (existing == "skip" and not other.named)):
            made_from[other.path] = job.source
        elif other.path == job.source:
            raise UsageError(f"{job.source}: the output would overwrite this input", "choose another name with -o")
        else:
            message = f"{other.path}: the output of {job.source} would overwrite this input"
            raise UsageError(message, "choose another folder with -o")
    return [
        replace(job, action="skip", reason=f"this is the output of {made_from[job.source]}")
        if job.source in made_from
        else job
        for job in jobs
    ]


def _inode(path: Path | StoredFile) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _set_collisions_aside(jobs: list[Job], inputs: Sequence[Input]) -> list[Job]:
    """Mark files of a folder that would share an output as failing, so that the others can be done.

    Raises UsageError if the user named one of them, or if all files are affected.
    """
    named = {item.path for item in inputs if item.named}
    problems: dict[Job, str] = {}
    for other, job in _collisions(jobs):
        message = f"{other.source} and {job.source} would both be written to {job.target}"
        hint = "give their folder with --recursive, or a name template with {parent}"
        if job.source.parent == other.source.parent:
            hint = "name one of them in a run of its own, with -o FILE"
            if job.source.suffix != other.source.suffix:
                hint = "tell them apart with --name, as in '{stem}_{suffix}{ext}'"
        refusal = UsageError(message, hint)
        if named & {job.source, other.source}:
            raise refusal
        problems |= {other: problems.get(other, str(refusal)), job: str(refusal)}
        if len(problems) == sum(job.action == "run" for job in jobs):
            raise refusal
    return [replace(job, problem=problems.get(job, job.problem)) for job in jobs] if problems else jobs


def _collisions(jobs: Sequence[Job]) -> Iterator[tuple[Job, Job]]:
    """Yield pairs of jobs that would write the same file: the first such job, and each further one."""
    seen: dict[str, Job] = {}
    folded: dict[str, Job] = {}
    real_path = _real_paths()
    for job in jobs:
        if job.action == "run":
            real = real_path(job.target)
            other = seen.setdefault(real, job)
            if other is job:
                other = folded.setdefault(unicodedata.normalize("NFC", real).casefold(), job)
                if other is job or _are_told_apart(job.target, other.target):
                    continue
            yield other, job


def _are_told_apart(one: Path | StoredFile, other: Path | StoredFile) -> bool:
    """Return whether the disk distinguishes two names that differ in case or in the form of accents, False if unknown.

    Linux does, the usual disks of Windows and macOS do not.
    """
    if isinstance(one, StoredFile) or isinstance(other, StoredFile):
        return True
    paths = [Path(os.path.realpath(path)).parts for path in (one, other)]
    shared = next(n for n, (a, b) in enumerate(zip(*paths)) if a != b)
    folder = Path(*paths[0][:shared])
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".names", dir=folder) as probe:
            Path(probe, paths[0][shared]).touch()
            return not os.path.exists(os.path.join(probe, paths[1][shared]))
    except OSError:
        return False


def _set_outputs_of_others_aside(jobs: list[Job], there: Listings) -> list[Job]:
    """Mark files as failing if an earlier run has made their outputs from other files, such as namesakes in another folder.

    Of many existing outputs, some are read. If none of these is of another file, nor are the others.
    """
    done = [job for job in jobs if job.action == "run" and not job.problem and there.has(job.target)]
    problems = {job: output_of_another(job) for job in done[:: len(done) // MOST_READ + 1]}
    if not any(problems.values()):
        return jobs
    problems = {job: output_of_another(job) for job in done}
    return [replace(job, problem=problems.get(job) or job.problem) for job in jobs]


def output_of_another(job: Job) -> str:
    """Return why a job must not be skipped though its outputs exist: one was made from another file. Empty if none was."""
    for target in job.targets:
        if isinstance(target, Path) and isinstance(job.source, Path) and is_made_from_another(target, job.source):
            return f"{job.source}: the output {target} exists, and was made from another file: {ANOTHER_PLACE}"
    return ""


def _settle_existing(job: Job, existing: str, there: Listings) -> Job:
    if job.action == "skip" or job.problem or not there.has(job.target):
        return job
    if os.path.isdir(job.target):
        raise UsageError(f"{job.target}: the output of {job.source} is a folder", "choose another name with -o")
    if existing == "error":
        raise UsageError(f"{job.target}: this output exists", "use --existing skip or --existing overwrite")
    older = _older(job.target, job.source)
    if existing == "overwrite" or existing == "newer" and older:
        return job
    newer = ", but its input is newer: --existing newer does it again" if older else ""
    return replace(job, action="skip", reason=f"{OUTPUT_EXISTS}{newer}")


def _older(target: Path | StoredFile, source: Path | StoredFile) -> bool:
    """Return whether an output was made before its input was last changed."""
    try:
        return os.stat(target).st_mtime < os.stat(source).st_mtime
    except (OSError, TypeError):
        return False


def _set_long_names_aside(jobs: list[Job], inputs: Sequence[Input]) -> list[Job]:
    """Mark files of a folder whose output names would be too long as failing, unless all files are affected."""
    found = {item.path for item in inputs if not item.named}
    long = [job.source in found and job.action == "run" and _is_too_long(job) for job in jobs]
    if all(long) or not any(long):
        return jobs
    return [replace(job, problem=": ".join(_too_long(job))) if one else job for job, one in zip(jobs, long)]


def _is_too_long(job: Job) -> bool:
    return not isinstance(job.target, StoredFile) and len(os.fsencode(job.target.name)) > NAME_MAX


def _too_long(job: Job) -> tuple[str, str]:
    message = f"{job.target.name}: this output name has more than {NAME_MAX} bytes"
    return message, "choose a shorter one with -o or a name template"


def _refuse_unwritable(jobs: Sequence[Job]) -> None:
    checked: set[Path] = set()
    for job in jobs:
        if job.action == "skip" or job.problem or isinstance(job.target, StoredFile):
            continue
        if _is_too_long(job):
            raise UsageError(*_too_long(job))
        if ON_WINDOWS:
            _refuse_on_windows(job.target)
        if job.target.parent not in checked:
            checked.add(job.target.parent)
            _check_folder(job.target.parent)


def _refuse_on_windows(target: Path) -> None:
    for name in target.parts[1 if target.anchor else 0 :]:
        if name not in (".", "..") and (reason := refused_by_windows(name)):
            raise UsageError(f"{name}: Windows cannot store this name, {reason}", "use -o or a name template")


def _check_folder(folder: Path) -> None:
    existing = folder
    while not os.path.lexists(existing):
        existing = existing.parent
    if not os.path.isdir(existing):
        raise UsageError(
            f"{existing}: this is not a folder, so nothing can be written into it", "choose another with -o"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"{existing}: nothing can be written into this folder", "choose another with -o")
