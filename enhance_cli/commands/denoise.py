"""Run `enhance denoise`: flags in, a checked plan, one model for all files, one record per file out."""

from enhance_cli import __version__, flag_values, flags
from enhance_cli.commands.audio_plan import plan_audio
from enhance_cli.commands.running import count_steps
from enhance_cli.flag_groups import AudioFileFlags, AudioOutputFlags, Running, SamplerFlags, WatchFlags, grouped

SUFFIX = "denoised"


@grouped
def denoise(
    files: flags.Inputs = None,
    where: AudioFileFlags = AudioFileFlags(),
    watching: WatchFlags = WatchFlags(),
    writing: AudioOutputFlags = AudioOutputFlags(),
    model: flags.ModelName = None,
    steps: flags.Steps = None,
    sampler: flags.Sampler = None,
    seed: flags.Seed = 0,
    guide: flags.Guide = None,
    strength: flags.Strength = 1.0,
    max_attenuation: flags.MaxAttenuation = None,
    full_band: flags.FullBandChoice = flags.FullBand.keep,
    residual: flags.NoiseResidual = False,
    running: Running = Running(),
    batch_size: flags.BatchSize = "auto",
    sampling: SamplerFlags = SamplerFlags(),
) -> None:
    """Remove noise from speech recordings.

    The result lies beside its input (take.wav becomes take_denoised.wav) or in the folder given with -o, with the input's
    length, level, channels, rate, format and tags. Of a video only the sound is replaced, all else is copied. Results that
    are already there are left alone.
    """
    from enhance_cli.batch.file_options import FileOptions
    from enhance_cli.batch.worker import WorkerSpec
    from enhance_cli.models import registry
    from enhance_cli.models.spec import read_spec
    from enhance_cli.tasks.loading import load_denoiser
    from enhance_cli.tasks.options import DenoiseOptions

    windows = flag_values.parse_batch_size(batch_size)
    entry = registry.find(model, "denoise")
    spec = read_spec(entry.path)
    (steps, sampler), guide = spec.choose(steps, sampler), spec.choose_guide(guide)
    options = DenoiseOptions(
        steps=steps,
        sampler=sampler,
        seed=seed,
        strength=strength,
        max_attenuation=max_attenuation,
        full_band=full_band is flags.FullBand.keep,
        batch_size=windows,
        sampler_args=sampling.sampler_args,
        guide=guide,
        residual=residual,
    )
    parts = (SUFFIX, "residual") if residual else ()
    fields = {"model": entry.name, "steps": steps}
    plan = plan_audio(files, where, watching, writing, running, suffix=SUFFIX, parts=parts, fields=fields)
    file_options = plan.file_options("denoise", FileOptions(parts=parts, last_part_absorbs_rounding=residual))
    facts = {
        "model": entry.name,
        "sampler": sampler,
        "sampler_args": options.sampler_args,
        "steps": steps,
        "seed": seed,
        "guide": guide,
        "version": __version__,
    }
    worker = WorkerSpec(load_denoiser, entry, options, file_options, **running.resources)
    describe = lambda facts: ", ".join(filter(None, (entry.name, sampler, count_steps(steps))))
    plan.run(worker, facts, describe)
