"""`enhance enhance-embedding`: recordings or stored embeddings in, repaired embeddings out, one file for each or one for all.

Rows that cannot be repaired (zero, not finite) go out as they came, are named one by one, and make the exit code 1.
"""

from pathlib import Path

from enhance_cli import __version__, flags
from enhance_cli.commands.running import carry_out, count_steps
from enhance_cli.errors import UsageError

SUFFIX = "enhanced"


def enhance_embedding(
    files: flags.EmbeddingInputs = None,
    output: flags.Output = None,
    steps: flags.RepairSteps = None,
    time: flags.Time = None,
    draws: flags.Draws = 0,
    seed: flags.Seed = 0,
    ensemble: flags.Ensemble = None,
    normalize: flags.Normalize = flags.Length.unit,
    model: flags.ModelName = None,
    extractor: flags.Extractor = None,
    vad: flags.VoiceActivity = False,
    segment: flags.Segment = None,
    device: flags.Device = "auto",
    precision: flags.Precision = "auto",
    threads: flags.Threads = None,
    workers: flags.Workers = None,
    engine: flags.EngineChoice = flags.Engine.local,
    ray_address: flags.RayAddress = None,
    recursive: flags.Recursive = False,
    shard: flags.Shard = None,
    retry_failed: flags.RetryFailed = None,
    name: flags.NameTemplate = None,
    existing: flags.OnExisting = flags.Existing.skip,
    format: flags.VectorFormat = None,
    dry_run: flags.DryRun = False,
    json: flags.Json = False,
    report: flags.ReportFile = None,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
) -> None:
    """Repair speaker embeddings from bad recordings.

    IN is audio, which is embedded first, or stored embeddings: .npy, .npz, .safetensors, Kaldi's .ark and .scp, .parquet,
    .csv. Stored ones must be files (- is a recording) and come out in the same form, with ids and order kept (xv.npz becomes
    xv_enhanced.npz). Many recordings go into one file with -o FILE, with their paths as ids.
    """
    from enhance_cli.batch import inputs
    from enhance_cli.batch.embeddings.file import refuse_lost_archives
    from enhance_cli.batch.reports import failed_jobs
    from enhance_cli.batch.work import Work
    from enhance_cli.models import registry
    from enhance_cli.vectors import FORMS, SUFFIXES, form_of

    part = flags.parse_shard(shard)
    if format is not None and format not in FORMS:
        raise UsageError(f"--format {format}: embeddings cannot be written so", f"choose from {', '.join(FORMS)}")
    _refuse_other_files(output, format)
    entry = registry.find(model, "enhance-embedding")
    if retry_failed:
        jobs, into_one = failed_jobs(retry_failed, existing.value, (files, output, name), writable=SUFFIXES), False
    else:
        jobs, into_one = _plan(files or [], recursive, output, name, existing.value, format, entry.name)
    refuse_lost_archives(jobs, existing.value)
    if into_one and (part or engine is flags.Engine.ray or (workers or 1) > 1):
        raise UsageError("shards and several processes make a file for every recording", "give a folder with -o")
    if part:
        jobs = inputs.shard(jobs, *part)

    settings = {"time": time, "steps": steps, "draws": draws, "ensemble": ensemble}
    base = {"model": entry.name, "version": __version__, "seed": seed}
    base["sampler_args"] = {name: value for name, value in settings.items() if value is not None}
    recordings = any(form_of(job.source) is None for job in jobs)
    choices = {
        "options": settings | {"seed": seed, "normalise": normalize.value},
        "extractor": extractor,
        "embedding": {"segment": segment, "vad": vad} if recordings else None,
        "form": format,
    }
    carry_out(
        jobs, Work(_load, entry, device, precision, threads, choices), base,
        lambda facts: f"{entry.name}, {count_steps(facts['steps'])}, for {facts['extractor']}",
        engine, workers, ray_address, retry_failed, dry_run, json, report, quiet, verbose, into_one,
    )  # fmt: skip


