"""Check the names and arguments that a recipe gives to networks, processes, samplers and losses, before data is loaded.

Errors name the line, and for an unknown name the closest known one. Choices that do not fit each other are errors as well.
"""

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

from enhance_cli.audio.spectra.stft import Frontend
from enhance_cli.catalogue import Catalogue
from enhance_cli.errors import UsageError
from enhance_cli.losses import DISTANCES, LOSSES, SPECTRAL
from enhance_cli.losses import PAIRINGS as LOSS_PAIRINGS
from enhance_cli.models.spec import Spec
from enhance_cli.networks import NETWORKS
from enhance_cli.processes import PROCESSES
from enhance_cli.ranges import OutOfRange
from enhance_cli.samplers import PAIRINGS, SAMPLERS, calls
from enhance_cli.training.denoise.recipe import DISTANCE
from enhance_cli.training.stage import Stage, TaskRecipe
from enhance_cli.training.task import Task
from enhance_cli.training.tasks import TASKS
from enhance_cli.training.toml_values import Origins, build, out_of_range, unknown_key

TRAINED_AS_STREAM = "deepfilternet"  # network without a process, a front end or a sampler (denoise.stream_objective)
NETWORK_ARGS = ("model", "network_args")


def check(recipe: TaskRecipe, origins: Origins) -> None:
    """Check all names and arguments of `recipe`. Raises UsageError."""
    model, task = recipe.model, TASKS[recipe.model.task]
    network = _known(NETWORKS, model.network, origins, ("model", "network"))
    _check_settings(network, model.network_args, origins, NETWORK_ARGS)
    if not task.of_waveforms:  # models of waveforms may have no sampler: only a refiner needs one
        _check_model(model, origins)
    for number, stage in enumerate(recipe.stage):
        path = ("stage", number)
        try:
            if task.losses is LOSSES:
                _shared_loss(stage, model, origins, path)
            else:
                _own_loss(stage, model, task, origins, path)
            for key in ("distance", "full_band_distance"):
                _distances(getattr(stage, key, {}), not task.of_waveforms, origins, (*path, key))
        except OutOfRange as error:
            raise out_of_range(error, origins, path) from error


def _check_model(model: Spec, origins: Origins) -> None:
    """Check the process, the front end and the samplers of a model of spectrograms or embeddings."""
    at = lambda key: ("model", key)
    if model.network == TRAINED_AS_STREAM:
        return
    build(_known(PROCESSES, model.process, origins, at("process")), model.process_args, origins, at("process_args"))
    try:
        build(Frontend, model.frontend or {}, origins, at("frontend"))
        if not model.samplers:
            raise OutOfRange("samplers", "at least one is needed")
        for name in model.samplers:
            sampler = _known(SAMPLERS, name, origins, at("samplers"))
            if model.process not in PAIRINGS[name]:
                raise OutOfRange("samplers", f"the formulas of {name} do not hold for the process {model.process}")
            given = model.sampler_args.get(name, {})
            _check_settings(sampler, given, origins, (*at("sampler_args"), name), keyword_only=True)
        if not 1 <= model.default_steps <= model.max_steps:
            raise OutOfRange("default_steps", f"{model.default_steps} is not 1 to {model.max_steps}, the max_steps")
    except OutOfRange as error:
        raise out_of_range(error, origins, ("model",)) from error


def _shared_loss(stage: Stage, model: Spec, origins: Origins, path: tuple) -> None:
    """Check the loss of a stage that is one of losses.LOSSES."""
    loss = _known(LOSSES, stage.loss, origins, (*path, "loss"))
    if model.process not in LOSS_PAIRINGS[stage.loss]:
        raise OutOfRange("loss", f"the formulas of {stage.loss} do not hold for the process {model.process}")
    _check_settings(loss, stage.loss_args, origins, (*path, "loss_args"), keyword_only=True)
    if signature(loss).parameters["distance"].default is None and getattr(stage, "distance", DISTANCE) != DISTANCE:
        raise OutOfRange("distance", f"{stage.loss} takes none, it is a distance of its own")
    if stage.loss == "reverse_process":
        sampler = model.samplers[0]
        if calls(sampler, 1, **model.sampler_args.get(sampler, {})) != 1:
            advice = 'such as model.sampler_args.predictor_corrector.corrector="none"'
            raise OutOfRange("loss", f"{stage.loss} needs a sampler of one call per step, {advice}")


def _own_loss(stage: Stage, model: Spec, task: type[Task], origins: Origins, path: tuple) -> None:
    """Check the loss of a stage of a task that defines its own losses."""
    if stage.loss not in task.losses:
        known = ", ".join(task.losses)
        raise OutOfRange("loss", f"{stage.loss!r} is not a loss for {model.task}; choose from {known}")
    _check_settings(task.losses[stage.loss], stage.loss_args, origins, (*path, "loss_args"), keyword_only=True)


def _distances(weights: dict, spectral: bool, origins: Origins, path: tuple) -> None:
    for name in weights:
        _known(DISTANCES, name, origins, (*path, name))
        if (name in SPECTRAL) != spectral:
            known = ", ".join(other for other in DISTANCES if (other in SPECTRAL) == spectral)
            of = "waveforms" if name not in SPECTRAL else "spectrograms"
            raise OutOfRange("distance", f"{name} is of {of}; choose from {known}")


def _known(catalogue: Catalogue, name: str, origins: Origins, path: tuple) -> Any:
    try:
        return catalogue[name]
    except UsageError as error:
        raise UsageError(f"{origins.of(path)}: {error.message}", error.hint) from error


def _check_settings(
    function: Callable, given: dict, origins: Origins, path: tuple, *, keyword_only: bool = False
) -> None:
    """Check that every key of `given` is a parameter of `function`, or one of those that are `keyword_only`."""
    parameters = signature(function).parameters.values()
    if any(parameter.kind == Parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = {p.name for p in parameters if not keyword_only or p.kind == Parameter.KEYWORD_ONLY}
    for key in given:
        if key not in known:
            raise unknown_key(key, known, origins, (*path, key))
