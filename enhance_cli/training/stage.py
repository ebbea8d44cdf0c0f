"""What recipes of every task say alike: the stages of training, how they are gone through, and the settings of the loop.

A task whose recipe may say more has its own Stage or TrainPart, derived from these; what it cannot use is in neither.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from enhance_cli.data.ranges import OutOfRange, in_range
from enhance_cli.models.device import PRECISIONS


@dataclass(frozen=True)
class Stage:
    """One phase of training: `loss` by name with its arguments, for `steps` steps; lr falls by a cosine to lr_end.

    `ema` is the decay of the moving average that is exported: its memory of 1 / (1 - ema) steps should be short against the
    stage. With `fixed_statistics` batch normalisation stays as it is at inference: a rollout visits one time per call, and
    its batches would pull the statistics, which serve all times, about.
    """

    loss: str
    steps: int
    lr: float
    lr_end: float = 1e-5
    warmup: int = 300
    loss_args: dict = field(default_factory=dict)
    ema: float = 0.999
    fixed_statistics: bool = False

    def __post_init__(self):
        in_range(self, steps=(0, inf), lr=(0, 1), lr_end=(0, 1), warmup=(0, inf), ema=(0, 1))


@dataclass(frozen=True)
class TrainPart:
    """How the network is trained. Every step learns from `accumulate` batches of `batch_size` on every process.

    The network starts from the weights of the model `start`, if that is given. Batches are made by `workers` processes, or
    in between where there are none. Every `validate_every` steps the moving average is scored.
    """

    batch_size: int = 16
    accumulate: int = 1
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    precision: str = "auto"
    seed: int = 0
    start: str = ""
    workers: int = 0
    validate_every: int = 500
    tensorboard: bool = False

    def __post_init__(self):
        in_range(self, **dict.fromkeys(("batch_size", "accumulate", "validate_every"), (1, inf)))
        if self.precision not in PRECISIONS:
            raise OutOfRange("precision", f"{self.precision!r} is none of {', '.join(PRECISIONS)}")
        in_range(self, **dict.fromkeys(("weight_decay", "clip_norm", "seed", "workers"), (0, inf)))


def schedule(stages: Sequence[Stage], step: int) -> tuple[int, float]:
    """The number of the stage that a step belongs to, and its learning rate: linear warm-up, then a cosine to lr_end."""
    number = 0
    while step >= stages[number].steps and number + 1 < len(stages):
        step -= stages[number].steps
        number += 1
    stage = stages[number]
    progress = min(1.0, step / max(1, stage.steps))
    cosine = stage.lr_end + (stage.lr - stage.lr_end) * 0.5 * (1 + math.cos(math.pi * progress))
    return number, cosine * min(1.0, (step + 1) / max(1, stage.warmup))
