"""Define recipes for bandwidth extension, which `training.recipe.load` reads like any other."""

from dataclasses import dataclass, field

from enhance_cli.data.band_limited import BandLimits
from enhance_cli.data.corpus import Source
from enhance_cli.models.spec import Spec
from enhance_cli.ranges import OutOfRange
from enhance_cli.training.stage import Stage, ValidatedTrain


@dataclass(frozen=True)
class BandData:
    """Name the folders of recordings. How far the band of each reaches is measured. `licences`, `limits`: text for the card."""

    sources: list[Source] = field(default_factory=list)
    licences: str = ""
    limits: str = ""

    def __post_init__(self) -> None:
        if not self.sources:
            raise OutOfRange("sources", "there is none")


@dataclass(frozen=True)
class BandTrain(ValidatedTrain):
    """Set how the network is trained."""

    validation_items: int = 64


@dataclass(frozen=True)
class BandRecipe:
    name: str
    settings: tuple[str, ...]  # those of --set
    model: Spec
    data: BandData
    stage: list[Stage]
    mix: BandLimits = field(default_factory=BandLimits)
    train: BandTrain = field(default_factory=BandTrain)
