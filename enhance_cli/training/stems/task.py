"""Train a stem extractor, or the refiner of a finished extractor.

Either all stages train the extractor ("extraction") or all train the refiner of a fixed extractor, in the model that
`train.start` names or the teacher.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from enhance_cli.contracts import Log
from enhance_cli.data.music import rendering, stem_folders
from enhance_cli.data.music.stem_mixing import StemMix, StemMixer
from enhance_cli.errors import UsageError
from enhance_cli.models.spec import Spec
from enhance_cli.models.stems import StemModel
from enhance_cli.samplers import SAMPLERS
from enhance_cli.training.stems import card
from enhance_cli.training.stems.objective import STEM_LOSSES, Objective
from enhance_cli.training.stems.recipe import StemRecipe, StemStage
from enhance_cli.training.stems.validation import score
from enhance_cli.training.task import Task

MIXES_AT_ONCE = 4  # in a validation, which bounds its memory


class StemExtraction(Task[StemRecipe, StemStage, StemModel]):
    """Train stems.

    Scores are SI-SDR improvements of the extractor, or of the refiner with the default sampler and steps.
    """

    recipe_class = StemRecipe
    losses = STEM_LOSSES
    of_waveforms = True
    model_class = StemModel
    optional_weights = ("refiner.",)
    best_of_all_stages = True
    source: StemMixer

    def __init__(self, recipe: StemRecipe, device: torch.device, teacher: StemModel | None = None):
        super().__init__(recipe, device, teacher)
        self.seconds = recipe.mix.seconds
        same = StemModel(teacher.spec, teacher.network, device, self.model.precision) if teacher else None
        self.objective = Objective(self.model, self.averaged, same)
        self.refines = recipe.stage[0].loss != "extraction"
        for stage in recipe.stage:
            self.objective.check(stage)
            if (stage.loss != "extraction") != self.refines:
                raise UsageError("one run trains the extractor or the refiner", "make two recipes of it")
        if self.refines and not (teacher or recipe.train.start):
            raise UsageError("a refiner needs a finished extractor", "name the model that has it: train.start")
        self.model.network.eval().requires_grad_(False)
        self.trained.requires_grad_(True)

    @property
    def trained(self) -> torch.nn.Module:
        network = self.model.network
        return network.refiner if self.refines and network.refiner is not None else network.extractor

    def starts_from(self, teacher: StemModel) -> bool:
        """Return True, since the refiner needs the teacher's extractor."""
        return True

    def load_data(self, root: Path, cache: Path, log: Log) -> None:
        recipe, spec = self.recipe, self.recipe.model
        files = songs(recipe, root, cache, log)

        def make(part: str, mix: StemMix, seed: int) -> StemMixer:
            return StemMixer(files[part], spec.stems, mix=mix, rate=spec.sample_rate, level=spec.level, seed=seed)

        plain = replace(recipe.mix, coherent=1.0, other=0.0, speed=(1.0, 1.0), equaliser=0.0)
        seed = recipe.train.seed
        self.source, self.held_out = make("train", recipe.mix, seed), make("valid", plain, seed + 1)

    def prepare_run(self, run: Path, log: Log) -> None:
        self.mixes, self.stems = self.held_out.batch(0, self.recipe.train.validation_items)

    def describe(self) -> dict:
        return {
            "songs": len(self.source.songs),
            "song_hours": round(self.source.hours, 4),
            "songs_held_out": len(self.held_out.songs),
        }

    def loss(self, stage: StemStage, *batch: Tensor) -> Tensor:
        """Return the loss of mixes (B, 1, N) and stems (B, K, N)."""
        mixes, stems = batch
        return self.objective.loss(stage, mixes, stems)

    @torch.no_grad()
    def scores(self, step: int) -> dict[str, float]:
        model, spec = self.averaged, self.recipe.model
        sampler, steps = None, 0
        if self.refines:
            steps, name = spec.choose(None, None)
            given = {"start": spec.sigma_for(steps)} if spec.start_sigma else {}
            sampler = partial(SAMPLERS[name], **(spec.sampler_args.get(name, {}) | given))
        found = []
        for part in torch.from_numpy(self.mixes).to(self.device).split(MIXES_AT_ONCE):
            generator = torch.Generator().manual_seed(0)
            noise = lambda: lambda: torch.randn(part.shape, generator=generator).to(self.device)  # noqa: B023 - used up
            found.append(model.separate(part, spec.stems, sampler, steps, noise)[:, :, 0].transpose(0, 1))
        return score(self.mixes, self.stems, torch.cat(found).float().cpu().numpy(), spec.stems, spec.sample_rate)

    def quality(self, scores: dict[str, float]) -> float:
        return scores["si_sdri"]

    def card(self, spec: Spec) -> str:
        return card.render(spec)


def songs(recipe: StemRecipe, root: Path, cache: Path, log: Log) -> dict[str, list[Path]]:
    """Return the files of all songs to train on ("train") and to validate on ("valid")."""
    data, rate = recipe.data, recipe.model.sample_rate
    parts = [rendering.load(data.rendered, root, rate, cache, log)] if data.rendered else []
    parts += [stem_folders.load(data.folders, data.held_out, root, rate, cache, log)] if data.folders else []
    return {side: [path for part in parts for path in part[side]] for side in ("train", "valid")}
