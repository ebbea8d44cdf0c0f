"""Train a network that predicts the levels of missing bands from the levels of the bands that are there."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from enhance_cli.audio.spectra.band_edge import WIDE_RATE
from enhance_cli.contracts import Log
from enhance_cli.data import corpus
from enhance_cli.data.band_limited import BandLimited
from enhance_cli.errors import UsageError
from enhance_cli.models.load import Model
from enhance_cli.models.spec import Spec
from enhance_cli.training.bandwidth import card
from enhance_cli.training.bandwidth.objective import BAND_LOSSES, distances
from enhance_cli.training.bandwidth.recipe import BandRecipe
from enhance_cli.training.stage import Stage
from enhance_cli.training.task import Task

CROPS_AT_ONCE = 16  # in a validation, which bounds its memory


class BandwidthExtension(Task[BandRecipe, Stage, Model]):
    """Train bandwidth extension. Scores are distances in dB on held-out recordings."""

    recipe_class = BandRecipe
    model_class = Model
    losses = BAND_LOSSES
    of_waveforms = True
    best_of_all_stages = True
    source: BandLimited

    def __init__(self, recipe: BandRecipe, device: torch.device, teacher: Model | None = None):
        if teacher:
            raise UsageError("bandwidth extension has no teacher", "train it with `enhance train`")
        super().__init__(recipe, device)
        self.seconds = recipe.mix.seconds

    def load_data(self, root: Path, cache: Path, log: Log) -> None:
        recipe = self.recipe
        packed = corpus.load(recipe.data.sources, root, WIDE_RATE, cache, log)
        make = lambda clips, seed: BandLimited(packed, clips, limits=recipe.mix, level=recipe.model.level, seed=seed)  # noqa: E731
        self.source, self.held_out = make(packed.train, recipe.train.seed), make(packed.valid, recipe.train.seed + 1)

    def prepare_run(self, run: Path, log: Log) -> None:
        batch = self.held_out.batch(0, self.recipe.train.validation_items)
        self.crops = [torch.from_numpy(part).to(self.device) for part in batch]

    def describe(self) -> dict:
        return {"hours": round(self.source.hours, 4), "hours_held_out": round(self.held_out.hours, 4)}

    def loss(self, stage: Stage, *batch: Tensor) -> Tensor:
        """Return the loss of crops (B, N) that are missing the bands from edges to limits (B,) each."""
        waves, edges, limits = batch
        return BAND_LOSSES[stage.loss](self.model, waves, edges, limits, **stage.loss_args)

    @torch.no_grad()
    def scores(self, step: int) -> dict[str, float]:
        batches = zip(*(part.split(CROPS_AT_ONCE) for part in self.crops))
        parts = [distances(self.averaged, *batch) for batch in batches]
        return {name: round(float(np.mean([float(part[name]) for part in parts])), 3) for name in parts[0]}

    def quality(self, scores: dict[str, float]) -> float:
        return -scores["frames"] - scores["total"]

    def card(self, spec: Spec) -> str:
        return card.render(spec)
