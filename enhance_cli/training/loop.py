"""The training loop: batches in, loss down, the best moving average exported as a model file.

A run folder holds `state.pt` (resume), `metrics.jsonl` (one line per validation), `samples/` (what it sounds like so far)
and `NAME.safetensors` with its card `NAME.md` (the best so far by validation). Run the same command again to go on where it
stopped; a finished run does nothing. The same in several processes, of which the first writes and talks (training.parallel).
"""

import json
import random
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from enhance_cli.errors import EnhanceError, UsageError
from enhance_cli.models import registry
from enhance_cli.models.device import send
from enhance_cli.models.load import Model, begin_from
from enhance_cli.models.spec import Spec
from enhance_cli.networks import NETWORKS
from enhance_cli.training import batches, export, material, memory, state
from enhance_cli.training.logs import Log
from enhance_cli.training.objective import Objective
from enhance_cli.training.parallel import Processes
from enhance_cli.training.precision import set_precision
from enhance_cli.training.recipe import Recipe
from enhance_cli.training.stage import Stage
from enhance_cli.training.validation import Validation

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
) -> str | None:
    """Train, or with `dry_run` only look at everything. Returns the checkpoint's path, or the description as JSON; None on
    all processes of a run but the first.

    `reporter` has `report(dict)`, which gets every metrics line, and `log(str)`, for what a person may want to read.
    """
    folder = folder or Path("runs") / recipe.model.name
    trainer = Trainer(recipe, root, folder, cache or folder / "cache", device, reporter.report, reporter.log, teacher)
    with trainer.processes.together():
        if dry_run:
            answer = json.dumps(trainer.look(), indent=2)
        else:
            trainer.log(json.dumps(trainer.describe()))
            answer = str(trainer.train())
    return answer if trainer.processes.main else None


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
        self.processes = Processes(device)
        silent = lambda _: None
        self.report, self.log = (report, log) if self.processes.main else (silent, silent)
        self.recipe, self.run, self.device, self.teacher = recipe, run, device, teacher
        train = recipe.train
        torch.manual_seed(train.seed)
        random.seed(train.seed)
        network = _network(recipe.model)
        if teacher and same_network(teacher.spec, recipe.model):
            network.load_state_dict(teacher.network.state_dict())
        if train.start:
            entry = registry.find(train.start, recipe.model.task)
            begin_from(network, entry.path, entry.sha256)
        precision = set_precision(network, train.precision, device)
        self.average = state.MovingAverage(network.to(device))
        self.model = Model(recipe.model, network, device, precision)
        self.averaged = Model(recipe.model, deepcopy(network).eval().requires_grad_(False), device, precision)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.objective = Objective(self.model, self.averaged, self.average, teacher)
        for stage in recipe.stage:
            self.objective.check(stage)
        with self.processes.main_first():  # which may take long, so what cannot be trained was said before
            self.material = material.load(recipe, root, cache, self.log)
        self.mixer = self.material.train
        held_out = map(torch.as_tensor, self.material.valid.batch(0, train.validation_items))
        mixtures = (x.numpy() for x in self.objective.at_level(*held_out))
        self.validation = Validation(self.averaged, *mixtures, run / "samples", train.samples)
        self.total = sum(stage.steps for stage in recipe.stage)

    def describe(self) -> dict:
        """Parameters, hours of data, and how much of it will be heard."""
        return {
            "parameters": sum(p.numel() for p in self.model.network.parameters()),
            "device": str(self.device),
            **self.material.describe(),
            "batches": self.total,
            "audio_hours_seen": self.hours(self.total),
        }

    def look(self) -> dict:
        """What `--dry-run` prints: the description, the memory that training takes, and what the data is like."""
        batch = [torch.as_tensor(x).to(self.device) for x in self.mixer.batch(0, 2)]
        estimates = []
        for stage in self.recipe.stage:
            self.model.network.train(not stage.fixed_statistics)
            loss = lambda size: self.loss(stage, *(x[:size] for x in batch))  # noqa: B023 - used up at once
            estimates.append(memory.estimate(self.model.network, loss, self.recipe.train.batch_size))
        largest = max(estimates, key=lambda estimate: estimate["total"])
        return self.describe() | {"memory_gb": largest, "data": self.material.statistics()}

    def hours(self, steps: int) -> float:
        """Hours of audio heard after so many steps."""
        train = self.recipe.train
        items = steps * train.batch_size * train.accumulate * self.processes.count
        return round(items * self.recipe.mix.seconds / 3600, 1)

    def train(self) -> Path:
        """Run every stage from wherever the state stands. Returns the exported model's path.

        Raises EnhanceError when the loss or its gradient is not finite, and when memory runs out; the last good state and
        model stay in the run folder.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        network, train, main = self.model.network, self.recipe.train, self.processes.main
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=train.weight_decay)
        progress = self.resume(optimiser)
        self.metrics = Log(self.run, progress.step, train.tensorboard) if main else None
        begun, saved = time.monotonic() - progress.seconds, time.monotonic()
        steps = range(progress.step, self.total)
        for step, parts in zip(steps, batches.load(self.mixer, steps, *self.sharing(), train.workers)):
            stage, lr = schedule(self.recipe.stage, step)
            number = self.recipe.stage.index(stage)
            if number != progress.stage:  # a later stage supersedes what the ones before it exported
                progress.stage, progress.best = number, -float("inf")
            with memory.explained(train.batch_size, train.accumulate, self.recipe.mix.seconds, step):
                loss = self.update(optimiser, stage, lr, step, parts)
            progress.step, progress.seconds = step + 1, time.monotonic() - begun
            if not main:
                continue
            progress.losses.append(loss)
            self.tell(progress, lr)
            if time.monotonic() - saved > SAVE_SECONDS or progress.step == self.total:
                state.save(self.run / "state.pt", progress, network, self.average, optimiser)
                saved = time.monotonic()
        return self.path

    def sharing(self) -> tuple[int, int, Processes]:
        return self.recipe.train.batch_size, self.recipe.train.accumulate, self.processes

    def update(self, optimiser, stage: Stage, lr: float, step: int, parts: list) -> float:
        """One step of the optimiser, by the mean gradient over the batches `parts` of all processes. Returns their loss."""
        network = self.model.network
        for group in optimiser.param_groups:
            group["lr"] = lr
        network.train(not stage.fixed_statistics)
        if self.processes.count > 1:  # every process draws its own times and noises
            torch.manual_seed(_seed(self.recipe.train.seed, step, self.processes.number))
        optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for noisy, clean in parts:
            part = self.loss(stage, self.place(noisy), self.place(clean)) / len(parts)
            self.scaler.scale(part).backward()
            total += part.detach()
        total = self.processes.average(network, total)
        self.scaler.unscale_(optimiser)
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), self.recipe.train.clip_norm)
        if not torch.isfinite(total if self.scaler.is_enabled() else total + norm):  # the scaler leaves such steps out
            raise EnhanceError(f"the loss or its gradient is not finite at {self.name(step)}", self.advice(step))
        self.scaler.step(optimiser)
        self.scaler.update()
        self.average.update(network, stage.ema)
        return float(total)

    def place(self, audio: np.ndarray) -> torch.Tensor:
        return send(torch.as_tensor(audio), self.device)

    def name(self, step: int) -> str:
        """A step's number, and those of its batches where there are several."""
        count = self.recipe.train.accumulate * self.processes.count
        return f"batch {step}" if count == 1 else f"step {step} (batches {step * count} to {(step + 1) * count - 1})"

    def advice(self, step: int) -> str:
        stage, lr = schedule(self.recipe.stage, step)
        setting = f"--set stage.{self.recipe.stage.index(stage)}.lr={stage.lr / 2:g}"
        kept = "the last good state is kept" if (self.run / "state.pt").exists() else "nothing had been saved yet"
        return f"lower the learning rate ({setting}) and run again; {kept}"

    def resume(self, optimiser) -> state.Progress:
        """The state of an earlier run in this folder. Raises UsageError where that trained another network."""
        path = self.run / "state.pt"
        if not path.exists():
            return state.Progress()
        try:
            progress = state.restore(path, self.model.network, self.average, optimiser)
        except (RuntimeError, KeyError) as error:
            raise UsageError(f"{path}: not a state of this network", "name another folder with --run") from error
        if progress.step >= self.total:
            self.log(f"finished before, at step {progress.step}; to train anew name another folder with --run")
        else:
            self.log(f"resuming at step {progress.step} of {self.total}")
        return progress

    def tell(self, progress: state.Progress, lr: float) -> None:
        """Report now and then; validate, export and write a line of metrics every `validate_every` batches."""
        step, losses, every = progress.step, progress.losses, self.recipe.train.validate_every
        eta = round(progress.seconds / step * (self.total - step))
        if step % every == 0 or step == self.total:
            self.averaged.network.load_state_dict(self.average.values)
            scores = self.validation.scores(step)
            progress.best = self.export_if_best(step, progress.best, scores)
            line = {"step": step, "loss": sum(losses) / len(losses), "lr": lr, "seconds": round(progress.seconds, 1)}
            self.metrics.write(line | scores)
            self.report(line | scores | {"eta": eta})
            losses.clear()
            return
        if step == max(1, every // 10):
            self.averaged.network.load_state_dict(self.average.values)
            self.validation.early_samples(step)
        if step % 50 == 0:
            line = {"step": step, "loss": sum(losses[-50:]) / len(losses[-50:]), "lr": lr, "eta": eta}
            self.metrics.draw(line)
            self.report(line)

    @property
    def path(self) -> Path:
        return self.run / f"{self.recipe.model.name}.safetensors"

    def loss(self, stage: Stage, noisy: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        """The loss of a stage on waveforms (B, N), with gradients."""
        return self.objective.loss(stage, noisy, clean)

    def export_if_best(self, step: int, best: float, scores: dict[str, float]) -> float:
        """Writes the averaged model if its scores are better than `best`. Returns the better of the two."""
        value = export.quality(scores)
        if value <= best:
            return best
        facts = {"steps": step, "audio_hours_seen": self.hours(step), "data": self.describe(), "validation": scores}
        facts |= {"validation_noisy": self.validation.noisy_scores, "processes": self.processes.count}
        if self.teacher:
            facts["teacher"] = self.teacher.spec.name
        export.write(self.path, self.averaged.network, self.recipe, facts)
        return value


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


def _network(spec: Spec) -> torch.nn.Module:
    try:
        return NETWORKS[spec.network](**spec.network_args)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model.network_args: {spec.network} cannot be built ({error})", "mend the recipe") from error


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
