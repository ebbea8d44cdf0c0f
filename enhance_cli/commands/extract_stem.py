"""`enhance extract-stem`: mixes in, a file per stem out, by the same plan, manners and records as `denoise`."""

from enhance_cli import __version__, flags
from enhance_cli.commands.running import carry_out, count_steps, file_options
from enhance_cli.errors import UsageError


def extract_stem(
    files: flags.Inputs = None,
    stem: flags.Stem = None,
    output: flags.Output = None,
    residual: flags.Residual = False,
    steps: flags.StemSteps = None,
    sigma: flags.Sigma = None,
    sampler: flags.Sampler = None,
    model: flags.ModelName = None,
    full_band: flags.FullBandChoice = flags.FullBand.keep,
    device: flags.Device = "auto",
    precision: flags.Precision = "auto",
    batch_size: flags.BatchSize = "auto",
    threads: flags.Threads = None,
    workers: flags.Workers = None,
    engine: flags.EngineChoice = flags.Engine.local,
    ray_address: flags.RayAddress = None,
    seed: flags.Seed = 0,
    recursive: flags.Recursive = False,
    start: flags.Start = 0.0,
    duration: flags.Duration = None,
    track: flags.Track = None,
    channel: flags.Channel = None,
    shard: flags.Shard = None,
    retry_failed: flags.RetryFailed = None,
    name: flags.PartTemplate = None,
    existing: flags.OnExisting = flags.Existing.skip,
    format: flags.Format = None,
    bit_depth: flags.Bits = None,
    dither: flags.DitherChoice = flags.Dither.tpdf,
    sample_rate: flags.SampleRate = None,
    loudness: flags.Loudness = "keep",
    dry_run: flags.DryRun = False,
    json: flags.Json = False,
    report: flags.ReportFile = None,
    plot: flags.Plot = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
) -> None:
    """Take instruments out of music: each asked-for stem becomes a file of its own.

    Results lie beside their input (song.wav becomes song_drums.wav, song_bass.wav, ...) or in the folder given with -o, with
    the input's length, channels, rate, format and tags. Results that are already there are left alone.
    """
    from enhance_cli.audio.formats import extension_for
    from enhance_cli.batch import inputs, outputs
    from enhance_cli.batch.reports import failed_jobs
    from enhance_cli.batch.work import Work
    from enhance_cli.models import registry
    from enhance_cli.models.demucs import spec_of

    part = flags.parse_shard(shard)
    target_loudness = flags.parse_loudness(loudness)
    batch = flags.parse_batch_size(batch_size)
    entry = registry.find(model, "extract-stem")
    spec = spec_of(entry)
    stems = spec.choose_stems(flags.parse_list(stem or ["all"]))
    of_refinement = {"--sampler": sampler, "--sigma": sigma}
    steps, sampler = spec.choose(steps, sampler)
    for flag, value in of_refinement.items():
        if value is not None and not steps:
            hint = "ask for --steps 1" if spec.max_steps else "use a model that refines"
            raise UsageError(f"{flag} {value}: nothing is refined without steps", f"leave it away, or {hint}")
    parts = (*stems, "residual") if residual else stems
    if retry_failed:
        jobs = failed_jobs(retry_failed, existing.value, (files, output, name), parts)
    else:
        found = inputs.expand(files or [], recursive)
        found = inputs.by_track(found) if track == "all" else found
        known = {"model": entry.name, "steps": steps}
        jobs = outputs.plan_parts(found, parts, output, name, existing.value, extension_for(format), known)
    if part:
        jobs = inputs.shard(jobs, *part)

    base = {"model": entry.name, "steps": steps, "seed": seed, "version": __version__}
    choices = {
        "stems": stems, "steps": steps, "sampler": sampler, "sigma": sigma, "seed": seed, "residual": residual,
        "full_band": full_band is flags.FullBand.keep, "batch_size": batch,
    }  # fmt: skip
    options = file_options(
        jobs, json, report, verbose, plot, bit_depth,
        start=start, duration=duration, container=format, sample_rate=sample_rate, loudness=target_loudness,
        track=None if track == "all" else track, channels=flags.parse_channel(channel),
        dither=dither.value, command="extract-stem",
        parts=parts, closed=residual,
    )  # fmt: skip
    said = f", {sampler}, {count_steps(steps)}" if steps else ""
    carry_out(
        jobs, Work(_load, entry, device, precision, threads, choices, options), base, lambda _: entry.name + said,
        engine, workers, ray_address, retry_failed, dry_run, json, report, quiet, verbose,
    )  # fmt: skip


def _load(entry, device: str, precision: str, threads: int | None, batch_size: int | None, **options):
    """The extractor, and what records say about it. torch is imported here."""
    from enhance_cli.models.device import pick_device, pick_precision
    from enhance_cli.models.stems import load_stems
    from enhance_cli.tasks.extract_stem import StemExtractor, StemOptions

    place = pick_device(device)
    kind = pick_precision(precision, place)
    loaded = load_stems(entry, place, kind)
    extractor = StemExtractor(loaded, StemOptions(batch_size=batch_size or 16, threads=threads, **options))
    facts = {"revision": entry.sha256, "device": str(place), "precision": loaded.precision}
    if extractor.steps:
        facts |= {"sampler": extractor.sampler, "sampler_args": {"sigma": extractor.sigma} if extractor.sigma else {}}
    return extractor, facts
