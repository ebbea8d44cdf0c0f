"""The training loop: batches in, loss down, the best moving average exported as a model file.

A run folder holds `state.pt` (resume), `metrics.jsonl` (one line per report) and `NAME.safetensors` with its card
`NAME.md` (the best so far by validation). Run the same command again to go on where it stopped; a finished run does nothing.
"""

import json
import random
import subprocess
import time
from copy import deepcopy
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import torch

from enhance_cli.data import corpus, rooms
from enhance_cli.data.mixing import Mixer
from enhance_cli.errors import EnhanceError, UsageError
from enhance_cli.losses import DISTANCES, LOSSES
from enhance_cli.models.load import Model, save_model
from enhance_cli.models.spec import Spec
from enhance_cli.networks import NETWORKS
from enhance_cli.samplers import SAMPLERS
from enhance_cli.training import card, state
from enhance_cli.training.recipe import Recipe, Stage
from enhance_cli.training.validation import score_pairs, validate

SAVE_SECONDS = 120


def run(
    recipe: Recipe,
    root: Path,
    folder: Path | None,
    cache: Path | None,
    device: torch.device,
    reporter,
    dry_run: bool = False,
    teacher: Model | None = None,
) -> str:
    """Train, or with `dry_run` only look at everything. Returns the checkpoint's path, or the description as JSON.

    `reporter` has `report(dict)`, which gets every metrics line, and `log(str)`, for what a person may want to read.
    """
    folder = folder or Path("runs") / recipe.model.name
    trainer = Trainer(recipe, root, folder, cache or folder / "cache", device, reporter.report, reporter.log, teacher)
    if dry_run:
        return json.dumps(trainer.describe(), indent=2)
    reporter.log(json.dumps(trainer.describe()))
    return str(trainer.train())


