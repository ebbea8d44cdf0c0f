"""Choose and check the outputs of a whole batch before any work starts.

After `plan` has returned, no output can overwrite an input or another output, and every name and folder is usable.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from enhance_cli.audio.formats import AUDIO_SUFFIXES, FOREIGN_VIDEO_SUFFIXES, VIDEO_SUFFIXES
from enhance_cli.batch.inputs import STDIN, WRITABLE_SUFFIXES, Input
from enhance_cli.batch.job import Job
from enhance_cli.batch.output_checks import Existing, checked
from enhance_cli.batch.output_names import output_path
from enhance_cli.batch.safety.atomic import STDOUT
from enhance_cli.batch.storage import StoredFile, locate
from enhance_cli.errors import UsageError


def plan(
    inputs: Sequence[Input],
    output: str | None = None,
    *,
    parts: Sequence[str] = (),
    template: str | None = None,
    suffix: str = "denoised",
    existing: Existing = "skip",
    extension: str | None = None,
    fields: Mapping[str, Any] | None = None,
    writable: frozenset[str] = WRITABLE_SUFFIXES,
    fallback: str = ".wav",
) -> list[Job]:
    """Return one job per input, in order, with one output, or with a separate output for each of `parts`.

    Without `output` a result is written beside its input as `{stem}_{suffix}{ext}`. `output` is a file if there is one
    input and the name ends like audio, else a folder that repeats the relative paths. `template` renames within that
    folder, with the fields stem, ext, suffix (of the input, without its dot), parent (the name of the input's folder)
    and those in `fields`. `extension` (".flac") replaces the input's. Inputs that do not end in one of `writable` get
    `fallback`. With `existing` "newer" outputs that are older than their inputs are made again.

    With `parts`, templates also have the field {part}, and the default name is `{stem}_{part}{ext}`. One file or standard
    output is possible for a single part only. Existing parts are left out, and a job whose parts all exist is skipped.

    Raises UsageError if two inputs share an output, an output is an input, an output cannot be written, or `existing` is
    "error" and one exists.
    """
    to_stdout = output == "-" or (output is None and any(item.path == STDIN for item in inputs))
    one_file = not to_stdout and output is not None and _is_one_file(output, inputs, writable)
    if len(parts) > 1 and (to_stdout or one_file):
        where = "to standard output" if to_stdout else f"into one file, {output}"
        stem = "{stem}" if to_stdout else Path(str(output)).stem
        hint = f"ask for one, give a folder with -o, or names instead: --name '{stem}_{{part}}{{ext}}'"
        raise UsageError(f"{len(parts)} parts of a file cannot go {where}", hint)
    if to_stdout:
        return [replace(job, parts=tuple((part, STDOUT) for part in parts)) for job in _to_stdout(inputs)]
    pattern = f"{{stem}}_{suffix}{{ext}}" if output is None else "{stem}{ext}"
    pattern = template or ("{stem}_{part}{ext}" if parts else pattern)

    def target_of(item: Input, part: str) -> Path | StoredFile:
        if output is not None and one_file:
            return locate(output)
        named = {**(fields or {}), **({"part": part} if part else {})}
        return output_path(
            item, output, template=pattern, extension=extension, fields=named, writable=writable, fallback=fallback
        )

    singles = []
    for item in inputs:
        for part in parts or [""]:
            target = target_of(item, part)
            of_job = ((part, target),) if part else ()
            singles.append(Job(item.path, item.relative, target, parts=of_job, track=item.track, problem=item.problem))
    if template and len(parts) > 1 and "{part" not in template:
        raise UsageError(f"{template}: all parts of a file would get this name", "use {part}, as in {stem}_{part}{ext}")
    folder = None if output is None else locate(output)
    beside = output is None and template is None
    singles = checked(singles, inputs, beside=beside, existing=existing, folder=folder)
    count = len(parts) or 1
    return [_together(singles[i : i + count]) for i in range(0, len(singles), count)]


def check(jobs: Sequence[Job], inputs: Sequence[Input], existing: Existing) -> list[Job]:
    """Return jobs whose outputs have been chosen before, checked like those of `plan`.

    Raises UsageError.
    """
    split = [[replace(job, target=path, parts=((n, path),)) for n, path in job.parts] or [job] for job in jobs]
    singles = iter(checked([single for jobs in split for single in jobs], inputs, beside=False, existing=existing))
    return [_together([next(singles) for _ in jobs]) for jobs in split]


def _together(jobs: Sequence[Job]) -> Job:
    """Return one job for an input from the jobs for its parts."""
    wanted = [job for job in jobs if job.action == "run"] or jobs
    problem = next((job.problem for job in jobs if job.problem), "")
    return replace(wanted[0], problem=problem, parts=tuple(part for job in wanted for part in job.parts))


def _to_stdout(inputs: Sequence[Input]) -> list[Job]:
    if len(inputs) > 1:
        raise UsageError(f"{len(inputs)} inputs cannot all go to standard output", "give a folder with -o")
    return [Job(item.path, item.relative, STDOUT) for item in inputs]


def _is_one_file(output: str, inputs: Sequence[Input], writable: frozenset[str]) -> bool:
    ending = Path(output).suffix.lower()
    if output.endswith(("/", os.sep)) or os.path.isdir(output):
        return False
    if ending in (VIDEO_SUFFIXES | AUDIO_SUFFIXES) - writable:
        noun = "video" if ending in VIDEO_SUFFIXES else ending
        raise UsageError(f"{output}: {noun} cannot be written", f"write the sound to {Path(output).stem}.wav")
    if ending in FOREIGN_VIDEO_SUFFIXES:
        stem = Path(output).stem
        raise UsageError(f"{output}: {ending} cannot be written", f"write {stem}.mkv, or the sound alone to {stem}.wav")
    sound = [item.path for item in inputs if item.path != STDIN and item.path.suffix.lower() in AUDIO_SUFFIXES]
    if ending in VIDEO_SUFFIXES and len(inputs) == len(sound) == 1:
        message = f"{output}: {sound[0]} has no pictures for a video"
        raise UsageError(message, f"write the sound to {Path(output).stem}.wav")
    if (
        len(inputs) == 1
        and inputs[0].named
        and ending not in writable
        and re.fullmatch(r"\.[a-z][a-z0-9]{1,4}", ending)
    ):
        message = f"{output}: {ending} is no kind of sound"
        raise UsageError(message, f"write {Path(output).with_suffix('.wav')}, or {output}/ for a folder")
    if ending in writable and len(inputs) > 1:
        raise UsageError(f"{len(inputs)} inputs cannot go into one file, {output}", "give a folder with -o")
    return ending in writable
