"""Training of an embedding repair: batches of stored vectors in, error rates of held-out voices down, the best model out.

A run folder holds `state.pt` (resume), `metrics.jsonl` and, once a moving average passes `trials.harmless`, the best of
these as `NAME.safetensors` with its card. A run none of whose models passes ends with an error and leaves no model.
"""

import json
import time
from copy import deepcopy
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import numpy as np
import torch

from enhance_cli.data.degraded import CONDITIONS
from enhance_cli.errors import EnhanceError
from enhance_cli.losses import LOSSES
from enhance_cli.models.extractor import load_extractor
from enhance_cli.models.load import Model, save_model
from enhance_cli.networks import NETWORKS
from enhance_cli.training import state
from enhance_cli.training.export import commit
from enhance_cli.training.logs import Log
from enhance_cli.training.loop import schedule
from enhance_cli.training.repair import card
from enhance_cli.training.repair.material import Material
from enhance_cli.training.repair.recipe import Pairing, RepairRecipe
from enhance_cli.training.repair.trials import equal_error_threshold, error_rates, harmless
from enhance_cli.training.stage import Stage

SAVE_SECONDS = 120


def run(
    recipe: RepairRecipe,
    root: Path,
    folder: Path | None,
    cache: Path | None,
    device: torch.device,
    reporter,
    dry_run: bool = False,
) -> str:
    """As training.loop.run: the checkpoint's path, or with `dry_run` the description as JSON."""
    folder = folder or Path("runs") / recipe.model.name
    extractor = load_extractor(recipe.model.extractor["id"], device)
    material = Material(recipe, extractor, root, cache or folder / "cache", reporter.log)
    trainer = Trainer(recipe, material, folder, device, reporter.report, reporter.log)
    if dry_run:
        return json.dumps(trainer.describe(), indent=2)
    reporter.log(json.dumps(trainer.describe()))
    return str(trainer.train())


