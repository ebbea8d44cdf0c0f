"""Define recipes for the repair of speaker embeddings, which `training.recipe.load` reads like any other."""

from dataclasses import dataclass, field
from math import inf

from enhance_cli.data.corpus import Source
from enhance_cli.data.degraded import CONDITIONS, Views
from enhance_cli.models.spec import Spec
from enhance_cli.ranges import OutOfRange, in_range
from enhance_cli.training.stage import Stage, TrainPart


@dataclass(frozen=True)
class RepairData:
    """Set speech, noise and music (only babble if there is none), and the number of rooms to simulate.

    Sources of speech with `groups = "folder"` have a folder per speaker. Of these, those held out are the speakers of
    the validation trials.
    """

    speech: list[Source]
    noise: list[Source]
    music: list[Source] = field(default_factory=list)
    rooms: int = 600
    licences: str = ""
    limits: str = ""


@dataclass(frozen=True)
class Pairing:
    """Set how inputs and targets are chosen: a share `clean` of the inputs is clean, the others are of `conditions`.

    `target`: the clean embedding of the same segments ("crop") or of the whole crop ("recording").
    """

    clean: float = 0.2
    conditions: tuple[str, ...] = CONDITIONS[1:]
    target: str = "recording"

    def __post_init__(self) -> None:
        in_range(self, clean=(0, 1))
        if unknown := set(self.conditions) - set(CONDITIONS):
            raise OutOfRange("conditions", f"{', '.join(sorted(unknown))} not among {', '.join(CONDITIONS)}")
        if self.target not in ("crop", "recording"):
            raise OutOfRange("target", 'choose "crop" or "recording"')


@dataclass(frozen=True)
class Embedding:
    """Set the embedding of the data.

    `crops`: number of crops, embedded in every condition. `segment`: length in seconds of the segments of a crop.
    `precision`: fp32 or bf16.
    """

    crops: int = 8192
    segment: float = 1.6
    precision: str = "fp32"

    def __post_init__(self) -> None:
        in_range(self, crops=(1, inf), segment=(0.1, inf))
        if self.precision not in ("fp32", "bf16"):
            raise OutOfRange("precision", "choose fp32 or bf16")


@dataclass(frozen=True)
class RepairTrain(TrainPart):
    """Set how the network is trained. Networks of vectors are small, so the precision is fp32."""

    precision: str = "fp32"


@dataclass(frozen=True)
class RepairRecipe:
    """Set a training of a repair. A crop is `views.seconds` long."""

    name: str
    settings: tuple[str, ...]  # those of --set
    model: Spec
    data: RepairData
    stage: list[Stage]
    views: Views = field(default_factory=Views)
    embedding: Embedding = field(default_factory=Embedding)
    pairing: Pairing = field(default_factory=Pairing)
    train: RepairTrain = field(default_factory=RepairTrain)

    def __post_init__(self) -> None:
        if self.views.seconds < self.embedding.segment:
            raise OutOfRange("embedding", f"segments are longer than a crop of {self.views.seconds:g} s")
