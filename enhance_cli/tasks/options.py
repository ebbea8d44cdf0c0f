"""Define the options of each task. None stands for the model's own default. Nothing heavy is imported here."""

from dataclasses import dataclass, field
from math import inf

from enhance_cli.errors import UsageError
from enhance_cli.ranges import OutOfRange, in_range, of_declared_types

# The limits that the options of tasks with windows share
_WINDOWS: dict[str, tuple[float, float]] = {"batch_size": (1, inf), "threads": (1, inf), "window_seconds": (0, inf)}


def _check(options: object, **limits: tuple[float, float]) -> None:
    """Check the types of all fields of `options`, and the ranges of some. Raises UsageError.

    The command line has checked its flags before: these are the values of Python programs.
    """
    try:
        of_declared_types(options)
        in_range(options, **limits)
    except OutOfRange as error:
        raise UsageError(f"{error.key}: {error}", "change it, or leave it out") from error


@dataclass(frozen=True)
class DenoiseOptions:
    """Set the options of tasks.denoise.

    `strength` 0..1 mixes between input and result, `max_attenuation` (dB) leaves that much of the input under the
    result, `full_band` False cuts the signal above the model's band, `batch_size` is in windows times channels, on a
    GPU. `sampler_args` are settings of the sampler, such as snr or start, and `strength` of any sampler (models.sampling).
    `guide` is "none" or one that the model was trained with. `threads` are of the CPU. `window_seconds` is the length of a
    window, for models that run in windows. `residual` adds the input less the result as a second part.
    """

    steps: int | None = None
    sampler: str | None = None
    seed: int = 0
    strength: float = 1.0
    max_attenuation: float | None = None
    full_band: bool = True
    batch_size: int = 1
    sampler_args: dict = field(default_factory=dict)
    guide: str | None = None
    threads: int | None = None
    window_seconds: float | None = None
    residual: bool = False

    def __post_init__(self) -> None:
        _check(self, strength=(0, 1), max_attenuation=(0, inf), seed=(0, inf), **_WINDOWS)

    @property
    def wet(self) -> float:
        """Return the share of the model's change that reaches the result."""
        floor = 0.0 if self.max_attenuation is None else 10 ** (-self.max_attenuation / 20)
        return self.strength * (1 - floor)


@dataclass(frozen=True)
class StemOptions:
    """Set the options of tasks.extract_stem.

    `stems` are names of the model's, or "all". `residual` adds the mix less these stems as the last part. `sigma` is
    the noise level that the refinement starts at. `full_band` False cuts the signal above the model's band.
    `batch_size` is in windows times the channels that the network takes at once. `window_seconds` is the length of a
    window.
    """

    stems: tuple[str, ...] = ("all",)
    steps: int | None = None
    sampler: str | None = None
    sigma: float | None = None
    seed: int = 0
    residual: bool = False
    full_band: bool = True
    batch_size: int = 1
    threads: int | None = None
    window_seconds: float | None = None

    def __post_init__(self) -> None:
        _check(self, sigma=(0, inf), seed=(0, inf), **_WINDOWS)


@dataclass(frozen=True)
class ExtendOptions:
    """Set the options of tasks.extend_bandwidth.

    `cutoff` is the frequency in Hz that the band of the input ends at (None: it is found). `steps`, `guidance` (weight of the
    condition) and `spacing` of the steps ("trailing" or "uniform") are for models that sample. `batch_size` is in windows, on
    a GPU. `threads` are of the CPU. `window_seconds` is the length of a window.
    """

    cutoff: float | None = None
    steps: int | None = None
    guidance: float | None = None
    spacing: str | None = None
    seed: int = 0
    batch_size: int = 1
    threads: int | None = None
    window_seconds: float | None = None

    def __post_init__(self) -> None:
        _check(self, guidance=(0, inf), seed=(0, inf), **_WINDOWS)


@dataclass(frozen=True)
class InpaintOptions:
    """Set the options of tasks.inpaint. `threads` are of the CPU, each of which works on a file.

    `predicted` is the length in seconds of the longest gap that linear prediction fills from both sides. The others are for the
    model that fills longer gaps. `steps`, `sampler` and `seed` are those of denoising. `strength` 0..1 is the share of the path
    that is sampled from a first filling (models.sampling). `rounds` are calls per step (models.masked).
    """

    threads: int | None = None
    predicted: float = 0.1
    steps: int | None = None
    sampler: str | None = None
    seed: int = 0
    strength: float = 1.0
    rounds: int = 1

    def __post_init__(self) -> None:
        _check(self, threads=(1, inf), strength=(0, 1), rounds=(1, 100), seed=(0, inf))


@dataclass(frozen=True)
class RepairOptions:
    """Set the options of tasks.repair.

    `time`: diffusion time to start from (0 to 999). With None and more than one step, the published grid is used.
    `draws` results, each with its own noise, are averaged. With 0 a single result is made without noise. `ensemble`
    0..1 is the weight of the vector as it came, beside the repaired one. `normalize` "unit" gives results of length
    one, "keep" of the length that came in.
    """

    time: float | None = None
    steps: int | None = None
    draws: int = 0
    seed: int = 0
    ensemble: float | None = None
    normalize: str = "unit"

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class EmbedOptions:
    """Set the options of tasks.embed.

    `segment` in seconds (None: as the network was trained, or the whole recording). `vad` drops silence. `normalize`
    gives segments and result unit length. Without it the result is the mean of the network's outputs. `channel`: number
    (from 1) of the channel to take, or "mix" for the mean. None is the mean unless it cancels the channels.
    """

    segment: float | None = None
    vad: bool = False
    normalize: bool = True
    channel: str | None = None

    def __post_init__(self) -> None:
        _check(self, segment=(0, inf))


@dataclass(frozen=True)
class PipelineOptions:
    """Set the options of tasks.embedding_pipeline.

    `extractor` is the name, id or file of a speaker network (None: the one that the model was trained for). With
    `recordings` it is loaded at once, else when the first recording comes.
    """

    repair: RepairOptions = RepairOptions()
    extractor: str | None = None
    embed: EmbedOptions = EmbedOptions()
    recordings: bool = False
