"""Run `enhance enhance-embedding`: recordings or stored embeddings in, repaired embeddings out, in one file or one each.

Embeddings that cannot be repaired (zero, not finite) are written unchanged and named, and the exit code is 1.
"""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enhance_cli.commands.planning import in_shard, jobs_to_retry
from enhance_cli.commands.running import run_batch
from enhance_cli.console import count_of
from enhance_cli.errors import UsageError
from enhance_cli.flags import values
from enhance_cli.flags.embedding import EmbeddingFlags, RepairFlags
from enhance_cli.flags.files import FileFlags
from enhance_cli.flags.group import grouped
from enhance_cli.flags.model import ModelName
from enhance_cli.flags.output import VectorOutputFlags
from enhance_cli.flags.panel import MODEL, option
from enhance_cli.flags.running import Engine, Running

if TYPE_CHECKING:
    from enhance_cli.batch.inputs import Input
    from enhance_cli.batch.job import Job

SUFFIX = "enhanced"


class Length(str, Enum):
    unit = "unit"
    keep = "keep"


Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="IN", help="Files, folders, quoted globs, @list.txt, or - for one recording on stdin."),
]
Normalize = Annotated[
    Length, option(MODEL, help="Length of the result vectors: unit, or keep that of the input.", show_default="unit")
]


@grouped
def enhance_embedding(
    files: Inputs = None,
    where: FileFlags = FileFlags(),
    writing: VectorOutputFlags = VectorOutputFlags(),
    model: ModelName = None,
    repairing: RepairFlags = RepairFlags(),
    normalize: Normalize = Length.unit,
    embedding: EmbeddingFlags = EmbeddingFlags(),
    running: Running = Running(),
) -> None:
    """Repair speaker embeddings from bad recordings.

    IN is audio, which is embedded first, or stored embeddings: .npy, .npz, .safetensors, Kaldi's .ark and .scp, .parquet,
    .csv. Stored embeddings must be files (- is a recording). They keep their format, ids and order (xv.npz becomes
    xv_enhanced.npz). With -o FILE, many recordings are embedded into one file, with their paths as ids.
    """
    from enhance_cli.batch.embeddings.file import EmbeddingWorkerSpec, refuse_lost_archives
    from enhance_cli.models import registry
    from enhance_cli.tasks.loading import load_embedding_pipeline
    from enhance_cli.tasks.options import EmbedOptions, PipelineOptions, RepairOptions
    from enhance_cli.vectors import FORMS, SUFFIXES, form_of

    shard = values.parse_shard(where.shard)
    if writing.format is not None and writing.format not in FORMS:
        raise UsageError(f"--format {writing.format}: must be one of {', '.join(FORMS)}", "leave it out for npz")
    _refuse_other_files(writing.output, writing.format)
    entry = registry.find(model, "enhance-embedding")
    if where.retry_failed:
        jobs, into_one_file = jobs_to_retry(where.retry_failed, files, writing, writable=SUFFIXES), False
    else:
        jobs, into_one_file = _plan(files or [], where, writing, entry.name)
    refuse_lost_archives(jobs, writing.existing.value)
    if into_one_file and (shard or running.engine is Engine.ray or (running.workers or 1) > 1):
        raise UsageError("shards and several processes make a file for every recording", "give a folder with -o")
    jobs = in_shard(jobs, where)

    settings = {name: getattr(repairing, name) for name in ("time", "steps", "draws", "ensemble")}
    repair = RepairOptions(**settings, seed=repairing.seed, normalize=normalize.value)
    heard = values.parse_channel(embedding.channel)
    embed = EmbedOptions(embedding.segment, embedding.vad, normalize=normalize is Length.unit, channel=heard)
    recordings = any(form_of(job.source) is None for job in jobs)
    worker = EmbeddingWorkerSpec(
        load_embedding_pipeline,
        entry,
        PipelineOptions(repair, embedding.extractor, embed, recordings),
        resources=running.resources,
        form=writing.format,
    )
    given = {name: value for name, value in settings.items() if value is not None}
    run_batch(
        jobs,
        worker,
        {"model": entry.name, "seed": repairing.seed, "sampler_args": given},
        lambda facts: f"{entry.name}, {count_of(facts['steps'], 'step')}, for {facts['extractor']}",
        running,
        retry_failed=where.retry_failed,
        into_one_file=into_one_file,
    )


def _refuse_other_files(output: str | None, format: str | None) -> None:
    """Raise UsageError if `output` is the name of a file that cannot hold embeddings, or not in this format.

    A folder may have any name.
    """
    from enhance_cli.audio.formats import AUDIO_SUFFIXES
    from enhance_cli.batch.storage import is_url
    from enhance_cli.vectors import FORMS, form_of

    ending = Path(output or "").suffix.lower()
    if output is None or not ending or output.endswith("/") or Path(output).is_dir():
        return
    if format and form_of(output) not in (format, None):
        raise UsageError(f"{output} is not named as --format {format} is", "give one of them, or a folder with -o")
    if form_of(output) or is_url(output):
        return
    if ending in AUDIO_SUFFIXES:
        raise UsageError(f"{output}: embeddings are not audio", f"write {Path(output).with_suffix('.npz')}")
    if ending[1].isalpha():
        hint = f"choose from {', '.join(FORMS)}, or end the name of a folder with /"
        raise UsageError(f"{output}: embeddings cannot be written to such a file", hint)


def _plan(files: list[str], where: FileFlags, writing: VectorOutputFlags, model: str) -> "tuple[list[Job], bool]":
    """Return the jobs, and whether all of them write to one file."""
    from enhance_cli.audio.formats import AUDIO_SUFFIXES
    from enhance_cli.batch import inputs, outputs
    from enhance_cli.batch.embeddings.collection import plan_into_one_file
    from enhance_cli.vectors import SUFFIXES, form_of

    found = inputs.expand(
        files,
        recursive=where.recursive,
        searched=AUDIO_SUFFIXES | SUFFIXES,
        noun="audio files or embeddings",
    )
    found = _without_archives_of_lists(found)
    is_file = writing.output is not None and form_of(writing.output) is not None and not Path(writing.output).is_dir()
    into_one_file = is_file and all(form_of(item.path) is None for item in found)
    jobs = outputs.plan(
        found[:1] if into_one_file else found,
        writing.output,
        template=writing.name,
        suffix=SUFFIX,
        existing=writing.existing.value,
        extension=f".{writing.format}" if writing.format else None,
        fields={"model": model},
        writable=SUFFIXES,
        fallback=".npz",
    )
    return (plan_into_one_file(found, jobs[0]) if into_one_file else jobs), into_one_file


def _without_archives_of_lists(found: "list[Input]") -> "list[Input]":
    """Return the inputs without the .ark files of a Kaldi folder that belong to its .scp lists."""
    lists = {item.path.with_suffix("") for item in found if item.path.suffix == ".scp"}
    return [i for i in found if i.named or i.path.suffix != ".ark" or i.path.with_suffix("") not in lists]
