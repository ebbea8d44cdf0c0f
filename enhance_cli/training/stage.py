"""Define the parts that recipes of every task share: the stages of training, their schedule, the settings of the loop.

Tasks with further settings derive their own Stage or TrainPart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from enhance_cli.models.device import PRECISIONS
from enhance_cli.models.spec import Spec
from enhance_cli.ranges import OutOfRange, in_range


@dataclass(frozen=True)
class Stage:
    """Set one phase of training.

    Args:
        loss, loss_args: name of the loss, and its settings.
        steps: number of steps.
        lr, lr_end, warmup: the learning rate rises to `lr` in `warmup` steps, and falls by a cosine to `lr_end`.
        ema: decay of the moving average that is exported. The stage should be much longer than its memory of
            1 / (1 - ema) steps.
        fixed_statistics: use the running statistics of batch normalization, as at inference, and do not update them. A
            rollout calls the network at one time for a whole batch, whose statistics would not suit other times.
    """

    loss: str
    steps: int
    lr: float
    lr_end: float = 1e-5
    warmup: int = 300
    loss_args: dict = field(default_factory=dict)
    ema: float = 0.999
    fixed_statistics: bool = False

    def __post_init__(self) -> None:
        in_range(self, steps=(0, inf), lr=(0, 1), lr_end=(0, 1), warmup=(0, inf), ema=(0, 1))


@dataclass(frozen=True)
class TrainPart:
    """Set how the network is trained.

    Args:
        batch_size, accumulate: every step learns from `accumulate` batches of `batch_size` items on every rank.
        weight_decay: of AdamW.
        clip_norm: largest norm of the gradient.
        precision: "auto", "fp32", "bf16" or "fp16".
        seed: of the first weights, of the data, and of all draws.
        start: model whose weights the network starts from, "" for none.
        start_share: 0 to 1, share of those weights in the weights that are validated and exported.
        workers: number of processes that make batches. With 0 this process makes them between steps.
        validate_every: number of steps between two validations of the moving average.
        tensorboard: whether to write figures for TensorBoard.
    """

    batch_size: int = 16
    accumulate: int = 1
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    precision: str = "auto"
    seed: int = 0
    start: str = ""
    start_share: float = 0.0
    workers: int = 0
    validate_every: int = 500
    tensorboard: bool = False

    def __post_init__(self) -> None:
        in_range(self, **dict.fromkeys(("batch_size", "accumulate", "validate_every"), (1, inf)))
        in_range(self, start_share=(0, 1))
        if self.start_share and not self.start:
            raise OutOfRange("start_share", "it needs a model in train.start")
        if self.precision not in PRECISIONS:
            raise OutOfRange("precision", f"{self.precision!r} is none of {', '.join(PRECISIONS)}")
        in_range(self, **dict.fromkeys(("weight_decay", "clip_norm", "seed", "workers"), (0, inf)))


@dataclass(frozen=True)
class ValidatedTrain(TrainPart):
    """Set how a network is trained that is validated on data of the recipe.

    `validation_items`: number of mixtures, mixes or crops that are scored at each validation.
    """

    validation_items: int = 48

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self, validation_items=(1, inf))


class TaskRecipe(Protocol):
    """Describe the parts that the recipes of all tasks share. Each recipe is a dataclass, which may have further parts."""

    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> tuple[str, ...]: ...
    @property
    def model(self) -> Spec: ...
    @property
    def stage(self) -> Sequence[Stage]: ...
    @property
    def train(self) -> TrainPart: ...


def schedule(stages: Sequence[Stage], step: int) -> tuple[int, float]:
    """Return the number of the stage of a step, and its learning rate: linear warm-up, then a cosine to lr_end."""
    number = 0
    while step >= stages[number].steps and number + 1 < len(stages):
        step -= stages[number].steps
        number += 1
    stage = stages[number]
    progress = min(1.0, step / max(1, stage.steps))
    cosine = stage.lr_end + (stage.lr - stage.lr_end) * 0.5 * (1 + math.cos(math.pi * progress))
    return number, cosine * min(1.0, (step + 1) / max(1, stage.warmup))
