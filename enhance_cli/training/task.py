"""What differs between the kinds of models that are trained: the data, the loss of a batch, the scores of a validation, and
the header and card of what is exported. The loop (training.loop) does the rest, alike for all of them.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from enhance_cli.errors import UsageError
from enhance_cli.models import registry
from enhance_cli.models.load import Model, begin_from, load_network
from enhance_cli.models.spec import Spec
from enhance_cli.networks import NETWORKS
from enhance_cli.training.precision import set_precision
from enhance_cli.training.stage import Stage
from enhance_cli.training.state import MovingAverage


class Task(ABC):
    """One recipe in training. Made in two parts: the network first, so that what cannot be trained is said before the data is
    asked for, which `load` does and which may take long.

    `model` is being trained and `averaged` holds its moving average; `source.batch(number, size)` gives arrays, which is what
    `loss` gets as tensors on the device; `seconds` is the length of an item of audio, None where items are none.
    """

    wraps: type[Model] = Model
    may_lack: tuple[str, ...] = ()  # beginnings of the names of weights that the model a run starts from may lack
    best_of_all_stages = False  # else a later stage supersedes what those before it exported
    source = None
    seconds: float | None = None

    def __init__(self, recipe, device: torch.device, teacher: Model | None = None):
        """Raises UsageError for what cannot be built or trained, ModelError for a `train.start` that does not fit."""
        self.recipe, self.device, self.teacher = recipe, device, teacher
        spec, train = recipe.model, recipe.train
        network = build_network(spec)
        if train.start:
            entry = registry.find(train.start, spec.task)
            known, other = load_network(entry.path, entry.sha256, fold=False)
            begin_from(network, other, known.name, self.may_lack)
        elif teacher and self.begins_as(teacher):
            begin_from(network, teacher.network, teacher.spec.name, self.may_lack)
        precision = set_precision(network, train.precision, device)
        wrap = lambda network: self.wraps(spec, network, device, precision)
        self.model, self.averaged = wrap(network), wrap(deepcopy(network).eval().requires_grad_(False))
        self.average = MovingAverage(self.averaged.network)

    @property
    def trained(self) -> torch.nn.Module:
        """The network, or the part of it that learns."""
        return self.model.network

    def begins_as(self, teacher: Model) -> bool:
        """Whether the network starts from the weights of the teacher: if it is the same network."""
        plain = [json.dumps([s.network, s.network_args], sort_keys=True) for s in (teacher.spec, self.recipe.model)]
        return plain[0] == plain[1]

    @abstractmethod
    def load(self, root: Path, cache: Path, log) -> None:
        """Find the data. Raises UsageError for folders that are missing or do not do."""

    @abstractmethod
    def prepare(self, run: Path, log) -> None:
        """What training in the folder `run` needs besides and a dry run does not: what is validated on, and what takes hours.
        One process does it first."""

    @abstractmethod
    def describe(self) -> dict:
        """What there is to train on, in numbers."""

    def statistics(self) -> dict:
        """What the data is like, for a dry run to tell."""
        return {}

    def example(self, size: int) -> Sequence[np.ndarray]:
        """A batch by whose shape the memory is judged."""
        return self.source.batch(0, size)

    @abstractmethod
    def loss(self, stage: Stage, *batch: Tensor) -> Tensor:
        """Scalar, with gradients."""

    @abstractmethod
    def scores(self, step: int) -> dict[str, float]:
        """Of the moving average, on what was held out. Draws nothing from the run's random numbers."""

    @abstractmethod
    def quality(self, scores: dict[str, float]) -> float:
        """One number to compare moving averages by, higher is better; -inf for one that is not to be kept."""

    def headline(self, scores: dict[str, float]) -> dict[str, float]:
        """Those of the scores that a person is told while it trains."""
        return scores

    def early(self, step: int) -> None:  # noqa: B027 - most have nothing to show
        """Something to look at before the first validation."""

    @abstractmethod
    def facts(self) -> dict:
        """What the header of the exported model says of this task's training besides what it says of all."""

    @abstractmethod
    def card(self, spec: Spec) -> str:
        """Markdown, from nothing but the model's own header."""

    def kept_nothing(self) -> str:
        """Why no moving average was worth keeping."""
        return "there were no scores to tell the better from the worse"


def build_network(spec: Spec) -> torch.nn.Module:
    """Raises UsageError."""
    try:
        return NETWORKS[spec.network](**spec.network_args)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model.network_args: {spec.network} cannot be built ({error})", "mend the recipe") from error
