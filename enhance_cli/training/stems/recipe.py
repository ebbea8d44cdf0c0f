"""What a recipe for stem extraction says; `training.recipe.load` reads it like any other."""

from dataclasses import dataclass, field

from enhance_cli.data import STEMS
from enhance_cli.data.ranges import OutOfRange
from enhance_cli.data.rendering import Rendering
from enhance_cli.data.stem_mixing import StemMix
from enhance_cli.models.spec import Spec
from enhance_cli.training.stage import Stage, TrainPart


@dataclass(frozen=True)
class StemData:
    """Songs to be `rendered`, and `folders` of stems that are there (data.stem_folders), of which a share `held_out` is for
    validation; `licences` and `limits` are said in the model card."""

    rendered: Rendering | None = None
    folders: list[str] = field(default_factory=list)
    held_out: float = 0.05
    licences: str = ""
    limits: str = ""

    def __post_init__(self):
        if self.rendered is None and not self.folders:
            raise OutOfRange("", "give data.rendered, data.folders or both")


@dataclass(frozen=True)
class StemRecipe:
    """The stages: "extraction" trains the extractor, "refinement" and "consistency" the refiner of a fixed extractor."""

    name: str
    model: Spec
    data: StemData
    stage: list[Stage]
    mix: StemMix = field(default_factory=StemMix)
    train: TrainPart = field(default_factory=TrainPart)

    def __post_init__(self):
        unknown = sorted(set(self.model.stems) - set(STEMS))
        if unknown or not self.model.stems:
            raise OutOfRange("model", f"stems {', '.join(unknown) or 'are missing'}; there are {', '.join(STEMS)}")
