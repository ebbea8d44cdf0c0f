"""What recipes of every task say alike: the stages of training, and how they are gone through."""

from dataclasses import dataclass, field
from math import inf

from enhance_cli.data.ranges import OutOfRange, in_range
from enhance_cli.models.device import PRECISIONS


@dataclass(frozen=True)
class Stage:
    """One phase of training: `loss` by name with its arguments, for `steps` batches; lr falls by a cosine to lr_end.

    `distance` has the weights of the distances between estimate and target that are added up. `ema` is the decay of the
    moving average that is exported: its memory of 1 / (1 - ema) batches should be short against the stage. With
    `fixed_statistics` batch normalisation stays as it is at inference: a rollout visits one time per call, and its batches
    would pull the statistics, which serve all times, about. A guided network gets a share `unguided` of its items without
    the guide, so that it can do without.
    """

    loss: str
    steps: int
    lr: float
    lr_end: float = 1e-5
    warmup: int = 300
    loss_args: dict = field(default_factory=dict)
    ema: float = 0.999
    fixed_statistics: bool = False
    unguided: float = 0.15
    distance: dict = field(default_factory=lambda: {"hybrid_spectral": 1.0})

    def __post_init__(self):
        in_range(self, steps=(0, inf), lr=(0, 1), lr_end=(0, 1), warmup=(0, inf), ema=(0, 1), unguided=(0, 1))


@dataclass(frozen=True)
class TrainPart:
    """How the network is trained. Every step learns from `accumulate` batches of `batch_size` on every process.

    The network starts from the weights of the model `start`, if that is given.
    `samples` validation mixtures are written to the run folder at each validation, to listen to and look at.
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
    validation_items: int = 48
    samples: int = 2
    tensorboard: bool = False

    def __post_init__(self):
        counts = ("batch_size", "accumulate", "validate_every", "validation_items")
        in_range(self, **dict.fromkeys(counts, (1, inf)))
        if self.precision not in PRECISIONS:
            raise OutOfRange("precision", f"{self.precision!r} is none of {', '.join(PRECISIONS)}")
        in_range(self, weight_decay=(0, inf), clip_norm=(0, inf), seed=(0, inf), workers=(0, inf), samples=(0, inf))
