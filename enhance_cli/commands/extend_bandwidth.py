"""Run `enhance extend-bandwidth`: recordings without treble in, with it out, by the same plan and rules as `denoise`."""

from collections.abc import Mapping
from typing import Any

from enhance_cli import __version__, flag_values, flags
from enhance_cli.commands.audio_plan import plan_audio
from enhance_cli.commands.running import count_steps
from enhance_cli.flag_groups import AudioFileFlags, Running, WatchFlags, WideOutputFlags, grouped

SUFFIX = "extended"


@grouped
def extend_bandwidth(
    files: flags.Inputs = None,
    where: AudioFileFlags = AudioFileFlags(),
    watching: WatchFlags = WatchFlags(),
    writing: WideOutputFlags = WideOutputFlags(),
    model: flags.ModelName = None,
    input_cutoff: flags.InputCutoff = "auto",
    steps: flags.ExtendSteps = None,
    guidance: flags.Guidance = None,
    seed: flags.Seed = 0,
    running: Running = Running(),
    batch_size: flags.BatchSize = "auto",
    spacing: flags.StepSpacing = None,
) -> None:
    """Make the treble that a recording is missing: telephone, old or compressed ones become 48 kHz.

    The band that the recording has stays as it is, and its end is found automatically. A recording with a full band
    passes through unchanged. The result lies beside its input (take.wav becomes take_extended.wav) or in the folder given
    with -o. Results that are already there are left alone.
    """
    from enhance_cli.batch.file_options import FileOptions
    from enhance_cli.batch.measurements.band import BandMeasurement
    from enhance_cli.batch.worker import WorkerSpec
    from enhance_cli.models import registry
    from enhance_cli.models.spec import read_spec
    from enhance_cli.tasks.expected_time import on_cpu
    from enhance_cli.tasks.loading import load_bandwidth_extender
    from enhance_cli.tasks.options import ExtendOptions

    windows, cutoff = flag_values.parse_batch_size(batch_size), flag_values.parse_cutoff(input_cutoff)
    entry = registry.find(model, "extend-bandwidth")
    spec = read_spec(entry.path)
    (steps, sampler), guidance = spec.choose(steps, None), spec.choose_guidance(guidance)
    options = ExtendOptions(
        cutoff=cutoff,
        steps=steps,
        guidance=guidance,
        spacing=spacing.value if spacing else None,
        threads=running.threads,
        seed=seed,
        batch_size=windows,
    )
    fields = {"model": entry.name, "steps": steps}
    plan = plan_audio(files, where, watching, writing, running, suffix=SUFFIX, fields=fields)
    of_task = FileOptions(measurement=BandMeasurement(cutoff))
    file_options = plan.file_options("extend-bandwidth", of_task)
    facts = {"model": entry.name, "steps": steps, "seed": seed, "version": __version__}
    worker = WorkerSpec(load_bandwidth_extender, entry, options, file_options, **running.resources)

    def describe(facts: Mapping[str, Any]) -> str:
        sampled = [sampler, count_steps(steps)] if sampler else []
        sources = [job.source for job in plan.jobs if job.action == "run"]
        channels = 1 if where.channel else None
        taking = on_cpu(spec, options, sources, facts, duration=where.duration, channels=channels)
        return ", ".join([entry.name, *sampled, *taking])

    plan.run(worker, facts, describe)
