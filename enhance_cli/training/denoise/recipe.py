"""Define recipes for a denoiser, which `training.recipe.load` reads like any other."""

from dataclasses import dataclass, field
from math import inf

from enhance_cli.data.corpus import Source
from enhance_cli.data.mixing import Mix
from enhance_cli.models.spec import Spec
from enhance_cli.ranges import OutOfRange, in_range
from enhance_cli.training.stage import Stage, ValidatedTrain

DISTANCE = {"hybrid_spectral": 1.0}  # default of a stage


@dataclass(frozen=True)
class Shards:
    """Name webdataset shards to train and to validate on: "pairs-{000..012}.tar", or with * and ? (data.shards)."""

    train: str
    valid: str


@dataclass(frozen=True)
class DataPart:
    """Name the data of a recipe: `speech` and `noise` to be mixed, or `pairs`, or `shards`.

    `pairs` is a folder with train/noisy, train/clean, valid/noisy and valid/clean. Mixtures are made in `rooms` simulated
    rooms, which with `room_tails` ring on as long as real ones. `licences` and `limits` are printed in the model card.
    """

    speech: list[Source] = field(default_factory=list)
    noise: list[Source] = field(default_factory=list)
    rooms: int = 600
    room_tails: bool = False
    pairs: str = ""
    shards: Shards | None = None
    licences: str = ""
    limits: str = ""

    def __post_init__(self) -> None:
        in_range(self, rooms=(0, inf))
        given = [bool(self.speech or self.noise), bool(self.pairs), self.shards is not None]
        if sum(given) != 1 or bool(self.speech) != bool(self.noise):
            raise OutOfRange("", "give one of data.pairs, data.shards, or data.speech with data.noise")


@dataclass(frozen=True)
class DenoiseStage(Stage):
    """Set a stage.

    `distance`: for each distance between estimate and target, its weight in the sum. For networks that run at 48 kHz it is
    computed at 16 kHz, and `full_band_distance` at 48 kHz. `unguided`: share of the items that a guided network gets without
    the guide.
    """

    unguided: float = 0.15
    distance: dict = field(default_factory=lambda: dict(DISTANCE))
    full_band_distance: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self, unguided=(0, 1))


@dataclass(frozen=True)
class DenoiseTrain(ValidatedTrain):
    """Set how the network is trained.

    `samples`: number of validation mixtures that are written to the run folder each time, to listen to and look at.
    """

    samples: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self, samples=(0, inf))


@dataclass(frozen=True)
class Recipe:
    name: str
    settings: tuple[str, ...]  # those of --set
    model: Spec
    data: DataPart
    stage: list[DenoiseStage]
    mix: Mix = field(default_factory=Mix)
    train: DenoiseTrain = field(default_factory=DenoiseTrain)
