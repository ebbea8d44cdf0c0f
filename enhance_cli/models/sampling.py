"""Prepare a sampler: join the user's settings with the model's, and find the time at which sampling starts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter, signature
from math import ceil, inf, nextafter

from enhance_cli.contracts import Process
from enhance_cli.errors import UsageError
from enhance_cli.models.spec import Spec
from enhance_cli.ranges import OutOfRange, of_type
from enhance_cli.samplers import PAIRINGS, SAMPLERS

FLAGS = {"start": "--sampler-start", "strength": "--sdedit"}  # how a setting is spelled on the command line


@dataclass(frozen=True)
class Sampling:
    """Choose how a model samples.

    Args:
        steps, sampler: None for the model's own default.
        settings: settings of the sampler by name, and `strength` (0 to 1), which every sampler has: the share of the path
            that is sampled. The state begins at y with the noise of that time, and not at the end of the path. With 0
            nothing is sampled. (Meng et al., 2022, "SDEdit: guided image synthesis and editing with stochastic differential
            equations".)
        seed: of the noise.
    """

    steps: int | None = None
    sampler: str | None = None
    settings: dict = field(default_factory=dict)
    seed: int = 0


def prepare(spec: Spec, process: Process, sampling: Sampling) -> tuple[int, Callable]:
    """Return the number of steps, and a sampler with its settings bound (contracts.Sampler). Arguments as in `choose`."""
    steps, name, settings = choose(spec, process, sampling)
    return steps, partial(SAMPLERS[name], **settings)


def choose(spec: Spec, process: Process, sampling: Sampling) -> tuple[int, str, dict]:
    """Return the number of steps, the name of the sampler and all of its settings.

    The number of steps is 0 for a `strength` of 0. Raises UsageError for steps, a sampler or settings that the model does
    not allow.
    """
    steps, name = spec.choose(sampling.steps, sampling.sampler)
    given = dict(sampling.settings)
    strength = given.pop("strength", 1.0)
    check_strength(spec, strength, given)
    settings = sampler_settings(spec, name, given)
    grid = {"spacing": settings["spacing"]} if "spacing" in settings else {}
    if strength < 1:
        times = process.levels(steps, settings.get("start"), **grid)
        steps, settings["start"] = shortened(times, strength, lowest=process.t_eps)
    if steps and "start" in settings:
        process.levels(steps, settings["start"], **grid)  # raises UsageError for a start outside of the process
    return steps, name, settings


def check_strength(spec: Spec, strength: float, settings: dict) -> None:
    """Raise UsageError for a strength that is not 0 to 1, or that contradicts the model or the other `settings`."""
    flag, start = FLAGS["strength"], FLAGS["start"]
    _check_type(flag, strength, float)
    if not 0 <= strength <= 1:
        raise UsageError(f"{flag} {strength:g}: must be from 0 to 1", "0 is the input, 1 the whole path")
    if strength < 1 and "start" in settings:
        raise UsageError(f"{flag} and {start} both say where sampling starts", "give one of them")
    if strength < 1 and spec.first_stage:
        hint = "use --strength, or a model without a first stage"
        raise UsageError(f"{flag}: {spec.name} samples from the estimate of its first stage", hint)


def shortened(times: list[float], strength: float, *, lowest: float = 0.0) -> tuple[int, float]:
    """Return the number of steps on the last part of a grid of `times`, and the time at which that part begins.

    Args:
        times: from the noisy end to the clean one.
        strength: share of the steps that are taken. A part of a step counts as one.
        lowest: the `t_eps` of the process. Sampling begins above it.
    """
    position = (1 - strength) * (len(times) - 1)
    before = min(int(position), len(times) - 2)
    start = times[before] + (position - before) * (times[before + 1] - times[before])
    return ceil(strength * (len(times) - 1) - 1e-9), max(start, nextafter(lowest, inf))


def sampler_settings(spec: Spec, sampler: str, given: dict, flags: dict[str, str] = FLAGS) -> dict:
    """Return the settings of `sampler`: those of the model's header, replaced by those `given` by the user.

    `flags`: how a setting is spelled on the command line, if that is not its name. Raises UsageError for a sampler whose
    formulas do not hold for the model's process, and for settings that the sampler does not have or that are of another type.
    """
    if spec.process not in PAIRINGS[sampler]:
        fitting = [name for name, processes in PAIRINGS.items() if spec.process in processes]
        raise UsageError(
            f"--sampler {sampler}: its formulas do not hold for the process {spec.process}",
            f"choose from {', '.join(fitting)}",
        )
    parameters = signature(SAMPLERS[sampler]).parameters
    for name, value in given.items():
        flag = flags.get(name, "--" + name.replace("_", "-"))
        if name not in parameters or parameters[name].kind != Parameter.KEYWORD_ONLY:
            raise UsageError(f"{flag}: the sampler {sampler} has no such setting", "leave it out")
        _check_type(flag, value, parameters[name].annotation)
    return spec.sampler_args.get(sampler, {}) | given


def _check_type(flag: str, value: object, declared: object) -> None:
    """Raise UsageError unless a value from Python has the type that is `declared`. Flags are converted by the command line."""
    try:
        of_type(flag, value, declared)
    except OutOfRange as error:
        raise UsageError(f"{flag}: {error}", "change it, or leave it out") from error
