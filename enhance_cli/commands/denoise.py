"""Run `enhance denoise`: flags in, a checked plan, one model for all files, one record per file out."""

from dataclasses import dataclass
from typing import Annotated

from enhance_cli.commands.audio_plan import plan_audio
from enhance_cli.console import count_of
from enhance_cli.flags import values
from enhance_cli.flags.files import AudioFileFlags, Inputs, WatchFlags
from enhance_cli.flags.group import grouped
from enhance_cli.flags.model import FullBand, FullBandChoice, ModelName, Sampler, Seed, Steps
from enhance_cli.flags.output import AudioOutputFlags
from enhance_cli.flags.panel import EXPERT, MODEL, OUTPUT, option
from enhance_cli.flags.running import BatchSize, Running

SUFFIX = "denoised"

Guide = Annotated[
    str | None,
    option(
        MODEL,
        metavar="none|vad|panns|gaps",
        help="Guide of a model that takes one: it knows where voices or gaps are.",
        show_default="the model's",
    ),
]
Strength = Annotated[float, option(MODEL, min=0, max=1, help="Mix: 0 is the input, 1 the cleaned signal.")]
MaxAttenuation = Annotated[
    float | None,
    option(MODEL, min=0, metavar="DB", help="Reduce the noise by at most this much.", show_default="no limit"),
]
Residual = Annotated[
    bool,
    option(
        OUTPUT,
        "--residual/--no-residual",
        help="Also write the sound that was removed, as NAME_residual beside NAME_denoised.",
    ),
]


@dataclass(frozen=True, repr=False, eq=False)
class SamplerFlags:
    """Set how a sampler goes: the panel "Expert". The first two are for SGMSE's predictor-corrector."""

    corrector_steps: Annotated[
        int | None, option(EXPERT, min=0, help="Corrector calls per step.", show_default="the model's")
    ] = None
    snr: Annotated[
        float | None, option(EXPERT, min=0, help="Step size of the corrector.", show_default="the model's")
    ] = None
    sampler_start: Annotated[
        float | None,
        option(EXPERT, min=0, max=1, metavar="T", help="Process time to start from, of 1 (noisy) to 0 (clean)."),
    ] = None
    sdedit: Annotated[
        float | None,
        option(
            EXPERT,
            min=0,
            max=1,
            metavar="SHARE",
            help="Add noise to the input up to this share of the path, and sample from there: 0 leaves it as it is.",
        ),
    ] = None

    @property
    def sampler_args(self) -> dict[str, float]:
        """Return the settings that were given, by the names that samplers have for them."""
        given = {
            "corrector_steps": self.corrector_steps,
            "snr": self.snr,
            "start": self.sampler_start,
            "strength": self.sdedit,
        }
        return {name: value for name, value in given.items() if value is not None}


@grouped
def denoise(
    files: Inputs = None,
    where: AudioFileFlags = AudioFileFlags(),
    watching: WatchFlags = WatchFlags(),
    writing: AudioOutputFlags = AudioOutputFlags(),
    model: ModelName = None,
    steps: Steps = None,
    sampler: Sampler = None,
    seed: Seed = 0,
    guide: Guide = None,
    strength: Strength = 1.0,
    max_attenuation: MaxAttenuation = None,
    full_band: FullBandChoice = FullBand.keep,
    residual: Residual = False,
    running: Running = Running(),
    batch_size: BatchSize = "auto",
    sampling: SamplerFlags = SamplerFlags(),
) -> None:
    """Remove noise from speech recordings.

    The result is written beside its input (take.wav becomes take_denoised.wav) or to the folder given with -o, with the
    input's length, level, channels, rate, format and tags. In a video only the sound is replaced, everything else is copied.
    Existing results are kept.
    """
    from enhance_cli.batch.file_options import FileOptions
    from enhance_cli.batch.worker import WorkerSpec
    from enhance_cli.models import registry
    from enhance_cli.models.spec import read_spec
    from enhance_cli.tasks.loading import load_denoiser
    from enhance_cli.tasks.options import DenoiseOptions

    windows = values.parse_batch_size(batch_size)
    entry = registry.find(model, "denoise")
    spec = read_spec(entry.path)
    (steps, sampler), guide = spec.choose(steps, sampler), spec.choose_guide(guide)
    options = DenoiseOptions(
        steps=steps,
        sampler=sampler,
        seed=seed,
        strength=strength,
        max_attenuation=max_attenuation,
        full_band=full_band is FullBand.keep,
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
    }
    worker = WorkerSpec(load_denoiser, entry, options, file_options, running.resources)
    describe = lambda facts: ", ".join(filter(None, (entry.name, sampler, count_of(steps, "step"))))
    plan.run(worker, facts, describe)
