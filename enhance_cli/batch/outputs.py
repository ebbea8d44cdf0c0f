"""Choose and check the outputs of a whole batch before any work starts.

After `plan` has returned, no output can overwrite an input or another output, and every name and folder is usable.
"""

import os
import string
import sys
import tempfile
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Literal

from enhance_cli.atomic import NAME_MAX
from enhance_cli.batch.inputs import AUDIO_SUFFIXES, STDIN, VIDEO_SUFFIXES, WRITABLE_SUFFIXES, Input
from enhance_cli.batch.safety.atomic import STDOUT
from enhance_cli.batch.safety.names import refused_by_windows
from enhance_cli.batch.storage import Listings, StoredFile, locate
from enhance_cli.errors import UsageError

ON_WINDOWS = sys.platform == "win32"
Existing = Literal["skip", "overwrite", "newer", "error"]


@dataclass(frozen=True)
class Job:
    """Describe one input with its output. `target`: `-` for standard output. `reason`: why a job is skipped.

    Where one input has several outputs, `parts` are those to be written, (name, path) each, and `target` is the first.
    `track`: number of the sound track to take, if it is one of several. `problem`: reason why the input is no file.
    `beside`: results are written beside their inputs, under names that the program chose.
    """

    source: Path | StoredFile
    relative: PurePath
    target: Path | StoredFile
    action: Literal["run", "skip"] = "run"
    reason: str = ""
    parts: tuple[tuple[str, Path | StoredFile], ...] = ()
    track: str | None = None
    problem: str = ""
    beside: bool = False

    @property
    def targets(self) -> tuple[Path | StoredFile, ...]:
        """Return all outputs of this job."""
        return tuple(path for _, path in self.parts) or (self.target,)


def plan(
    inputs: Sequence[Input],
    output: str | None = None,
    *,
    template: str | None = None,
    suffix: str = "denoised",
    existing: Existing = "skip",
    extension: str | None = None,
    fields: Mapping[str, Any] | None = None,
    writable: frozenset[str] = WRITABLE_SUFFIXES,
    fallback: str = ".wav",
) -> list[Job]:
    """Return one job per input, in order.

    Without `output` a result is written beside its input as `{stem}_{suffix}{ext}`. `output` is a file if there is one
    input and the name ends like audio, else a folder that repeats the relative paths. `template` renames within that
    folder, with the fields stem, ext, suffix (of the input, without its dot), parent (the name of the input's folder)
    and those in `fields`. `extension` (".flac") replaces the input's. Inputs that do not end in one of `writable` get
    `fallback`. With `existing` "newer" outputs that are older than their inputs are made again. Raises UsageError if
    two inputs share an output, an output is an input, an output cannot be written, or `existing` is "error" and one
    exists.
    """
    if output == "-" or (output is None and any(item.path == STDIN for item in inputs)):
        return _to_stdout(inputs)
    if output is not None and _is_one_file(output, inputs, writable):
        targets = [locate(output)]
    else:
        pattern = template or (f"{{stem}}_{suffix}{{ext}}" if output is None else "{stem}{ext}")
        targets = [_target(item, output, pattern, extension, fields or {}, writable, fallback) for item in inputs]
    jobs = [
        Job(item.path, item.relative, target, track=item.track, problem=item.problem)
        for item, target in zip(inputs, targets, strict=True)
    ]

    return _checked(jobs, inputs, output is None and template is None, existing)


def plan_parts(
    inputs: Sequence[Input],
    parts: Sequence[str],
    output: str | None = None,
    *,
    template: str | None = None,
    existing: Existing = "skip",
    extension: str | None = None,
    fields: Mapping[str, Any] | None = None,
) -> list[Job]:
    """Return one job per input, in order, with an output of its own for each of `parts`.

    As `plan`, with {part} as a further field, names `{stem}_{part}{ext}` unless `template` says otherwise, and one file
    or standard output for a single part only. Parts that exist are left out. A job is skipped if all do.
    """
    to_stdout = output == "-" or (output is None and any(item.path == STDIN for item in inputs))
    if to_stdout or (output is not None and _is_one_file(output, inputs, WRITABLE_SUFFIXES)):
        if len(parts) > 1:
            where = "to standard output" if to_stdout else f"into one file, {output}"
            raise UsageError(f"{len(parts)} parts of a file cannot go {where}", "ask for one, or give a folder with -o")
        jobs = plan(
            inputs,
            output,
            template=template,
            suffix=parts[0],
            existing=existing,
            extension=extension,
            fields=fields,
        )
        return [replace(job, parts=((parts[0], job.target),)) for job in jobs]
    pattern = template or "{stem}_{part}{ext}"
    singles = []
    for item in inputs:
        for part in parts:
            named = {**(fields or {}), "part": part}
            target = _target(item, output, pattern, extension, named, WRITABLE_SUFFIXES, ".wav")
            singles.append(
                Job(item.path, item.relative, target, parts=((part, target),), track=item.track, problem=item.problem)
            )
    if template and len(parts) > 1 and "{part" not in template:
        raise UsageError(f"{template}: all parts of a file would get this name", "use {part}, as in {stem}_{part}{ext}")
    singles = _checked(singles, inputs, output is None and template is None, existing)
    return [_together(singles[i : i + len(parts)]) for i in range(0, len(singles), len(parts))]


