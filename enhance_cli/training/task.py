"""Define the base class of training tasks: data, loss of a batch, scores of a validation, header and card of the model.

The loop (training.loop) is the same for all tasks.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from enhance_cli.catalogue import Catalogue
from enhance_cli.contracts import Log
from enhance_cli.errors import UsageError
from enhance_cli.losses import LOSSES
from enhance_cli.models import registry
from enhance_cli.models.load import LoadedModel
from enhance_cli.models.spec import Spec
from enhance_cli.models.weights import begin_from, load_network
from enhance_cli.networks import NETWORKS
from enhance_cli.training.batches import BatchSource
from enhance_cli.training.precision import set_precision
from enhance_cli.training.stage import Stage, TaskRecipe
from enhance_cli.training.state import MovingAverage

RecipeT = TypeVar("RecipeT", bound=TaskRecipe)
StageT = TypeVar("StageT", bound=Stage)
ModelT = TypeVar("ModelT", bound=LoadedModel)


class Task(ABC, Generic[RecipeT, StageT, ModelT]):
    """Train one recipe.

    The network is built first, so that a recipe that cannot be trained is refused before `load_data`, which may take long.
    `model`: the model that is trained. `averaged`: the same model with the moving average of its weights. `source`: makes
    batches, whose arrays are given to `loss` as tensors on the device. `seconds`: length of an item of audio, None for items
    that are not audio.
    """

    recipe_class: type  # the dataclass of its recipes
    losses: Mapping[str, Callable] | Catalogue = LOSSES  # by name, their settings are keyword-only parameters
    of_waveforms = False  # whether distances compare waveforms rather than spectrograms
    model_class: type[ModelT]  # the class of its models
    optional_weights: tuple[str, ...] = ()  # beginnings of names. The model that a run starts from need not have them
    best_of_all_stages = False  # else a later stage supersedes the models of those before it
    source: BatchSource  # since `load_data`
    seconds: float | None = None

    def __init__(self, recipe: RecipeT, device: torch.device, teacher: ModelT | None = None):
        """Build the network.

        Raises UsageError if it cannot be built, ModelError for a `train.start` that does not fit.
        """
        self.recipe, self.device, self.teacher = recipe, device, teacher
        spec, train = recipe.model, recipe.train
        network = build_network(spec)
        if train.start:
            entry = registry.find(train.start, spec.task)
            known, other = load_network(entry.path, entry.sha256, fold=False)
            begin_from(network, other, known.name, self.optional_weights)
        elif teacher and self.starts_from(teacher):
            begin_from(network, teacher.network, teacher.spec.name, self.optional_weights)
        precision = set_precision(network, train.precision, device)
        wrap = lambda network: self.model_class(spec, network, device, precision)
        self.model, self.averaged = wrap(network), wrap(deepcopy(network).eval().requires_grad_(False))
        self.average = MovingAverage(self.averaged.network, train.start_share)

    @property
    def trained(self) -> torch.nn.Module:
        """Return the network, or the part of it that learns."""
        return self.model.network

    def starts_from(self, teacher: ModelT) -> bool:
        """Return whether the network starts from the weights of the teacher, which it does if both are the same network."""
        plain = [json.dumps([s.network, s.network_args], sort_keys=True) for s in (teacher.spec, self.recipe.model)]
        return plain[0] == plain[1]

    @abstractmethod
    def load_data(self, root: Path, cache: Path, log: Log) -> None:
        """Find the data. Raises UsageError for folders that are missing or unsuitable."""

    @abstractmethod
    def prepare_run(self, run: Path, log: Log) -> None:
        """Prepare training in the folder `run`: validation data, and work that takes hours. Not called in a dry run.

        One rank does it first.
        """

    @abstractmethod
    def describe(self) -> dict:
        """Return the training data in numbers."""

    def statistics(self) -> dict:
        """Return statistics of the data, for a dry run."""
        return {}

    def example(self, size: int) -> Sequence[np.ndarray]:
        """Return a batch of the usual shape, by which the memory of training is estimated."""
        return self.source.batch(0, size)

    @abstractmethod
    def loss(self, stage: StageT, *batch: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar with gradients."""

    @abstractmethod
    def scores(self, step: int) -> dict[str, float]:
        """Return the scores of the moving average on held-out data, without using the run's random numbers."""

    @abstractmethod
    def quality(self, scores: dict[str, float]) -> float:
        """Return one number by which moving averages are compared. Higher is better, and -inf is never kept."""

    def headline(self, scores: dict[str, float]) -> dict[str, float]:
        """Return the scores that are shown during training."""
        return scores

    def early_samples(self, step: int) -> None:  # noqa: B027 - most tasks have nothing to show
        """Write samples to the run folder before the first validation."""

    def facts(self) -> dict:
        """Return header fields of the exported model that are specific to this task's training."""
        return {}

    @abstractmethod
    def card(self, spec: Spec) -> str:
        """Return the card in Markdown, from nothing but the model's own header."""

    def reason_for_no_model(self) -> str:
        """Return why no moving average was worth keeping."""
        return "there were no scores to tell the better from the worse"


def build_network(spec: Spec) -> torch.nn.Module:
    """Build the network of `spec`. Raises UsageError."""
    try:
        return NETWORKS[spec.network](**spec.network_args)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model.network_args: {spec.network} cannot be built ({error})", "mend the recipe") from error