def _load(
    entry,
    device: str,
    precision: str,
    threads: int | None,
    options: dict,
    extractor: str | None,
    embedding: dict | None,
    form: str | None,
):
    """The worker, and what records say about it. torch is imported here."""
    from enhance_cli.batch.embeddings.file import EmbeddingWorker
    from enhance_cli.models.device import pick_device, pick_precision, set_threads
    from enhance_cli.models.load import load_file
    from enhance_cli.tasks.embed import EmbedOptions
    from enhance_cli.tasks.repair import RepairOptions
    from enhance_cli.tasks.speakers import Speakers

    set_threads(threads)
    place = pick_device(device)
    kind = pick_precision(precision, place)
    model = load_file(entry.path, place, kind, entry.sha256)
    as_given = EmbedOptions(normalise=options["normalise"] == "unit", **embedding or {})
    speakers = Speakers(model, RepairOptions(**options), extractor, as_given)
    repairer, recorded = speakers.repairer, {}
    if embedding is not None:
        embedder = speakers.load_extractor()
        recorded = {"embed": speakers.embed_file, "repair_recorded": speakers.repair_recorded, "lanes": embedder.lanes}
        recorded["embedded_by"] = f"{embedder.extractor.spec.to_metadata()} {as_given} on {place.type}"
    worker = EmbeddingWorker(speakers.repair, repairer.extractor_id, form=form, **recorded)
    facts = {"revision": entry.sha256, "device": str(place), "precision": kind, "extractor": repairer.extractor_id}
    return worker, facts | {"steps": repairer.steps, "sampler": model.spec.samplers[0]}


def _refuse_other_files(output: str | None, format: str | None) -> None:
    """Raises UsageError for the name of a file that does not hold embeddings, or not in `format`; a folder may have any."""
    from enhance_cli.batch.inputs import AUDIO_SUFFIXES
    from enhance_cli.batch.storage import is_url
    from enhance_cli.vectors import FORMS, form_of

    ending = Path(output or "").suffix.lower()
    if not ending or output.endswith("/") or Path(output).is_dir():
        return
    if format and form_of(output) not in (format, None):
        raise UsageError(f"{output} is not named as --format {format} is", "give one of them, or a folder with -o")
    if form_of(output) or is_url(output):
        return
    if ending in AUDIO_SUFFIXES:
        raise UsageError(f"{output}: embeddings are not audio", f"write {Path(output).with_suffix('.npz')}")
    if ending[1].isalpha():
        hint = f"choose from {', '.join(FORMS)}, or end the name of a folder with /"
        raise UsageError(f"{output}: embeddings cannot be written so", hint)


def _plan(files: list, recursive: bool, output: str | None, name: str | None, existing: str, form, model: str) -> tuple:
    """The jobs, and whether all of them write one file."""
    from enhance_cli.batch import inputs, outputs
    from enhance_cli.batch.embeddings.collection import plan_into_one
    from enhance_cli.vectors import SUFFIXES, form_of

    found = inputs.expand(files, recursive, inputs.AUDIO_SUFFIXES | SUFFIXES, "audio files or embeddings")
    found = _without_archives_of_lists(found)
    together = output is not None and form_of(output) is not None and not Path(output).is_dir()
    together = together and all(form_of(item.path) is None for item in found)
    jobs = outputs.plan(
        found[:1] if together else found,
        output,
        name,
        SUFFIX,
        existing,
        f".{form}" if form else None,
        {"model": model},
        SUFFIXES,
        ".npz",
    )
    return (plan_into_one(found, jobs[0]) if together else jobs), together


def _without_archives_of_lists(found: list) -> list:
    """Of a Kaldi folder the .scp lists, and not the .ark files that go with them."""
    lists = {item.path.with_suffix("") for item in found if item.path.suffix == ".scp"}
    return [i for i in found if i.named or i.path.suffix != ".ark" or i.path.with_suffix("") not in lists]
