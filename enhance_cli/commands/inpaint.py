"""Run `enhance inpaint`: recordings with gaps in, with filled ones out, by the same plan and rules as `denoise`."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from enhance_cli.commands.audio_plan import plan_audio
from enhance_cli.console import say
from enhance_cli.errors import UsageError
from enhance_cli.flags import values
from enhance_cli.flags.files import AudioFileFlags, Inputs, WatchFlags
from enhance_cli.flags.group import grouped
from enhance_cli.flags.model import Sampler, Seed, Steps
from enhance_cli.flags.output import AudioOutputFlags
from enhance_cli.flags.panel import EXPERT, MODEL, option
from enhance_cli.flags.running import Running

if TYPE_CHECKING:
    from enhance_cli.batch.file_options import FileOptions
    from enhance_cli.batch.job import Job

SUFFIX = "inpainted"

Gaps = Annotated[
    str, option(MODEL, metavar="SECONDS-SECONDS,...|auto", help="Gaps to fill, as in 12.30-12.42,57.1-57.15.")
]
ModelName = Annotated[
    str | None,
    option(
        MODEL,
        "--model",
        "-m",
        help="Name or file of a denoiser that samples, for gaps of 100 to 500 ms.",
        show_default="none, they fade",
    ),
]
Strength = Annotated[
    float,
    option(MODEL, min=0, max=1, help="Share of the first filling that the model replaces: 0 keeps it, 1 is all."),
]
Rounds = Annotated[
    int, option(EXPERT, min=1, max=100, help="Network calls per step: more fit the sound around a gap better.")
]


@grouped
def inpaint(
    files: Inputs = None,
    where: AudioFileFlags = AudioFileFlags(),
    watching: WatchFlags = WatchFlags(),
    writing: AudioOutputFlags = AudioOutputFlags(),
    gaps: Gaps = "auto",
    model: ModelName = None,
    steps: Steps = None,
    sampler: Sampler = None,
    strength: Strength = 1.0,
    seed: Seed = 0,
    running: Running = Running(),
    rounds: Rounds = 1,
) -> None:
    """Fill gaps in recordings: dropouts, clicks and lost packets.

    All other samples are kept as they are. Gaps of up to 100 ms are filled by linear prediction from both sides. Longer
    ones are filled by the model given with --model, else they fade out and in. --dry-run lists the gaps that are found. The
    result is written beside its input (take.wav becomes take_inpainted.wav) or to the folder given with -o. Existing results
    are kept.
    """
    from enhance_cli.audio.gaps.meter import in_order
    from enhance_cli.batch.file_options import FileOptions
    from enhance_cli.batch.measurements.gaps import GapMeasurement
    from enhance_cli.batch.worker import WorkerSpec
    from enhance_cli.models import registry
    from enhance_cli.models.spec import read_spec
    from enhance_cli.tasks.loading import load_inpainter
    from enhance_cli.tasks.options import InpaintOptions

    times = values.parse_gaps(gaps)
    if times:
        times = in_order(times)  # refuses overlaps before anything is read
    entry = registry.find(model, "inpaint") if model else None
    if entry:
        steps, sampler = read_spec(entry.path).choose(steps, sampler)
    elif steps or sampler or strength != 1 or rounds != 1:
        raise UsageError("--steps, --sampler, --strength and --rounds are for a model", "name one with --model")
    name = entry.name if entry else "linear-prediction"
    plan = plan_audio(files, where, watching, writing, running, suffix=SUFFIX, fields={"model": name})
    of_task = FileOptions(measurement=GapMeasurement(times))
    file_options = plan.file_options("inpaint", of_task)
    facts: dict[str, Any] = {"model": name}
    if entry:
        facts |= {"sampler": sampler, "steps": steps, "seed": seed}
        facts["sampler_args"] = {} if strength == 1 else {"strength": strength}
    options = InpaintOptions(steps=steps, sampler=sampler, seed=seed, strength=strength, rounds=rounds)
    worker = WorkerSpec(load_inpainter, entry, options, file_options, running.resources)
    plan.run(worker, facts, lambda facts: name, preview=_preview(file_options, quiet=running.quiet))


def _preview(options: "FileOptions", *, quiet: bool) -> "Callable[[Job], tuple[str, dict[str, Any]]]":
    """Return a function that returns the gaps of a job's input as text and as fields of a record.

    It tells how many of each kind there are.
    """
    from enhance_cli.audio.gaps.gap import GIVEN
    from enhance_cli.audio.gaps.meter import GapMeter
    from enhance_cli.batch.reading import measure_file
    from enhance_cli.batch.worker import with_remote_files

    measured = with_remote_files(lambda local: {"level": measure_file(local, options)})

    def preview(job: "Job") -> tuple[str, dict[str, Any]]:
        level = measured(job)["level"]
        meter = level.extra
        assert isinstance(meter, GapMeter)
        gaps = meter.found(level.track)
        if not quiet:
            kinds = Counter(gap.kind for gap in gaps)
            counts = (f"{count} {kind}{'s' * (count > 1 and kind != GIVEN)}" for kind, count in kinds.items())
            say(f"{job.source}: {', '.join(counts) or 'no gap'}")
        meter.filled = [(gap, None) for gap in gaps]
        return meter.text(gaps), {"gaps": meter.record()}

    return preview
