"""Run `enhance extract-stem`: mixes in, a file per stem out, by the same plan, rules and records as `denoise`."""

from typing import Annotated

from enhance_cli.commands.audio_plan import plan_audio
from enhance_cli.console import count_of
from enhance_cli.errors import UsageError
from enhance_cli.flags import values
from enhance_cli.flags.files import AudioFileFlags, Inputs, WatchFlags
from enhance_cli.flags.group import grouped
from enhance_cli.flags.model import FullBand, FullBandChoice, ModelName, Sampler, Seed
from enhance_cli.flags.output import StemOutputFlags
from enhance_cli.flags.panel import MODEL, OUTPUT, option
from enhance_cli.flags.running import BatchSize, Running

Stem = Annotated[
    list[str] | None,
    option(
        OUTPUT,
        "--stem",
        "-s",
        metavar="NAME,...",
        help="drums, bass, ... as the model has them, or all.",
        show_default="all",
    ),
]
Residual = Annotated[
    bool, option(OUTPUT, "--residual/--no-residual", help="Also write the rest of the mix, without these stems.")
]
Steps = Annotated[
    int | None,
    option(MODEL, "--steps", "-n", min=0, help="Steps of refinement; 0 for none.", show_default="the model's"),
]
Sigma = Annotated[
    float | None, option(MODEL, min=0, help="Noise level at which the refinement starts.", show_default="the model's")
]


@grouped
def extract_stem(
    files: Inputs = None,
    where: AudioFileFlags = AudioFileFlags(),
    watching: WatchFlags = WatchFlags(),
    writing: StemOutputFlags = StemOutputFlags(),
    stem: Stem = None,
    residual: Residual = False,
    model: ModelName = None,
    steps: Steps = None,
    sampler: Sampler = None,
    sigma: Sigma = None,
    seed: Seed = 0,
    full_band: FullBandChoice = FullBand.keep,
    running: Running = Running(),
    batch_size: BatchSize = "auto",
) -> None:
    """Separate music into stems: each requested stem is written to a file of its own.

    Results are written beside their input (song.wav becomes song_drums.wav, song_bass.wav, ...) or to the folder given with
    -o, with the input's length, channels, rate, format and tags. Stems of a video are videos. Existing results are kept.
    """
    from enhance_cli.batch.file_options import FileOptions
    from enhance_cli.batch.worker import WorkerSpec
    from enhance_cli.models import registry
    from enhance_cli.models.demucs import spec_of
    from enhance_cli.tasks.loading import load_stem_extractor
    from enhance_cli.tasks.options import StemOptions

    windows = values.parse_batch_size(batch_size)
    entry = registry.find(model, "extract-stem")
    spec = spec_of(entry)
    stems = spec.choose_stems(values.parse_list(stem or ["all"]))
    of_refinement = {"--sampler": sampler, "--sigma": sigma}
    steps, sampler = spec.choose(steps, sampler)
    for flag, value in of_refinement.items():
        if value is not None and not steps:
            hint = "ask for --steps 1" if spec.max_steps else "use a model that refines"
            raise UsageError(f"{flag} {value}: nothing is refined without steps", f"leave it out, or {hint}")
    options = StemOptions(
        stems=stems,
        steps=steps,
        sampler=sampler,
        sigma=sigma,
        seed=seed,
        residual=residual,
        full_band=full_band is FullBand.keep,
        batch_size=windows,
    )
    parts = (*stems, "residual") if residual else stems
    fields = {"model": entry.name, "steps": steps}
    plan = plan_audio(files, where, watching, writing, running, parts=parts, fields=fields)
    of_task = FileOptions(parts=parts, last_part_absorbs_rounding=residual)
    file_options = plan.file_options("extract-stem", of_task)
    facts = {"model": entry.name, "steps": steps, "seed": seed}
    refined = f", {sampler}, {count_of(steps, 'step')}" if steps else ""
    worker = WorkerSpec(load_stem_extractor, entry, options, file_options, running.resources)
    describe = lambda facts: entry.name + refined
    plan.run(worker, facts, describe)
