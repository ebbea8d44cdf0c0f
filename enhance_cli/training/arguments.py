"""Check the names and arguments that a recipe passes to networks, processes, samplers and losses, before loading data.

Unknown names are reported with their line and the closest known name. Incompatible choices are reported too.
"""

from collections.abc import Callable
from inspect import Parameter, signature

from enhance_cli.audio.stft import Frontend
from enhance_cli.data.ranges import OutOfRange
from enhance_cli.errors import UsageError
from enhance_cli.losses import DISTANCES, LOSSES, SPECTRAL
from enhance_cli.losses import PAIRINGS as LOSS_PAIRINGS
from enhance_cli.models.spec import Spec
from enhance_cli.networks import NETWORKS
from enhance_cli.processes import PROCESSES
from enhance_cli.samplers import PAIRINGS, SAMPLERS, calls
from enhance_cli.training.denoise.recipe import DISTANCE
from enhance_cli.training.stage import Stage
from enhance_cli.training.stems.objective import LOSSES as STEM_LOSSES
from enhance_cli.training.toml_values import Origins, build, out_of_range, unknown_key

NETWORK_ARGS = ("model", "network_args")
SAMPLER_HAS, LOSS_HAS = 5, 6  # arguments that every sampler and every loss gets and no recipe sets
INJECTED_ARGUMENTS = {"teacher", "average", "sample"}  # arguments of losses that training brings itself


def check(recipe, origins: Origins) -> None:
    """Check all names and arguments of `recipe`. Raises UsageError."""
    model = recipe.model
    stems = bool(model.stems)
    _names(_known(NETWORKS, model.network, origins, ("model", "network")), model.network_args, origins, NETWORK_ARGS)
    if not stems:  # these have samplers for the refiner alone, which not all have
        _model(model, origins)
    for number, stage in enumerate(recipe.stage):
        path = ("stage", number)
        try:
            (_stem_stage if stems else _stage)(stage, model, origins, path)
            _distances(getattr(stage, "distance", {}), not stems, origins, (*path, "distance"))
        except OutOfRange as error:
            raise out_of_range(error, origins, path) from error


def _model(model: Spec, origins: Origins) -> None:
    at = lambda key: ("model", key)
    build(_known(PROCESSES, model.process, origins, at("process")), model.process_args, origins, at("process_args"))
    try:
        build(Frontend, model.frontend or {}, origins, at("frontend"))
        if not model.samplers:
            raise OutOfRange("samplers", "at least one is needed")
        for name in model.samplers:
            sampler = _known(SAMPLERS, name, origins, at("samplers"))
            if model.process not in PAIRINGS[name]:
                raise OutOfRange("samplers", f"the formulas of {name} do not hold for the process {model.process}")
            _names(sampler, model.sampler_args.get(name, {}), origins, (*at("sampler_args"), name), SAMPLER_HAS)
        if not 1 <= model.default_steps <= model.max_steps:
            raise OutOfRange("default_steps", f"{model.default_steps} is not 1 to {model.max_steps}, the max_steps")
        if model.sample_rate < 1:
            raise OutOfRange("sample_rate", f"{model.sample_rate} is not 1 or more")
    except OutOfRange as error:
        raise out_of_range(error, origins, ("model",)) from error


def _stage(stage: Stage, model: Spec, origins: Origins, path: tuple) -> None:
    loss = _known(LOSSES, stage.loss, origins, (*path, "loss"))
    if model.process not in LOSS_PAIRINGS[stage.loss]:
        raise OutOfRange("loss", f"the formulas of {stage.loss} do not hold for the process {model.process}")
    _names(loss, stage.loss_args, origins, (*path, "loss_args"), LOSS_HAS, INJECTED_ARGUMENTS)
    if signature(loss).parameters["distance"].default is None and getattr(stage, "distance", DISTANCE) != DISTANCE:
        raise OutOfRange("distance", f"{stage.loss} takes none, it is a distance of its own")
    if stage.loss == "reverse_process":
        sampler = model.samplers[0]
        if calls(sampler, 1, **model.sampler_args.get(sampler, {})) != 1:
            advice = 'such as model.sampler_args.predictor_corrector.corrector="none"'
            raise OutOfRange("loss", f"{stage.loss} needs a sampler of one call per step, {advice}")


def _stem_stage(stage: Stage, _model: Spec, origins: Origins, path: tuple) -> None:
    if stage.loss not in STEM_LOSSES:
        raise OutOfRange("loss", f"{stage.loss!r} does not train stems; choose from {', '.join(STEM_LOSSES)}")
    loss, brought = STEM_LOSSES[stage.loss]
    _names(loss, stage.loss_args, origins, (*path, "loss_args"), brought)


def _distances(weights: dict, spectral: bool, origins: Origins, path: tuple) -> None:
    for name in weights:
        _known(DISTANCES, name, origins, (*path, name))
        if (name in SPECTRAL) != spectral:
            known = ", ".join(other for other in DISTANCES if (other in SPECTRAL) == spectral)
            of = "waveforms" if name not in SPECTRAL else "spectrograms"
            raise OutOfRange("distance", f"{name} is of {of}; choose from {known}")


def _known(catalogue, name: str, origins: Origins, path: tuple):
    try:
        return catalogue[name]
    except UsageError as error:
        raise UsageError(f"{origins.of(path)}: {error.message}", error.hint) from error


def _names(
    function: Callable, given: dict, origins: Origins, path: tuple, skip: int = 0, never: set[str] = frozenset()
) -> None:
    """Check that every key of `given` is an argument of `function` after the first `skip` and not in `never`."""
    parameters = list(signature(function).parameters.values())[skip:]
    if any(parameter.kind == Parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = {parameter.name for parameter in parameters} - never
    for key in given:
        if key not in known:
            raise unknown_key(key, known, origins, (*path, key))
