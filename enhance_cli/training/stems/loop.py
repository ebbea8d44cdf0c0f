"""Training of a stem extractor, or of the refiner that is fed by a finished one: mixes in, stems out, the best exported.

A run folder holds `state.pt` (resume), `metrics.jsonl` and `NAME.safetensors` with its card (the moving average that was
best on held-out songs). The same command again goes on where it stopped. Either all stages train the extractor
("extraction") or all the refiner of an extractor that stays as it is, in the model that `train.start` names or the teacher.
"""

import json
import time
from copy import deepcopy
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import torch

from enhance_cli.data import rendering, stem_folders
from enhance_cli.data.stem_mixing import StemMixer
from enhance_cli.errors import EnhanceError, UsageError
from enhance_cli.models import registry
from enhance_cli.models.device import send
from enhance_cli.models.load import load_network, save_model
from enhance_cli.models.stems import StemModel
from enhance_cli.networks import NETWORKS
from enhance_cli.samplers import SAMPLERS
from enhance_cli.training import batches, state
from enhance_cli.training.export import commit
from enhance_cli.training.logs import Log
from enhance_cli.training.loop import schedule
from enhance_cli.training.parallel import Processes
from enhance_cli.training.precision import set_precision
from enhance_cli.training.stems import card
from enhance_cli.training.stems.objective import Objective
from enhance_cli.training.stems.recipe import StemRecipe
from enhance_cli.training.stems.validation import score

SAVE_SECONDS = 120


def run(
    recipe: StemRecipe,
    root: Path,
    folder: Path | None,
    cache: Path | None,
    device: torch.device,
    reporter,
    dry_run: bool = False,
    teacher: StemModel | None = None,
) -> str:
    """As training.loop.run: the checkpoint's path, or with `dry_run` the description as JSON."""
    folder = folder or Path("runs") / recipe.model.name
    trainer = Trainer(recipe, root, folder, cache or folder / "cache", device, reporter.report, reporter.log, teacher)
    if dry_run:
        return json.dumps(trainer.describe(), indent=2)
    reporter.log(json.dumps(trainer.describe()))
    return str(trainer.train())


