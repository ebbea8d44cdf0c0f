"""Prepare a sampler: the model's own settings under the user's, and how much of the path from the noisy end it goes."""

from collections.abc import Callable
from functools import partial
from inspect import Parameter, signature
from math import ceil, inf, nextafter

from enhance_cli.contracts import Process
from enhance_cli.errors import UsageError
from enhance_cli.models.spec import Spec
from enhance_cli.samplers import PAIRINGS, SAMPLERS

FLAGS = {"start": "--sampler-start", "strength": "--sdedit"}


def prepare(
    spec: Spec, process: Process, *, steps: int | None, sampler: str | None, given: dict, flags: dict[str, str] = FLAGS
) -> tuple[int, Callable]:
    """Return the number of steps, and a sampler with its settings bound (contracts.Sampler).

    Args:
        spec, process: of the model.
        steps, sampler: as the user wants them, None for the model's own.
        given: settings of the sampler by their names, and for any sampler `strength` (0 to 1), the share of the path that is
            sampled: the state begins at y with the noise of that place and not at the end of the path. With 0 there is
            nothing to sample, and the number of steps is 0. (Meng et al., 2022, "SDEdit: guided image synthesis and editing
            with stochastic differential equations".)
        flags: how a setting is spelled on the command line where that is not its name.

    Raises UsageError for steps, sampler or settings that the model does not allow.
    """
    steps, name = spec.choose(steps, sampler)
    given = dict(given)
    strength = given.pop("strength", 1.0)
    if not 0 <= strength <= 1:
        raise UsageError(f"{flags['strength']} {strength:g}: must be from 0 to 1", "0 is the input, 1 the whole path")
    if strength < 1 and "start" in given:
        raise UsageError(f"{flags['strength']} and {flags['start']} both say where sampling starts", "give one of them")
    if strength < 1 and spec.first_stage:
        hint = "use --strength, or a model without a first stage"
        raise UsageError(f"{flags['strength']}: {spec.name} samples from the estimate of its first stage", hint)
    settings = sampler_settings(spec, name, given, flags)
    grid = {"spacing": settings["spacing"]} if "spacing" in settings else {}
    if strength < 1:
        times = process.levels(steps, settings.get("start"), **grid)
        steps, settings["start"] = shortened(times, strength, lowest=process.t_eps)
    if steps and "start" in settings:
        process.levels(steps, settings["start"], **grid)  # refuses a time where sampling cannot start
    return steps, partial(SAMPLERS[name], **settings)


def shortened(times: list[float], strength: float, *, lowest: float = 0.0) -> tuple[int, float]:
    """Return the number of steps on the last part of a grid of `times`, and the time where it begins.

    `strength` is its share of the steps. A part of a step counts as one. It begins above `lowest`, the `t_eps` of a process.
    """
    position = (1 - strength) * (len(times) - 1)
    before = min(int(position), len(times) - 2)
    start = times[before] + (position - before) * (times[before + 1] - times[before])
    return ceil(strength * (len(times) - 1) - 1e-9), max(start, nextafter(lowest, inf))


def sampler_settings(spec: Spec, sampler: str, given: dict, flags: dict[str, str] = FLAGS) -> dict:
    """Return the settings of `sampler`: those of the model, replaced by those `given` by the user.

    `flags` says how a setting is spelled on the command line where that is not its name. Raises UsageError for a process
    that the sampler does not hold for, and for settings that it does not have.
    """
    if spec.process not in PAIRINGS[sampler]:
        fitting = [name for name, processes in PAIRINGS.items() if spec.process in processes]
        raise UsageError(
            f"--sampler {sampler}: its formulas do not hold for the process {spec.process}",
            f"choose from {', '.join(fitting)}",
        )
    parameters = signature(SAMPLERS[sampler]).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind == Parameter.KEYWORD_ONLY]
    for name in given:
        if name not in known:
            flag = flags.get(name, "--" + name.replace("_", "-"))
            raise UsageError(f"{flag}: the sampler {sampler} has no such setting", "leave it out")
    return spec.sampler_args.get(sampler, {}) | given