def check(jobs: Sequence[Job], inputs: Sequence[Input], existing: Existing) -> list[Job]:
    """Return jobs whose outputs are known already, with the guarantees of `plan` and `plan_parts`.

    Raises UsageError.
    """
    split = [[replace(job, target=path, parts=((n, path),)) for n, path in job.parts] or [job] for job in jobs]
    singles = iter(_checked([single for jobs in split for single in jobs], inputs, False, existing))
    return [_together([next(singles) for _ in jobs]) for jobs in split]


def _checked(jobs: list[Job], inputs: Sequence[Input], beside: bool, existing: str) -> list[Job]:
    """Return the jobs after all checks.

    `beside`: results are written beside their inputs, under names that tell them.
    """
    sound = [replace(job, beside=beside) for job in jobs if not job.problem]
    sound = _set_earlier_outputs_aside(sound, inputs, beside=beside, existing=existing)
    _refuse_collisions(sound)
    there = Listings()
    sound = [_settle_existing(job, existing, there) for job in sound]
    _refuse_unwritable(sound)
    settled = iter(sound)
    return [job if job.problem else next(settled) for job in jobs]


def _together(jobs: Sequence[Job]) -> Job:
    """Return one job out of those for the parts of one input."""
    wanted = [job for job in jobs if job.action == "run"] or jobs
    return replace(wanted[0], parts=tuple(part for job in wanted for part in job.parts))


def _to_stdout(inputs: Sequence[Input]) -> list[Job]:
    if len(inputs) > 1:
        raise UsageError(f"{len(inputs)} inputs cannot all go to standard output", "give a folder with -o")
    return [Job(item.path, item.relative, STDOUT) for item in inputs]


def _is_one_file(output: str, inputs: Sequence[Input], writable: frozenset[str]) -> bool:
    ending = Path(output).suffix.lower()
    if output.endswith(("/", os.sep)) or os.path.isdir(output):
        return False
    if ending in (VIDEO_SUFFIXES | AUDIO_SUFFIXES) - writable:
        what = "video" if ending in VIDEO_SUFFIXES else ending
        raise UsageError(f"{output}: {what} cannot be written", f"write the sound to {Path(output).stem}.wav")
    sound = [item.path for item in inputs if item.path != STDIN and item.path.suffix.lower() in AUDIO_SUFFIXES]
    if ending in VIDEO_SUFFIXES and len(inputs) == len(sound) == 1:
        message = f"{output}: {sound[0]} has no pictures for a video"
        raise UsageError(message, f"write the sound to {Path(output).stem}.wav")
    if ending in writable and len(inputs) > 1:
        raise UsageError(f"{len(inputs)} inputs cannot go into one file, {output}", "give a folder with -o")
    return ending in writable


def _target(
    item: Input,
    output: str | None,
    template: str,
    extension: str | None,
    fields: Mapping[str, Any],
    writable: frozenset[str],
    fallback: str,
) -> Path | StoredFile:
    own = item.relative.suffix
    ext = extension or (own if own.lower() in writable else fallback)
    known = {
        **fields,
        "stem": item.relative.stem,
        "ext": ext,
        "suffix": own.lstrip("."),
        "parent": Path(os.path.abspath(item.path)).parent.name,
    }
    name = PurePath(_render(template, known))
    if name.suffix.lower() not in writable:
        name = name.with_name(name.name + ext)
    folder = item.path.parent if output is None else locate(output) / item.relative.parent
    return folder / name


