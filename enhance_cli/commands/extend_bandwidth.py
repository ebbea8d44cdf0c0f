"""Run `enhance extend-bandwidth`: recordings without treble in, with it out, by the same plan and rules as `denoise`."""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any

from enhance_cli.commands.audio_plan import plan_audio
from enhance_cli.console import count_of
from enhance_cli.flags import values
from enhance_cli.flags.files import AudioFileFlags, Inputs, WatchFlags
from enhance_cli.flags.group import grouped
from enhance_cli.flags.model import ModelName, Seed
from enhance_cli.flags.output import WideOutputFlags
from enhance_cli.flags.panel import EXPERT, MODEL, option
from enhance_cli.flags.running import BatchSize, Running

SUFFIX = "extended"


class Spacing(str, Enum):
    trailing = "trailing"
    uniform = "uniform"


InputCutoff = Annotated[str, option(MODEL, metavar="auto|HZ", help="Frequency at which the band of the input ends.")]
Steps = Annotated[
    int | None,
    option(MODEL, "--steps", "-n", help="Sampler steps, of models that sample.", show_default="the model's"),
]
Guidance = Annotated[
    float | None,
    option(
        MODEL,
        min=0,
        metavar="W",
        help="Weight of classifier-free guidance; 1 halves the network calls.",
        show_default="the model's",
    ),
]
StepSpacing = Annotated[
    Spacing | None,
    option(
        EXPERT,
        help="Where steps lie: trailing starts at pure noise, uniform is as published.",
        show_default="the model's",
    ),
]


@grouped
def extend_bandwidth(
    files: Inputs = None,
    where: AudioFileFlags = AudioFileFlags(),
    watching: WatchFlags = WatchFlags(),
    writing: WideOutputFlags = WideOutputFlags(),
    model: ModelName = None,
    input_cutoff: InputCutoff = "auto",
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = 0,
    running: Running = Running(),
    batch_size: BatchSize = "auto",
    spacing: StepSpacing = None,
) -> None:
    """Add the treble that a telephone, old or compressed recording is missing. The result has 48 kHz.

    The band of the recording is kept as it is, and where it ends is found automatically. A recording with a full band is
    not changed. The result is written beside its input (take.wav becomes take_extended.wav) or to the folder given with
    -o. Existing results are kept.
    """
    from enhance_cli.batch.file_options import FileOptions
    from enhance_cli.batch.measurements.band import BandMeasurement
    from enhance_cli.batch.worker import WorkerSpec
    from enhance_cli.models import registry
    from enhance_cli.models.spec import read_spec
    from enhance_cli.tasks.expected_time import on_cpu
    from enhance_cli.tasks.loading import load_bandwidth_extender
    from enhance_cli.tasks.options import ExtendOptions

    windows, cutoff = values.parse_batch_size(batch_size), values.parse_cutoff(input_cutoff)
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
    facts = {"model": entry.name, "steps": steps, "seed": seed}
    worker = WorkerSpec(load_bandwidth_extender, entry, options, file_options, running.resources)

    def describe(facts: Mapping[str, Any]) -> str:
        sampled = [sampler, count_of(steps, "step")] if sampler else []
        sources = [job.source for job in plan.jobs if job.action == "run"]
        channels = 1 if where.channel else None
        taking = on_cpu(spec, options, sources, facts, duration=where.duration, channels=channels)
        return ", ".join([entry.name, *sampled, *taking])

    plan.run(worker, facts, describe)