class Trainer:
    """One recipe, one run folder. `report(dict)` gets every metrics line, `log(str)` what a person may want to read."""

    def __init__(
        self,
        recipe: StemRecipe,
        root: Path,
        run: Path,
        cache: Path,
        device: torch.device,
        report,
        log,
        teacher: StemModel | None = None,
    ):
        self.recipe, self.run, self.device, self.report, self.log = recipe, run, device, report, log
        spec, train = recipe.model, recipe.train
        torch.manual_seed(train.seed)
        torch.set_flush_denormal(True)  # layers that begin at zero make numbers that tiny, and those are slow
        self.network = NETWORKS[spec.network](**spec.network_args)
        if teacher:
            begin_from(self.network, teacher.network, teacher.spec.name)
        elif train.start:
            begin_from(
                self.network, load_network(registry.find(train.start, spec.task).path, fold=False)[1], train.start
            )
        precision = set_precision(self.network, train.precision, device)
        self.model = StemModel(spec, self.network, device, precision)
        self.average = state.MovingAverage(self.network)
        self.averaged = StemModel(spec, deepcopy(self.network).eval().requires_grad_(False), device, precision)
        self.objective = Objective(
            self.model, self.averaged, teacher and StemModel(teacher.spec, teacher.network, device, precision)
        )
        self.refines = recipe.stage[0].loss != "extraction"
        for stage in recipe.stage:
            self.objective.check(stage)
            if (stage.loss != "extraction") != self.refines:
                raise UsageError("one run trains the extractor or the refiner", "make two recipes of it")
        if self.refines and not (teacher or train.start):
            raise UsageError("a refiner needs a finished extractor", "name the model that has it: train.start")
        files = songs(recipe, root, cache, log)
        make = lambda part, mix, seed: StemMixer(files[part], spec.stems, mix, spec.sample_rate, spec.level, seed)
        plain = replace(recipe.mix, coherent=1.0, other=0.0, speed=(1.0, 1.0), equaliser=0.0)
        self.mixer, self.held_out = make("train", recipe.mix, train.seed), make("valid", plain, train.seed + 1)
        self.total = sum(stage.steps for stage in recipe.stage)

    @property
    def path(self) -> Path:
        return self.run / f"{self.recipe.model.name}.safetensors"

    def describe(self) -> dict:
        return {
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "device": str(self.device),
            "songs": len(self.mixer.songs),
            "song_hours": round(self.mixer.hours, 2),
            "songs_held_out": len(self.held_out.songs),
            "batches": self.total,
            "audio_hours_seen": self.hours(self.total),
        }

    def hours(self, steps: int) -> float:
        return round(steps * self.recipe.train.batch_size * self.recipe.mix.seconds / 3600, 1)

    def train(self) -> Path:
        train, network = self.recipe.train, self.network
        trained = network.refiner if self.refines else network.extractor
        network.eval().requires_grad_(False)
        trained.requires_grad_(True)
        self.run.mkdir(parents=True, exist_ok=True)
        optimiser = torch.optim.AdamW(trained.parameters(), lr=1e-3, weight_decay=train.weight_decay)
        progress = self.resume(optimiser)
        log = Log(self.run, progress.step, train.tensorboard)
        validation = self.held_out.batch(0, train.validation_items)
        begun, saved = time.monotonic() - progress.seconds, time.monotonic()
        steps = range(progress.step, self.total)
        loaded = batches.load(self.mixer, steps, train.batch_size, 1, Processes(self.device), train.workers)
        for step, parts in zip(steps, loaded):
            stage, lr = schedule(self.recipe.stage, step)
            for group in optimiser.param_groups:
                group["lr"] = lr
            trained.train(not stage.fixed_statistics)
            mixes, stems = (send(torch.from_numpy(audio), self.device) for audio in parts[0])
            if stage.loss == "consistency":
                self.averaged.network.load_state_dict(self.average.values)
            loss = self.objective.loss(stage, mixes, stems)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(trained.parameters(), train.clip_norm)
            if not torch.isfinite(loss + norm):
                raise EnhanceError(f"the loss is not finite at batch {step}", "lower the learning rate and run again")
            optimiser.step()
            self.average.update(network, stage.ema)
            progress.losses.append(float(loss.detach()))
            progress.step, progress.seconds = step + 1, time.monotonic() - begun
            eta = round(progress.seconds / progress.step * (self.total - progress.step))
            line = {"step": step + 1, "loss": float(np.mean(progress.losses[-50:])), "lr": lr}
            if (step + 1) % train.validate_every == 0 or step + 1 == self.total:
                scores = self.validate(*validation)
                self.export_if_best(progress, scores)
                log.write(line | {"seconds": round(progress.seconds, 1)} | scores)
                self.report(line | scores | {"eta": eta})
                progress.losses.clear()
            elif (step + 1) % 50 == 0:
                self.report(line | {"eta": eta})
            if time.monotonic() - saved > SAVE_SECONDS or step + 1 == self.total:
                state.save(self.run / "state.pt", progress, network, self.average, optimiser)
                saved = time.monotonic()
        return self.path

    def resume(self, optimiser) -> state.Progress:
        path = self.run / "state.pt"
        if not path.exists():
            return state.Progress()
        try:
            progress = state.restore(path, self.network, self.average, optimiser)
        except (RuntimeError, KeyError) as error:
            raise UsageError(f"{path}: not a state of this network", "name another folder with --run") from error
        self.log(f"resuming at step {progress.step} of {self.total}")
        return progress

    @torch.no_grad()
    def validate(self, mixes: np.ndarray, stems: np.ndarray) -> dict[str, float]:
        """Scores of the moving average: of the extractor, or of the model's default sampler and steps."""
        model, spec = self.averaged, self.recipe.model
        model.network.load_state_dict(self.average.values)
        sampler, steps = None, 0
        if self.refines:
            steps, name = spec.choose(None, None)
            given = {"start": spec.sigma_for(steps)} if spec.start_sigma else {}
            sampler = partial(SAMPLERS[name], **(spec.sampler_args.get(name, {}) | given))
        found = []
        for part in torch.from_numpy(mixes).to(self.device).split(4):
            generator = torch.Generator().manual_seed(0)
            noise = lambda: lambda: torch.randn(part.shape, generator=generator).to(self.device)  # noqa: B023 - used up
            found.append(model.separate(part, spec.stems, sampler, steps, noise)[:, :, 0].transpose(0, 1))
        return score(mixes, stems, torch.cat(found).float().cpu().numpy(), spec.stems, spec.sample_rate)

    def export_if_best(self, progress: state.Progress, scores: dict[str, float]) -> None:
        if scores["si_sdri"] <= progress.best:
            return
        progress.best = scores["si_sdri"]
        training = {
            "steps": progress.step,
            "audio_hours_seen": self.hours(progress.step),
            "recipe": asdict(self.recipe),
            "data": self.describe(),
            "licences": self.recipe.data.licences,
            "validation": scores,
            "date": date.today().isoformat(),
            "commit": commit(),
            "start": self.recipe.train.start,
        }
        spec = replace(self.recipe.model, training=training)
        self.averaged.network.load_state_dict(self.average.values)
        save_model(self.path, spec, self.averaged.network)
        self.path.with_suffix(".md").write_text(card.render(spec))


def songs(recipe: StemRecipe, root: Path, cache: Path, log) -> dict[str, list[Path]]:
    """The files of all songs to train on ("train") and to validate on ("valid")."""
    data, rate = recipe.data, recipe.model.sample_rate
    parts = [rendering.load(data.rendered, root, rate, cache, log)] if data.rendered else []
    parts += [stem_folders.load(data.folders, data.held_out, root, rate, cache, log)] if data.folders else []
    return {side: [path for part in parts for path in part[side]] for side in ("train", "valid")}


def read_teacher(entry: registry.Entry, device: torch.device) -> StemModel:
    """A finished model to learn from, with its normalisations as they were trained. Raises ModelError."""
    spec, network = load_network(entry.path, entry.sha256, fold=False)
    return StemModel(spec, network, device)


def begin_from(network: torch.nn.Module, other: torch.nn.Module, name: str) -> None:
    """Give `network` the weights of the model called `name`, whose refiner may be missing. Raises UsageError."""
    try:
        missing, unknown = network.load_state_dict(other.state_dict(), strict=False)
    except RuntimeError as error:
        raise UsageError(f"{name} has networks of other sizes", "start from a model of the same kind") from error
    if wrong := [key for key in missing if not key.startswith("refiner.")] + unknown:
        raise UsageError(f"{name} is another network ({wrong[0]})", "start from a model of the same kind")
