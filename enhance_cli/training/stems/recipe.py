"""Define recipes for stem extraction, which `training.recipe.load` reads like any other."""

from dataclasses import dataclass, field

from enhance_cli.data import STEMS
from enhance_cli.data.music.rendering import Rendering
from enhance_cli.data.music.stem_mixing import StemMix
from enhance_cli.models.spec import Spec
from enhance_cli.ranges import OutOfRange
from enhance_cli.training.stage import Stage, ValidatedTrain


@dataclass(frozen=True)
class StemData:
    """Set the songs to be `rendered`, and `folders` of recorded stems (data.music.stem_folders).

    `held_out`: share for validation. `licences`, `limits`: text for the model card.
    """

    rendered: Rendering | None = None
    folders: list[str] = field(default_factory=list)
    held_out: float = 0.05
    licences: str = ""
    limits: str = ""

    def __post_init__(self) -> None:
        if self.rendered is None and not self.folders:
            raise OutOfRange("", "give data.rendered, data.folders or both")


@dataclass(frozen=True)
class StemStage(Stage):
    """Set a stage. `distance`: weights of the distances between estimated and true waveforms that are added."""

    distance: dict = field(default_factory=lambda: {"waveform_spectral": 1.0})


@dataclass(frozen=True)
class StemRecipe:
    """Set a training of stems.

    The stage "extraction" trains the extractor, "refinement" and "consistency" the refiner of a fixed extractor.
    """

    name: str
    settings: tuple[str, ...]  # those of --set
    model: Spec
    data: StemData
    stage: list[StemStage]
    mix: StemMix = field(default_factory=StemMix)
    train: ValidatedTrain = field(default_factory=ValidatedTrain)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.model.stems) - set(STEMS))
        if unknown or not self.model.stems:
            raise OutOfRange("model", f"stems {', '.join(unknown) or 'are missing'}; there are {', '.join(STEMS)}")
