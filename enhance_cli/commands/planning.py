"""Turn the flags about files and outputs into jobs, and refuse flags that do not fit these."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from enhance_cli.errors import UsageError
from enhance_cli.flags import values
from enhance_cli.flags.files import AudioFileFlags, FileFlags
from enhance_cli.flags.output import AudioOutputFlags, OutputFlags

if TYPE_CHECKING:
    from enhance_cli.batch.inputs import Input
    from enhance_cli.batch.job import Job


def plan_jobs(
    files: Sequence[str] | None,
    where: AudioFileFlags,
    writing: AudioOutputFlags,
    *,
    suffix: str = "",
    parts: Sequence[str] = (),
    fields: Mapping[str, Any],
) -> "list[Job]":
    """Return the jobs for audio `files`, or the failed jobs of a report (--retry-failed), limited to the shard (--shard).

    `suffix`: added to the names of outputs that are written beside their inputs. `parts`: names of the outputs of a file,
    if it has several. `fields`: values for the fields of a name template (--name). Raises UsageError.
    """
    from enhance_cli.batch import inputs

    if where.retry_failed:
        return in_shard(jobs_to_retry(where.retry_failed, files, writing, parts=parts), where)
    found = inputs.expand(
        files or [], recursive=where.recursive, searched=inputs.SOUND_SUFFIXES, noun="audio files or videos"
    )
    planner = planner_for(writing, suffix=suffix, parts=parts, fields=fields)
    return in_shard(planner(inputs.by_track(found) if where.track == "all" else found), where)


def planner_for(
    writing: AudioOutputFlags, *, suffix: str, parts: Sequence[str], fields: Mapping[str, Any], **changed: Any
) -> "Callable[[Sequence[Input]], list[Job]]":
    """Return a function that plans the outputs of inputs according to the flags. For the arguments see `plan_jobs`.

    `changed`: arguments of outputs.plan that replace those given by the flags.
    """
    from enhance_cli.audio.formats import extension_for
    from enhance_cli.batch import outputs

    arguments: dict[str, Any] = {
        "output": writing.output,
        "template": writing.name,
        "existing": writing.existing.value,
        "extension": extension_for(writing.format),
        "fields": fields,
    }
    arguments |= changed
    return partial(outputs.plan, suffix=suffix, parts=parts, **arguments)


def jobs_to_retry(report: Path, files: Sequence[str] | None, writing: OutputFlags, **more: Any) -> "list[Job]":
    """Return the failed jobs of the `report` given with --retry-failed. Raises UsageError."""
    from enhance_cli.batch.retry import failed_jobs

    given = (files, writing.output, writing.name)
    return failed_jobs(report, writing.existing.value, given=given, **more)


def in_shard(jobs: "list[Job]", where: FileFlags) -> "list[Job]":
    """Return the jobs of the shard given with --shard, or all jobs without that flag. Raises UsageError."""
    from enhance_cli.batch import inputs

    shard = values.parse_shard(where.shard)
    return inputs.shard(jobs, *shard) if shard else jobs


def refuse_formats(jobs: "Sequence[Job]", where: AudioFileFlags, writing: AudioOutputFlags) -> None:
    """Raise UsageError for flags that do not fit the outputs of the jobs.

    These are --plot with standard output, a format that none of the outputs can have, and flags about videos if no output
    is a video.
    """
    from enhance_cli.audio.film.formats import refuse_for_film
    from enhance_cli.audio.formats import is_film, refuse_impossible
    from enhance_cli.batch.safety.atomic import STDOUT

    depth = writing.bit_depth.value if writing.bit_depth else None
    targets = {target for job in jobs if job.action == "run" for target in job.targets}
    if writing.plot and STDOUT in targets:
        raise UsageError("--plot: a picture cannot go to standard output", "use --plot with -o FILE")
    suffixes, refusals = {None if target == STDOUT else PurePath(target.name).suffix for target in targets}, []
    for suffix in suffixes:
        try:
            if is_film(suffix or writing.format):
                refuse_for_film(str(suffix or writing.format), writing.format, where.start, where.duration)
            else:
                refuse_impossible(suffix, writing.format, depth, writing.sample_rate)
        except UsageError as error:
            refusals.append(error)
    if writing.keep_original and suffixes and not any(is_film(suffix or writing.format) for suffix in suffixes):
        raise UsageError("--keep-original is for videos", "leave it out, or give an output such as film.mkv")
    if refusals and len(refusals) == len(suffixes):  # if the format fits some outputs, only the other files fail
        raise refusals[0]


def chosen_format(jobs: "Sequence[Job]", container: str | None) -> str | None:
    """Return the format to write, or None for that of the names of the outputs.

    `container`: the value of --format. A remembered one gives way to other names.
    """
    from enhance_cli.audio.formats import may_hold
    from enhance_cli.settings import COMMAND_LINE, GIVEN

    given = GIVEN.get()
    suffixes = {PurePath(target.name).suffix for job in jobs if job.action == "run" for target in job.targets}
    remembered = "format" in given and given["format"].origin != COMMAND_LINE
    if not (container and remembered and suffixes) or any(not end or may_hold(end, container) for end in suffixes):
        return container
    return None