def _render(template: str, known: Mapping[str, Any]) -> str:
    # A slash in a value (a model given as a path) must not make folders; one in the template may.
    safe = {key: value.replace("/", "_").replace(os.sep, "_") if isinstance(value, str) else value
            for key, value in known.items()}  # fmt: skip
    try:
        for _, field, _, _ in string.Formatter().parse(template):
            if field is not None and field not in known:
                raise UsageError(f"{template}: there is no field {{{field}}}", f"use {', '.join(sorted(known))}")
        name = template.format_map(safe)
    except ValueError as error:
        raise UsageError(f"{template}: not a usable name template ({error})", "try {stem}_clean{ext}") from error
    path = PurePath(name)
    if not path.name or name.endswith(("/", os.sep)) or path.is_absolute() or ".." in path.parts:
        hint = "try {stem}_clean{ext}, and give the folder with -o"
        raise UsageError(f"{template}: this name template makes no file name inside the output folder", hint)
    return name


def _set_earlier_outputs_aside(jobs: list[Job], inputs: Sequence[Input], beside: bool, existing: str) -> list[Job]:
    """Skip inputs that are outputs of an earlier run, and refuse a plan that would overwrite any other input.

    Results beside their inputs are found as inputs when the same command runs again. Without this such a run could not
    be resumed, or would make a_denoised_denoised.wav.
    """
    by_path = {os.path.abspath(item.path): item for item in inputs if item.path != STDIN}
    by_stem = {os.path.splitext(path)[0]: item for path, item in by_path.items() if not item.named}
    by_inode = {_inode(item.path): item for item in inputs if item.path != STDIN}
    made_from: dict[Path | StoredFile, Path | StoredFile] = {}
    for job in jobs:
        same_path = by_path.get(os.path.abspath(job.target))
        same_file = by_inode.get(_inode(job.target)) if os.path.exists(job.target) else None
        other = same_path or same_file
        if other is None:  # made with another --format, perhaps
            other = by_stem.get(os.path.splitext(os.path.abspath(job.target))[0])
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


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    seen: dict[str, Job] = {}
    folded: dict[str, Job] = {}
    for job in jobs:
        if job.action == "run":
            real = unicodedata.normalize("NFC", os.path.realpath(job.target))
            other = seen.setdefault(real, job)
            if other is job:
                other = folded.setdefault(real.casefold(), job)
                if other is job or _knows_case(job.target.parent):
                    continue
            message = f"{other.source} and {job.source} would both be written to {job.target}"
            hint = "give their folder with --recursive, or a name template with {parent}"
            if job.source.parent == other.source.parent:
                hint = "name one of them in a run of its own, with -o FILE"
            raise UsageError(message, hint)


def _knows_case(folder: Path | StoredFile) -> bool:
    """Return whether a.wav and A.WAV are two files there, unlike on the usual disks of Windows and macOS, False if
    unknown.
    """
    if isinstance(folder, StoredFile):
        return True
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.NamedTemporaryFile(prefix=".case", dir=folder) as probe:
            return not os.path.exists(os.path.join(folder, os.path.basename(probe.name).swapcase()))
    except OSError:
        return False


def _settle_existing(job: Job, existing: str, there: Listings) -> Job:
    if job.action == "skip" or not there.has(job.target):
        return job
    if os.path.isdir(job.target):
        raise UsageError(f"{job.target}: the output of {job.source} is a folder", "choose another name with -o")
    if existing == "error":
        raise UsageError(f"{job.target}: this output exists", "use --existing skip or --existing overwrite")
    older = _older(job.target, job.source)
    if existing == "overwrite" or existing == "newer" and older:
        return job
    newer = ", but its input is newer: --existing newer does it again" if older else ""
    return replace(job, action="skip", reason=f"the output exists{newer}")


def _older(target: Path | StoredFile, source: Path | StoredFile) -> bool:
    """Return whether an output was made before its input was last changed."""
    try:
        return os.stat(target).st_mtime < os.stat(source).st_mtime
    except (OSError, TypeError):
        return False


def _refuse_unwritable(jobs: Sequence[Job]) -> None:
    checked: set[Path] = set()
    for job in jobs:
        if job.action == "skip" or isinstance(job.target, StoredFile):
            continue
        if len(os.fsencode(job.target.name)) > NAME_MAX:
            message = f"{job.target.name}: this output name has more than {NAME_MAX} bytes"
            raise UsageError(message, "choose a shorter one with -o or a name template")
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
