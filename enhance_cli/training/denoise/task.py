"""Train a denoiser on noisy and clean waveforms. Scores are SI-SDR, ESTOI and PESQ."""

from pathlib import Path

import torch
from torch import Tensor

from enhance_cli.contracts import Log
from enhance_cli.errors import UsageError
from enhance_cli.models.load import Model
from enhance_cli.models.spec import Spec
from enhance_cli.training.denoise import card, material
from enhance_cli.training.denoise.objective import Objective
from enhance_cli.training.denoise.recipe import DenoiseStage, Recipe
from enhance_cli.training.denoise.stream_objective import StreamObjective
from enhance_cli.training.denoise.validation import Validation
from enhance_cli.training.task import Task


class Denoising(Task[Recipe, DenoiseStage, Model]):
    """Train a denoiser. A network with the architecture of the `teacher`'s starts from its weights."""

    recipe_class = Recipe
    model_class = Model
    optional_weights = ("guides.", "state_head.")

    def __init__(self, recipe: Recipe, device: torch.device, teacher: Model | None = None):
        super().__init__(recipe, device, teacher)
        self.seconds = recipe.mix.seconds
        needed = getattr(self.model.network, "frames_multiple", 1)
        if recipe.model.frames_multiple % needed:
            raise UsageError(
                f"model.frames_multiple: {recipe.model.network} takes multiples of {needed} frames",
                f"--set model.frames_multiple={needed}",
            )
        self.lead_in = 0
        self.objective: StreamObjective | Objective
        if self.model.stream_network:
            self.lead_in = int(recipe.mix.lead_in * recipe.model.sample_rate)
            self.objective = StreamObjective(self.model, self.lead_in)
        else:
            self.objective = Objective(self.model, self.averaged, teacher)
        for stage in recipe.stage:
            self.objective.check(stage)

    def load_data(self, root: Path, cache: Path, log: Log) -> None:
        self.material = material.load(self.recipe, root, cache, log)
        self.source = self.material.train

    def prepare_run(self, run: Path, log: Log) -> None:
        train = self.recipe.train
        noisy, clean, *first = map(torch.as_tensor, self.material.valid.batch(0, train.validation_items))
        held_out = [x.numpy() for x in (*self.objective.at_level(noisy, clean), *first)]
        self.validation = Validation(self.averaged, run / "samples", train.samples, *held_out, lead_in=self.lead_in)

    def describe(self) -> dict:
        return self.material.describe()

    def statistics(self) -> dict:
        return self.material.statistics()

    def loss(self, stage: DenoiseStage, *batch: Tensor) -> Tensor:
        """Return the loss of waveforms (B, N): noisy, clean, and the first stage's estimate if there is one."""
        return self.objective.loss(stage, *batch)

    def scores(self, step: int) -> dict[str, float]:
        return self.validation.scores(step)

    def quality(self, scores: dict[str, float]) -> float:
        """Return PESQ plus a tenth of the SI-SDR in dB (0.1 PESQ weighs as much as 1 dB)."""
        return scores.get("pesq", 0.0) + 0.1 * scores["si_sdr"]

    def early_samples(self, step: int) -> None:
        self.validation.early_samples(step)

    def facts(self) -> dict:
        facts = {"validation_noisy": self.validation.noisy_scores}
        if self.recipe.model.first_stage:
            facts["validation_first_stage"] = self.validation.first_scores
        return facts

    def card(self, spec: Spec) -> str:
        return card.render(spec)