class Trainer:
    """One recipe, one run folder. `report(dict)` gets every metrics line, `log(str)` what a person may want to read."""

    def __init__(self, recipe: RepairRecipe, material: Material, run: Path, device: torch.device, report, log):
        self.recipe, self.material, self.run, self.device = recipe, material, run, device
        self.report, self.log = report, log
        torch.manual_seed(recipe.train.seed)
        torch.set_flush_denormal(True)  # the layers that begin at zero make numbers that tiny, and those are slow
        network = NETWORKS[recipe.model.network](**recipe.model.network_args)
        spec = replace(recipe.model, frontend=None)
        self.model = Model(spec, network, device)
        self.averaged = Model(spec, deepcopy(network).eval().requires_grad_(False), device)
        self.average = state.MovingAverage(self.model.network)
        self.total = sum(stage.steps for stage in recipe.stage)

    @property
    def path(self) -> Path:
        return self.run / f"{self.recipe.model.name}.safetensors"

    def describe(self) -> dict:
        facts = {"parameters": sum(p.numel() for p in self.model.network.parameters()), "device": str(self.device)}
        return facts | self.material.describe() | {"crops": self.recipe.embedding.crops, "batches": self.total}

    def train(self) -> Path:
        train, network = self.recipe.train, self.model.network
        vectors, (trials, speakers) = self.material.vectors(), self.material.trials()
        raw = error_rates(trials, speakers)
        self.log(f"held-out voices before repair: {json.dumps(raw)}")
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=train.weight_decay)
        progress = self.resume(optimiser)
        log = Log(self.run, progress.step, train.tensorboard)
        begun, saved = time.monotonic() - progress.seconds, time.monotonic()
        for step in range(progress.step, self.total):
            stage, lr = schedule(self.recipe.stage, step)
            for group in optimiser.param_groups:
                group["lr"] = lr
            loss = self.loss(stage, *batch(vectors, self.recipe.pairing, train.batch_size, (train.seed, step)))
            if not torch.isfinite(loss):
                raise EnhanceError(f"the loss is not finite at batch {step}", "lower the learning rate and run again")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), train.clip_norm)
            optimiser.step()
            self.average.update(network, stage.ema)
            progress.losses.append(float(loss.detach()))
            progress.step, progress.seconds = step + 1, time.monotonic() - begun
            line = {"step": step + 1, "loss": float(np.mean(progress.losses)), "lr": lr}
            eta = {"eta": round(progress.seconds / progress.step * (self.total - progress.step))}
            if progress.step % train.validate_every == 0 or progress.step == self.total:
                repaired = self.repaired(trials)
                rates = error_rates(repaired, speakers)
                self.export_if_best(progress, rates, raw, equal_error_threshold(repaired, speakers))
                log.write(line | {"seconds": round(progress.seconds, 1)} | rates)
                self.report(line | {"clean": rates["clean"], "degraded": rates["degraded"]} | eta)
                progress.losses.clear()
            elif progress.step % 50 == 0:
                self.report(line | eta)
            if time.monotonic() - saved > SAVE_SECONDS or progress.step == self.total:
                state.save(self.run / "state.pt", progress, network, self.average, optimiser)
                saved = time.monotonic()
        if not self.path.exists():
            raise EnhanceError(
                "no model was kept: none lowered the error rate of degraded speech without raising that of clean speech "
                f"by more than 2 % (before: {raw['degraded']:.2f} and {raw['clean']:.2f} %)",
                "train longer, or on more voices",
            )
        return self.path

    def resume(self, optimiser) -> state.Progress:
        """The state of an earlier run in this folder."""
        self.run.mkdir(parents=True, exist_ok=True)
        if not (self.run / "state.pt").exists():
            return state.Progress()
        progress = state.restore(self.run / "state.pt", self.model.network, self.average, optimiser)
        self.log(f"resuming at step {progress.step} of {self.total}")
        return progress

    def loss(self, stage: Stage, targets: np.ndarray, inputs: np.ndarray) -> torch.Tensor:
        x0, y = self.unit_rms(targets), self.unit_rms(inputs)
        process = self.model.process
        noise = lambda: process.noise_scale * torch.randn_like(y)
        return LOSSES[stage.loss](self.model.estimate, process, x0, y, noise, **stage.loss_args)

    def unit_rms(self, vectors: np.ndarray) -> torch.Tensor:
        """Unit vectors (B, D) as the network sees them: with an RMS of one."""
        return torch.from_numpy(vectors).to(self.device) * vectors.shape[-1] ** 0.5

    @torch.no_grad()
    def repaired(self, vectors: np.ndarray) -> np.ndarray:
        """Unit vectors (..., D) after one step of the moving average, from the model's own time and without noise."""
        self.averaged.network.load_state_dict(self.average.values)
        y = self.unit_rms(vectors.reshape(-1, vectors.shape[-1]))
        t = y.new_full(y.shape[:1], float(self.recipe.model.default_time))
        estimate = self.averaged.estimate(self.averaged.process.mean(y, y, t), y, t)
        return torch.nn.functional.normalize(estimate, dim=1).cpu().numpy().reshape(vectors.shape)

    def export_if_best(self, progress: state.Progress, rates: dict, raw: dict, threshold: float) -> None:
        """Keep the moving average if it does no harm and is the best so far by the mean error rate of degraded speech."""
        if not harmless(rates, raw) or -rates["degraded"] <= progress.best:
            return
        progress.best = -rates["degraded"]
        training = {
            "steps": progress.step,
            "recipe": asdict(self.recipe),
            "data": self.describe(),
            "licences": self.recipe.data.licences,
            "validation": rates,
            "validation_raw": raw,
            "threshold": round(threshold, 4),
            "date": date.today().isoformat(),
            "commit": commit(),
        }
        spec = replace(self.model.spec, training=training)
        save_model(self.path, spec, self.averaged.network)
        self.path.with_suffix(".md").write_text(card.render(spec))


def batch(vectors: np.ndarray, pairing: Pairing, size: int, seed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(clean targets, inputs), unit vectors float32 (size, D): means over a run of segments, of the target of the same or all.

    `vectors` (crops, 1 + conditions, segments, D), the target first. A function of its arguments, so a resumed run sees
    what it would have seen.
    """
    rng = np.random.default_rng(seed)
    crops, _, segments, _ = vectors.shape
    rows = rng.integers(crops, size=size)
    degraded = rng.choice([CONDITIONS.index(c) for c in pairing.conditions], size=size)
    conditions = 1 + np.where(rng.random(size) < pairing.clean, 0, degraded)
    first, last = np.sort(rng.integers(segments, size=(2, size)), axis=0)
    places = np.arange(segments)
    used = ((first[:, None] <= places) & (places <= last[:, None]))[..., None]
    inputs = (vectors[rows, conditions] * used).sum(axis=1, dtype=np.float32)
    targets = (vectors[rows, 0] * (used if pairing.target == "crop" else 1)).sum(axis=1, dtype=np.float32)
    unit = lambda v: v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9)
    return unit(targets), unit(inputs)
