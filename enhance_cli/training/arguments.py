"""Names and arguments that a recipe hands on to networks, processes, samplers and losses, looked at before any data is: an
unknown one is said with its line and the nearest known one, and so is what does not go together.
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
from enhance_cli.training.toml_values import Places, build, out_of_range, unknown_key

NETWORK_ARGS = ("model", "network_args")
SAMPLER_HAS, LOSS_HAS = 5, 6  # arguments that every sampler and every loss gets and no recipe sets
OF_THE_PROGRAM = {"teacher", "average", "sample"}  # arguments of losses that training brings itself


def check(recipe, places: Places) -> None:
    """Raises UsageError."""
    model = recipe.model
    stems = bool(model.stems)
    _names(_known(NETWORKS, model.network, places, ("model", "network")), model.network_args, places, NETWORK_ARGS)
    if not stems:  # these have samplers for the refiner alone, which not all have
        _model(model, places)
    for number, stage in enumerate(recipe.stage):
        path = ("stage", number)
        try:
            (_stem_stage if stems else _stage)(stage, model, places, path)
            _distances(getattr(stage, "distance", {}), not stems, places, (*path, "distance"))
        except OutOfRange as error:
            raise out_of_range(error, places, path) from error


def _model(model: Spec, places: Places) -> None:
    at = lambda key: ("model", key)
    build(_known(PROCESSES, model.process, places, at("process")), model.process_args, places, at("process_args"))
    try:
        build(Frontend, model.frontend or {}, places, at("frontend"))
        if not model.samplers:
            raise OutOfRange("samplers", "at least one is needed")
        for name in model.samplers:
            sampler = _known(SAMPLERS, name, places, at("samplers"))
            if model.process not in PAIRINGS[name]:
                raise OutOfRange("samplers", f"the formulas of {name} do not hold for the process {model.process}")
            _names(sampler, model.sampler_args.get(name, {}), places, (*at("sampler_args"), name), SAMPLER_HAS)
        if not 1 <= model.default_steps <= model.max_steps:
            raise OutOfRange("default_steps", f"{model.default_steps} is not 1 to {model.max_steps}, the max_steps")
        if model.sample_rate < 1:
            raise OutOfRange("sample_rate", f"{model.sample_rate} is not 1 or more")
    except OutOfRange as error:
        raise out_of_range(error, places, ("model",)) from error


def _stage(stage: Stage, model: Spec, places: Places, path: tuple) -> None:
    loss = _known(LOSSES, stage.loss, places, (*path, "loss"))
    if model.process not in LOSS_PAIRINGS[stage.loss]:
        raise OutOfRange("loss", f"the formulas of {stage.loss} do not hold for the process {model.process}")
    _names(loss, stage.loss_args, places, (*path, "loss_args"), LOSS_HAS, OF_THE_PROGRAM)
    if signature(loss).parameters["distance"].default is None and getattr(stage, "distance", DISTANCE) != DISTANCE:
        raise OutOfRange("distance", f"{stage.loss} takes none, it is a distance of its own")
    if stage.loss == "reverse_process":
        sampler = model.samplers[0]
        if calls(sampler, 1, **model.sampler_args.get(sampler, {})) != 1:
            advice = 'such as model.sampler_args.predictor_corrector.corrector="none"'
            raise OutOfRange("loss", f"{stage.loss} needs a sampler of one call per step, {advice}")


def _stem_stage(stage: Stage, _model: Spec, places: Places, path: tuple) -> None:
    if stage.loss not in STEM_LOSSES:
        raise OutOfRange("loss", f"{stage.loss!r} does not train stems; choose from {', '.join(STEM_LOSSES)}")
    loss, brought = STEM_LOSSES[stage.loss]
    _names(loss, stage.loss_args, places, (*path, "loss_args"), brought)


def _distances(weights: dict, spectral: bool, places: Places, path: tuple) -> None:
    for name in weights:
        _known(DISTANCES, name, places, (*path, name))
        if (name in SPECTRAL) != spectral:
            known = ", ".join(other for other in DISTANCES if (other in SPECTRAL) == spectral)
            of = "waveforms" if name not in SPECTRAL else "spectrograms"
            raise OutOfRange("distance", f"{name} is of {of}; choose from {known}")


def _known(catalogue, name: str, places: Places, path: tuple):
    try:
        return catalogue[name]
    except UsageError as error:
        raise UsageError(f"{places.of(path)}: {error.message}", error.hint) from error


def _names(
    function: Callable, given: dict, places: Places, path: tuple, skip: int = 0, never: set[str] = frozenset()
) -> None:
    """Every key of `given` must be an argument of `function` behind the first `skip` that is not in `never`."""
    parameters = list(signature(function).parameters.values())[skip:]
    if any(parameter.kind == Parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = {parameter.name for parameter in parameters} - never
    for key in given:
        if key not in known:
            raise unknown_key(key, known, places, (*path, key))
