"""Train an embedding repair on batches of stored vectors, validated by error rates of held-out voices.

A moving average is only kept if it passes `harmless`. If none does, the run ends with an error and without a model.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from enhance_cli.contracts import Log
from enhance_cli.data.degraded import CONDITIONS
from enhance_cli.errors import UsageError
from enhance_cli.losses import LOSSES
from enhance_cli.metrics.condition_eer import error_rates, thresholds
from enhance_cli.models.extractor import load_extractor
from enhance_cli.models.load import Model
from enhance_cli.models.spec import Spec
from enhance_cli.training.repair import card
from enhance_cli.training.repair.material import Material
from enhance_cli.training.repair.recipe import Pairing, RepairRecipe
from enhance_cli.training.stage import Stage
from enhance_cli.training.task import Task


class Repair(Task[RepairRecipe, Stage, Model]):
    """Train a repair. Scores are equal error rates in percent (metrics.condition_eer)."""

    recipe_class = RepairRecipe
    model_class = Model
    best_of_all_stages = True

    def __init__(self, recipe: RepairRecipe, device: torch.device, teacher: Model | None = None):
        if teacher:
            raise UsageError("a repair of embeddings has no teacher", "train it with `enhance train`")
        if recipe.model.default_time is None:
            raise UsageError("model.default_time is missing", "add the time at which the network is called, 0 to 999")
        super().__init__(replace(recipe, model=replace(recipe.model, frontend=None)), device)
        self.time = float(recipe.model.default_time)

    def load_data(self, root: Path, cache: Path, log: Log) -> None:
        extractor = load_extractor(self.recipe.model.extractor_id, self.device)
        self.material = Material(self.recipe, extractor, root, cache, log)

    def prepare_run(self, run: Path, log: Log) -> None:
        self.source = VectorPairs(self.material.vectors(), self.recipe.pairing, self.recipe.train.seed)
        self.trials, self.speakers = self.material.trials()
        self.raw = error_rates(self.trials, self.speakers, CONDITIONS)
        log(f"held-out voices before repair: {json.dumps(self.raw)}")

    def describe(self) -> dict:
        return self.material.describe() | {"crops": self.recipe.embedding.crops}

    def example(self, size: int) -> Sequence[np.ndarray]:
        """Return arbitrary vectors, since none are embedded yet."""
        return [np.full((size, self.recipe.model.embedding_dimension), 0.1, dtype=np.float32)] * 2

    def loss(self, stage: Stage, *batch: Tensor) -> Tensor:
        """Return the loss of unit vectors (B, D): targets and inputs."""
        targets, inputs = batch
        x0, y, process = unit_rms(targets), unit_rms(inputs), self.model.process
        noise = lambda: process.noise_scale * torch.randn_like(y)
        return LOSSES[stage.loss](self.model.bind(y)[1], process, x0, y, noise, None, **stage.loss_args)

    def scores(self, step: int) -> dict[str, float]:
        return error_rates(self.repaired(self.trials), self.speakers, CONDITIONS)

    @torch.no_grad()
    def repaired(self, vectors: np.ndarray) -> np.ndarray:
        """Return unit vectors (..., D) after one step of the moving average, from the model's own time and without noise."""
        y = unit_rms(torch.from_numpy(vectors.reshape(-1, vectors.shape[-1])).to(self.device))
        t = y.new_full(y.shape[:1], self.time)
        estimate = self.averaged.bind(y)[1](self.averaged.process.mean(y, y, t), t)
        return torch.nn.functional.normalize(estimate, dim=1).cpu().numpy().reshape(vectors.shape)

    def quality(self, scores: dict[str, float]) -> float:
        """Return minus the mean error rate of degraded speech for a harmless model, -inf for others."""
        return -scores["degraded"] if harmless(scores, self.raw) else -inf

    def headline(self, scores: dict[str, float]) -> dict[str, float]:
        return {name: scores[name] for name in ("clean", "degraded")}

    def facts(self) -> dict:
        threshold, uncertain = thresholds(self.repaired(self.trials), self.speakers, CONDITIONS)
        rounded = [round(value, 4) for value in uncertain or ()]
        return {"validation_raw": self.raw, "threshold": round(threshold, 4), "uncertain": rounded or None}

    def card(self, spec: Spec) -> str:
        return card.render(spec)

    def reason_for_no_model(self) -> str:
        return (
            "none lowered the error rate of degraded speech without raising that of clean speech by more than 2 % "
            f"(before: {self.raw['degraded']:.2f} and {self.raw['clean']:.2f} %)"
        )


class VectorPairs:
    """Draw pairs from stored `vectors` (crops, 1 + conditions, segments, D), the target first."""

    def __init__(self, vectors: np.ndarray, pairing: Pairing, seed: int):
        self.vectors, self.pairing, self.seed = vectors, pairing, seed

    def batch(self, number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (clean targets, inputs), unit vectors float32 (size, D).

        They are means over a run of segments, and of the target over the same segments or all. A function of (seed,
        number), so a resumed run gets the same data.
        """
        vectors, pairing, rng = self.vectors, self.pairing, np.random.default_rng((self.seed, number))
        crops, _, segments, _ = vectors.shape
        rows = rng.integers(crops, size=size)
        degraded = rng.choice([CONDITIONS.index(c) for c in pairing.conditions], size=size)
        conditions = 1 + np.where(rng.random(size) < pairing.clean, 0, degraded)
        first, last = np.sort(rng.integers(segments, size=(2, size)), axis=0)
        indices = np.arange(segments)
        used = ((first[:, None] <= indices) & (indices <= last[:, None]))[..., None]
        inputs = (vectors[rows, conditions] * used).sum(axis=1, dtype=np.float32)
        targets = (vectors[rows, 0] * (used if pairing.target == "crop" else 1)).sum(axis=1, dtype=np.float32)
        unit = lambda v: v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9)
        return unit(targets), unit(inputs)


def unit_rms(vectors: Tensor) -> Tensor:
    """Return unit vectors (B, D) scaled to an RMS of one, as the network expects them."""
    return vectors * vectors.shape[-1] ** 0.5


def harmless(rates: dict[str, float], raw: dict[str, float]) -> bool:
    """Return whether a model may be kept: lower error rate on degraded speech, at most 2 % (relative) higher on clean."""
    return rates["degraded"] < raw["degraded"] and rates["clean"] <= 1.02 * raw["clean"]