class Trainer:
    """One recipe, one run folder. `report(dict)` gets every metrics line, `log(str)` what a person may want to read.

    A network that is the same as the `teacher`'s starts from its weights.
    """

    def __init__(
        self,
        recipe: Recipe,
        root: Path,
        run: Path,
        cache: Path,
        device: torch.device,
        report,
        log,
        teacher: Model | None = None,
    ):
        self.teacher = teacher
        self.recipe, self.run, self.device, self.report, self.log = recipe, run, device, report, log
        train = recipe.train
        torch.manual_seed(train.seed)
        random.seed(train.seed)
        rate = recipe.model.sample_rate
        self.speech = corpus.load(recipe.data.speech, root, rate, cache, log)
        self.noise = corpus.load(recipe.data.noise, root, rate, cache, log)
        responses = rooms.load(recipe.data.rooms, rate, cache, log=log) if recipe.data.rooms else None
        self.mixer = Mixer(self.speech, self.noise, responses, recipe.mix, rate, train.seed)
        held_out = Mixer(self.speech, self.noise, responses, recipe.mix, rate, train.seed + 1, held_out=True)
        self.validation = held_out.batch(0, train.validation_items)
        network = NETWORKS[recipe.model.network](**recipe.model.network_args)
        if teacher and same_network(teacher.spec, recipe.model):
            network.load_state_dict(teacher.network.state_dict())
        self.average = state.MovingAverage(network.to(device))
        self.model = Model(recipe.model, network, device, train.precision)
        self.averaged = Model(recipe.model, deepcopy(network).eval().requires_grad_(False), device, train.precision)
        self.validation = tuple(x.numpy() for x in self.at_level(*map(torch.as_tensor, self.validation)))
        self.noisy_scores = score_pairs(self.validation[1], self.validation[0], rate)
        self.total = sum(stage.steps for stage in recipe.stage)

    def describe(self) -> dict:
        """What `--dry-run` prints: parameters, data, and the number of batches."""
        rate, train = self.recipe.model.sample_rate, self.recipe.train
        return {
            "parameters": sum(p.numel() for p in self.model.network.parameters()),
            "device": str(self.device),
            "speech_hours": round(self.speech.hours(self.speech.train, rate), 2),
            "speech_hours_held_out": round(self.speech.hours(self.speech.valid, rate), 2),
            "noise_hours": round(self.noise.hours(self.noise.train, rate), 2),
            "noise_hours_held_out": round(self.noise.hours(self.noise.valid, rate), 2),
            "batches": self.total,
            "audio_hours_seen": round(self.total * train.batch_size * self.recipe.mix.seconds / 3600, 1),
        }

    def train(self) -> Path:
        """Run every stage from wherever the state stands. Returns the exported model's path.

        Raises EnhanceError when the loss is not finite (the last good state and model stay in the run folder).
        """
        self.run.mkdir(parents=True, exist_ok=True)
        network, train = self.model.network, self.recipe.train
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=train.weight_decay)
        progress = self.resume(optimiser)
        begun, saved = time.monotonic() - progress.seconds, time.monotonic()
        for step, batch in zip(range(progress.step, self.total), self.batches(progress.step)):
            stage, lr = schedule(self.recipe.stage, step)
            number = self.recipe.stage.index(stage)
            if number != progress.stage:  # a later stage supersedes what the ones before it exported
                progress.stage, progress.best = number, -float("inf")
            for group in optimiser.param_groups:
                group["lr"] = lr
            network.train(not stage.fixed_statistics)
            loss = self.loss(stage, *batch)
            if not torch.isfinite(loss):
                raise EnhanceError(f"the loss is not finite at batch {step}", "lower the learning rate and run again")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), train.clip_norm)
            optimiser.step()
            self.average.update(network, stage.ema)
            progress.losses.append(float(loss.detach()))
            progress.step, progress.seconds = step + 1, time.monotonic() - begun
            self.tell(progress, lr)
            if time.monotonic() - saved > SAVE_SECONDS or progress.step == self.total:
                state.save(self.run / "state.pt", progress, network, self.average, optimiser)
                saved = time.monotonic()
        return self.path

    def resume(self, optimiser) -> state.Progress:
        """The state of an earlier run in this folder; what it reported after its last save is forgotten."""
        if not (self.run / "state.pt").exists():
            return state.Progress()
        progress = state.restore(self.run / "state.pt", self.model.network, self.average, optimiser)
        self.log(f"resuming at step {progress.step} of {self.total}")
        metrics = self.run / "metrics.jsonl"
        lines = metrics.read_text().splitlines(keepends=True) if metrics.exists() else []
        metrics.write_text("".join(line for line in lines if json.loads(line)["step"] <= progress.step))
        return progress

    def tell(self, progress: state.Progress, lr: float) -> None:
        """Report now and then; validate, export and write a line of metrics every `validate_every` batches."""
        step, losses = progress.step, progress.losses
        eta = round(progress.seconds / step * (self.total - step))
        if step % self.recipe.train.validate_every == 0 or step == self.total:
            scores = self.validate()
            progress.best = self.export_if_best(step, progress.best, scores)
            line = {"step": step, "loss": sum(losses) / len(losses), "lr": lr, "seconds": round(progress.seconds, 1)}
            with open(self.run / "metrics.jsonl", "a") as file:
                file.write(json.dumps(line | scores) + "\n")
            self.report(line | scores | {"eta": eta})
            losses.clear()
        elif step % 50 == 0:
            self.report({"step": step, "loss": sum(losses[-50:]) / len(losses[-50:]), "lr": lr, "eta": eta})

    @property
    def path(self) -> Path:
        return self.run / f"{self.recipe.model.name}.safetensors"

    def batches(self, first: int):
        """(noisy, clean) waveforms on the device, from batch number `first` on."""
        size, workers = self.recipe.train.batch_size, self.recipe.train.workers
        if workers:
            dataset = _Batches(self.mixer, size, first, self.total)
            source = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=workers, prefetch_factor=4)
        else:
            source = (self.mixer.batch(number, size) for number in range(first, self.total))
        for noisy, clean in source:
            yield tuple(torch.as_tensor(x).to(self.device, non_blocking=True) for x in (noisy, clean))

    def at_level(self, noisy: torch.Tensor, clean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pairs (B, N) as the model will hear files; the mixer has brought them to about the right level already."""
        if self.recipe.model.normalise != "peak":
            return noisy, clean
        peak = noisy.abs().amax(dim=1, keepdim=True).clamp_min(1e-4)
        return noisy / peak, clean / peak

    def loss(self, stage: Stage, noisy: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        frontend = self.model.frontend
        noisy, clean = self.at_level(noisy, clean)
        y, x0 = frontend.analyse(noisy), frontend.analyse(clean)

        def distance(estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return sum(w * DISTANCES[name](estimate, target, frontend) for name, w in stage.distance.items())

        extra = dict(stage.loss_args)
        if stage.loss == "reverse_process":
            sampler = self.model.spec.samplers[0]
            extra["sample"] = partial(SAMPLERS[sampler], **self.model.spec.sampler_args.get(sampler, {}))
        if stage.loss == "consistency":
            if self.teacher is None:
                raise UsageError("consistency distillation needs a teacher", "run `enhance distill --teacher MODEL`")
            self.averaged.network.load_state_dict(self.average.values)
            extra |= {"teacher": self.teacher.estimate, "average": self.averaged.estimate}
        process = self.model.process
        noise = lambda: process.noise_scale * torch.randn_like(y)
        return LOSSES[stage.loss](self.model.estimate, process, x0, y, noise, distance, **extra)

    def validate(self) -> dict[str, float]:
        """Scores of the moving average."""
        self.averaged.network.load_state_dict(self.average.values)
        return validate(self.averaged, *self.validation)

    def export_if_best(self, step: int, best: float, scores: dict[str, float]) -> float:
        """Quality in one number: PESQ plus a tenth of the SI-SDR in dB (0.1 PESQ weighs as much as 1 dB)."""
        value = scores.get("pesq", 0.0) + 0.1 * scores["si_sdr"]
        if value <= best:
            return best
        training = {
            "steps": step,
            "audio_hours_seen": round(step * self.recipe.train.batch_size * self.recipe.mix.seconds / 3600, 1),
            "recipe": asdict(self.recipe),
            "data": self.describe(),
            "licences": self.recipe.data.licences,
            "validation": scores,
            "validation_noisy": self.noisy_scores,
            "date": date.today().isoformat(),
            "commit": _commit(),
        }
        if self.teacher:
            training["teacher"] = self.teacher.spec.name
        spec = replace(self.recipe.model, training=training)
        self.averaged.network.load_state_dict(self.average.values)
        save_model(self.path, spec, self.averaged.network)
        self.path.with_suffix(".md").write_text(card.render(spec))
        return value


class _Batches(torch.utils.data.Dataset):
    """Batches by number, for worker processes."""

    def __init__(self, mixer: Mixer, size: int, first: int, total: int):
        self.mixer, self.size, self.first, self.total = mixer, size, first, total

    def __len__(self) -> int:
        return self.total - self.first

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        torch.set_num_threads(1)
        return self.mixer.batch(self.first + index, self.size)


def schedule(stages: list[Stage], step: int) -> tuple[Stage, float]:
    """The stage that a step belongs to, and its learning rate: linear warm-up, then a cosine down to lr_end."""
    for stage in stages:
        if step < stage.steps:
            break
        step -= stage.steps
    progress = min(1.0, step / max(1, stage.steps))
    cosine = stage.lr_end + (stage.lr - stage.lr_end) * 0.5 * (1 + np.cos(np.pi * progress))
    return stage, float(cosine * min(1.0, (step + 1) / max(1, stage.warmup)))


def same_network(one: Spec, other: Spec) -> bool:
    plain = [json.dumps([spec.network, spec.network_args], sort_keys=True) for spec in (one, other)]
    return plain[0] == plain[1]


def _commit() -> str:
    """The commit of the source tree this runs from, or "" outside one."""
    folder = Path(__file__).parent
    result = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True)
    return result.stdout.strip()
