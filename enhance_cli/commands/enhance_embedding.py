"""`enhance enhance-embedding`: recordings or stored embeddings in, repaired embeddings out, one file for each or one for all.

Rows that cannot be repaired (zero, not finite) go out as they came, are named one by one, and make the exit code 1.
"""

from pathlib import Path

import typer

from enhance_cli import __version__, flags
from enhance_cli.commands.running import engage, say_other_settings, skip_all
from enhance_cli.console import Reporter, result, say
from enhance_cli.errors import UsageError

SUFFIX = "enhanced"
SAID_AT_MOST = 10  # ids of one file; the record has them all


def enhance_embedding(
    files: flags.Inputs = None,
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
    .csv. Stored ones come out in the same form, with ids and order kept (xv.npz becomes xv_enhanced.npz). Many recordings
    go into one file with -o FILE, with their paths as ids.
    """
    from enhance_cli.batch import inputs
    from enhance_cli.batch.atomic import STDOUT
    from enhance_cli.batch.embeddings import refuse_lost_archives
    from enhance_cli.batch.reports import failed_jobs
    from enhance_cli.models import registry
    from enhance_cli.vectors import FORMS, SUFFIXES, form_of

    part = flags.parse_shard(shard)
    if format is not None and format not in FORMS:
        raise UsageError(f"--format {format}: embeddings cannot be written so", f"choose from {', '.join(FORMS)}")
    _refuse_other_files(output)
    entry = registry.find(model, "enhance-embedding")
    if retry_failed:
        jobs, together = failed_jobs(retry_failed, existing.value, (files, output, name), writable=SUFFIXES), False
    else:
        jobs, together = _plan(files or [], recursive, output, name, existing.value, format, entry.name)
    if json and any(job.target == STDOUT for job in jobs):
        raise UsageError("--json and the embeddings cannot both go to standard output", "use --report FILE.jsonl")
    refuse_lost_archives(jobs, existing.value)
    if part:
        jobs = inputs.shard(jobs, *part)

    base = {"model": entry.name, "version": __version__}
    if retry_failed and not quiet:
        say_other_settings(retry_failed, base)
    if together and (part or engine is flags.Engine.ray or (workers or 1) > 1):
        raise UsageError("shards and several processes make a file for every recording", "give a folder with -o")
    do, worker = skip_all, None
    if any(job.action == "run" for job in jobs):
        from enhance_cli.batch.work import Work

        settings = {"time": time, "steps": steps, "draws": draws, "ensemble": ensemble}
        recordings = any(form_of(job.source) is None for job in jobs)
        choices = {
            "options": settings | {"seed": seed, "normalise": normalize.value},
            "extractor": extractor,
            "embedding": {"segment": segment, "vad": vad} if recordings else None,
            "form": format,
        }
        work = Work(_load, entry, device, precision, threads, choices)
        if together:
            worker, facts = work.start()
            place = f"on {facts['device']} in {facts['precision']}"
        else:
            do, facts, place = engage(work, jobs, engine, workers, ray_address)
        base |= facts | {"seed": seed, "sampler_args": {k: v for k, v in settings.items() if v is not None}}
        if not quiet:
            said = "1 step" if base["steps"] == 1 else f"{base['steps']} steps"
            say(f"{entry.name}, {said}, for {base['extractor']}, {place}")
    if dry_run:  # the model, its settings and the device have been checked as well
        _list(jobs, quiet)
        return

    import threading

    from enhance_cli.batch.record import Report
    from enhance_cli.batch.runner import run

    skips = sum(job.action == "skip" for job in jobs)
    with Report(report) as written, Reporter(len(jobs), json, quiet, verbose, skips) as reporter:
        if together and worker:
            summary = _run_together(run, jobs, worker, base, written, reporter)
            left = 0
        else:
            counted = _Counted(written, reporter)
            summary = do(jobs, base, counted.show, reporter.watch, threading.Event())
            left = counted.unusable
    if not quiet and len(jobs) > 1:
        say(f"{summary.done} done, {summary.skipped} skipped, {summary.failed} failed")
    raise typer.Exit(summary.exit_code or int(left > 0))


class _Counted:
    """Passes records on, and names the embeddings that were left as they were."""

    def __init__(self, written, reporter: Reporter):
        self.written, self.reporter, self.unusable = written, reporter, 0

    def show(self, record) -> None:
        self.written.write(record)
        self.reporter.show(record)
        self.unusable += len(record.unusable)
        for name in record.unusable[:SAID_AT_MOST]:
            say(
                f"error: {record.input}: {name} is zero or not finite and was left as it was: embed it anew, or drop it"
            )
        if len(record.unusable) > SAID_AT_MOST:
            more = len(record.unusable) - SAID_AT_MOST
            say(f"error: {record.input}: so were {more} more: --json and --report name all")


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
    from enhance_cli.batch.embeddings import Worker
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
    lanes = 1 if embedding is None else speakers.load_extractor().lanes
    repairer = speakers.repairer
    facts = {"revision": entry.sha256, "device": str(place), "precision": kind, "extractor": repairer.extractor_id}
    recorded = {"embed": speakers.embed_file, "repair_recorded": speakers.repair_recorded, "lanes": lanes}
    worker = Worker(speakers.repair, repairer.extractor_id, form=form, **recorded)
    return worker, facts | {"steps": repairer.steps, "sampler": model.spec.samplers[0]}


def _run_together(run, jobs: list, worker, base: dict, written, reporter: Reporter):
    """All recordings into one file. No record says "done" before that file is there."""
    from enhance_cli.batch.runner import explain

    kept = []

    def show(record) -> None:
        if record.status == "done":
            kept.append(record)
            reporter.advance()
        else:
            written.write(record)
            reporter.show(record)

    summary = run(jobs, worker.collect, base, show, min(worker.lanes, len(jobs)))
    if summary.interrupted or not kept:
        return summary
    reason = None
    try:
        worker.finish(jobs)
    except Exception as error:  # noqa: BLE001 - as in the runner
        reason = explain(error, jobs[0])
        summary.done, summary.failed = 0, summary.failed + summary.done
        say(f"error: {reason}")
    for record in kept:
        if reason:
            record.status, record.reason = "failed", reason
        written.write(record)
        if reporter.json:
            result(record.to_json())
    if not reason and not reporter.json and kept[0].output != "-":
        result(kept[0].output)
    return summary


def _refuse_other_files(output: str | None) -> None:
    """Raises UsageError for the name of a file that does not hold embeddings; a folder may have any name."""
    from enhance_cli.batch.inputs import AUDIO_SUFFIXES
    from enhance_cli.batch.storage import is_url
    from enhance_cli.vectors import FORMS, form_of

    ending = Path(output or "").suffix.lower()
    if not ending or form_of(output) or is_url(output) or output.endswith("/") or Path(output).is_dir():
        return
    if ending in AUDIO_SUFFIXES:
        raise UsageError(f"{output}: embeddings are not audio", f"write {Path(output).with_suffix('.npz')}")
    if ending[1].isalpha():
        hint = f"choose from {', '.join(FORMS)}, or end the name of a folder with /"
        raise UsageError(f"{output}: embeddings cannot be written so", hint)


def _plan(files: list, recursive: bool, output: str | None, name: str | None, existing: str, form, model: str) -> tuple:
    """The jobs, and whether all of them write one file."""
    from enhance_cli.batch import inputs, outputs
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
    return (_all_into_one(found, jobs[0], form) if together else jobs), together


def _all_into_one(found: list, plan, form: str | None) -> list:
    """One job for every recording, all with the output of `plan`. Raises UsageError for ids that would not do."""
    from collections import Counter
    from dataclasses import replace

    from enhance_cli.vectors import form_of

    name, count = Counter(item.relative.as_posix() for item in found).most_common(1)[0]
    if count > 1:
        hint = "give the folder that holds them all, with --recursive"
        raise UsageError(f"{count} recordings would have the id {name}", hint)
    if form_of(plan.target) in ("ark", "scp"):
        spaced = [item.relative.as_posix() for item in found if len(item.relative.as_posix().split()) != 1]
        if spaced:
            raise UsageError(f"the id {spaced[0]!r} cannot stand in a Kaldi file", "write .npz or .parquet instead")
    return [replace(plan, source=item.path, relative=item.relative) for item in found]


def _without_archives_of_lists(found: list) -> list:
    """Of a Kaldi folder the .scp lists, and not the .ark files that go with them."""
    lists = {item.path.with_suffix("") for item in found if item.path.suffix == ".scp"}
    return [i for i in found if i.named or i.path.suffix != ".ark" or i.path.with_suffix("") not in lists]


def _list(jobs: list, quiet: bool) -> None:
    """What a run would do: the outputs on stdout, each once, the rest on stderr."""
    for target in dict.fromkeys(str(job.target) for job in jobs if job.action == "run"):
        result(target)
    for job in jobs:
        if job.action == "skip" and not quiet:
            say(f"skip {job.source}: {job.reason}")
