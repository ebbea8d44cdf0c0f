"""`enhance denoise`: flags in, a checked plan, one model for all files, one record per file out."""

from enhance_cli import __version__, flags
from enhance_cli.commands.running import carry_out, count_steps, file_options

SUFFIX = "denoised"


def denoise(
    files: flags.Inputs = None,
    output: flags.Output = None,
    steps: flags.Steps = None,
    sampler: flags.Sampler = None,
    corrector_steps: flags.CorrectorSteps = None,
    snr: flags.Snr = None,
    sampler_start: flags.SamplerStart = None,
    model: flags.ModelName = None,
    guide: flags.Guide = None,
    strength: flags.Strength = 1.0,
    max_attenuation: flags.MaxAttenuation = None,
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
    name: flags.NameTemplate = None,
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
    """Remove noise from speech recordings.

    The result lies beside its input (take.wav becomes take_denoised.wav) or in the folder given with -o, with the input's
    length, level, channels, rate, format and tags. Results that are already there are left alone.
    """
    from enhance_cli.audio.formats import extension_for
    from enhance_cli.batch import inputs, outputs
    from enhance_cli.batch.reports import failed_jobs
    from enhance_cli.batch.work import Work
    from enhance_cli.models import registry
    from enhance_cli.models.spec import read_spec

    part = flags.parse_shard(shard)
    target_loudness = flags.parse_loudness(loudness)
    batch = flags.parse_batch_size(batch_size)
    entry = registry.find(model, "denoise")
    spec = read_spec(entry.path)
    (steps, sampler), guide = spec.choose(steps, sampler), spec.choose_guide(guide)
    if retry_failed:
        jobs = failed_jobs(retry_failed, existing.value, (files, output, name))
    else:
        found = inputs.expand(files or [], recursive)
        found = inputs.by_track(found) if track == "all" else found
        known = {"model": entry.name, "steps": steps}
        jobs = outputs.plan(found, output, name, SUFFIX, existing.value, extension_for(format), known)
    if part:
        jobs = inputs.shard(jobs, *part)

    settings = {"corrector_steps": corrector_steps, "snr": snr, "start": sampler_start}
    settings = {name: value for name, value in settings.items() if value is not None}
    base = {
        "model": entry.name, "sampler": sampler, "sampler_args": settings, "steps": steps, "seed": seed, "guide": guide,
        "version": __version__,
    }  # fmt: skip
    choices = {
        "steps": steps, "sampler": sampler, "sampler_args": settings, "seed": seed, "strength": strength, "guide": guide,
        "max_attenuation": max_attenuation, "full_band": full_band is flags.FullBand.keep, "batch_size": batch,
    }  # fmt: skip
    options = file_options(
        jobs, json, report, verbose, plot, bit_depth,
        start=start, duration=duration, container=format, sample_rate=sample_rate, loudness=target_loudness,
        track=None if track == "all" else track, channels=flags.parse_channel(channel), dither=dither.value, command="denoise",
    )  # fmt: skip
    carry_out(
        jobs, Work(_load, entry, device, precision, threads, choices, options), base,
        lambda _: f"{entry.name}, {sampler}, {count_steps(steps)}",
        engine, workers, ray_address, retry_failed, dry_run, json, report, quiet, verbose,
    )  # fmt: skip


def _load(entry, device: str, precision: str, threads: int | None, batch_size: int | None, **options):
    """The denoiser, and what records say about it. torch is imported here."""
    from enhance_cli.models.device import pick_device, pick_precision
    from enhance_cli.models.load import load_file
    from enhance_cli.tasks.denoise import DenoiseOptions, Denoiser

    place = pick_device(device)
    kind = pick_precision(precision, place)
    loaded = load_file(entry.path, place, kind, entry.sha256)
    denoiser = Denoiser(loaded, DenoiseOptions(batch_size=batch_size or 16, threads=threads, **options))
    return denoiser, {"revision": entry.sha256, "device": str(place), "precision": kind}
