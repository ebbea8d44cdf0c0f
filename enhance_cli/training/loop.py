"""Run the training loop for models of every task: train on batches, validate, and export the best moving average.

A run folder holds `state.pt` (to resume), `metrics.jsonl` (one line per validation) and `NAME.safetensors` with its card
`NAME.md` (the best model so far). A task may add files. The same command continues a run where it stopped, and does nothing if
the run is finished. With several ranks, the first one writes and reports (training.parallel).
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from math import inf
from pathlib import Path

import torch

from enhance_cli.contracts import Log
from enhance_cli.errors import EnhanceError
from enhance_cli.training import batches, export, memory, state
from enhance_cli.training.card import duration
from enhance_cli.training.logs import MetricsFile
from enhance_cli.training.only_run import only_run
from enhance_cli.training.parallel import Ranks
from enhance_cli.training.stage import schedule
from enhance_cli.training.step import NotFiniteError, TrainStep
from enhance_cli.training.task import Task

SAVE_SECONDS = 120
REPORT_STEPS = 50
SETTLED_SECONDS = 10.0  # of training after which its speed tells the time that is left


class Trainer:
    """Train one task in one run folder.

    `report(dict)` receives every metrics line, `log(str)` messages for a person.
    """

    def __init__(self, task: Task, run: Path, ranks: Ranks, report: Callable[[dict], None], log: Log):
        self.task, self.run, self.ranks = task, run, ranks
        self.report = report if ranks.main else lambda line: None
        self.log = log if ranks.main else lambda line: None
        self.stages = task.recipe.stage
        self.total = sum(stage.steps for stage in self.stages)
        self.path = run / f"{task.recipe.model.name}.safetensors"
        self.train_step = TrainStep(task, ranks)

    def describe(self) -> dict:
        """Return the number of parameters, the training data, and how much of it will be used."""
        parameters = sum(p.numel() for p in self.task.model.network.parameters())
        facts = {"parameters": parameters, "device": str(self.task.device)} | self.task.describe()
        return facts | {"batches": self.total} | self.audio_hours(self.total)

    def plan(self) -> str:
        """Return the description in a line, with amounts of audio in hours or minutes."""
        words = []
        for key, value in self.describe().items():
            name = key.replace("_hours", "").replace("hours", "audio").replace("_", " ")
            words.append(f"{name} {duration(value) if 'hours' in key else value}")
        return "  ".join(words)

    def audio_hours(self, steps: int) -> dict:
        """Return the hours of audio used in `steps`, or {} if items are not audio."""
        train, seconds = self.task.recipe.train, self.task.seconds
        if seconds is None:
            return {}
        items = steps * train.batch_size * train.accumulate * self.ranks.count
        return {"audio_hours_seen": round(items * seconds / 3600, 4)}

    def dry_run_report(self) -> dict:
        """Return the report of `--dry-run`: the description, the memory that training takes, and statistics of the data."""
        task, estimates = self.task, []
        batch = [torch.as_tensor(x).to(task.device) for x in task.example(2)]
        for stage in self.stages:
            task.trained.train(not stage.fixed_statistics)
            loss = lambda size: task.loss(stage, *(x[:size] for x in batch))  # noqa: B023 - used up at once
            estimates.append(memory.estimate(task.model.network, loss, task.recipe.train.batch_size))
        largest = max(estimates, key=lambda estimate: estimate["total"])
        statistics = task.statistics()
        return self.describe() | {"memory_gb": largest} | ({"data": statistics} if statistics else {})

    def train(self) -> Path:
        """Run every stage from the saved state on. Returns the exported model's path.

        Raises UsageError while another process trains in this folder, and EnhanceError when the loss or its gradient is not
        finite, when memory runs out, and when no moving average was worth keeping. The last good state and model stay in the
        run folder. An interrupted run logs how it is continued.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        try:
            with only_run(self.run) if self.ranks.main else nullcontext():
                return self._train()
        except KeyboardInterrupt:
            path = self.run / "state.pt"
            age = time.time() - path.stat().st_mtime if path.exists() else None
            anew = "before anything was saved: the same command begins anew"
            self.log(
                "stopped " + (anew if age is None else f"{age:.0f} s after saving: the same command continues there")
            )
            raise

    def _train(self) -> Path:
        task, main, settings = self.task, self.ranks.main, self.task.recipe.train
        with self.ranks.main_first():
            task.prepare_run(self.run, self.log)
        progress = self.resume()
        metrics = MetricsFile(self.run, progress.step, settings.tensorboard) if main else None
        begun, saved = time.monotonic() - progress.seconds, time.monotonic()
        steps = range(progress.step, self.total)
        for step, parts in zip(steps, batches.load(task.source, steps, settings, self.ranks)):
            number, lr = schedule(self.stages, step)
            if number != progress.stage:
                progress.stage = number
                progress.best = progress.best if task.best_of_all_stages else -inf
            try:
                loss = self.train_step.step(step, self.stages[number], lr, parts)
            except NotFiniteError as error:
                raise EnhanceError(error.message, self.advice(number)) from error
            progress.step, progress.seconds = step + 1, time.monotonic() - begun
            if metrics is None:
                continue
            progress.losses.append(loss)
            self.report_progress(progress, lr, metrics)
            if time.monotonic() - saved > SAVE_SECONDS or progress.step == self.total:
                state.save(self.run / "state.pt", progress, task, self.train_step)
                saved = time.monotonic()
        if main and not self.path.exists():
            raise EnhanceError(f"no model was kept: {task.reason_for_no_model()}", "train longer, or on more")
        return self.path

    def advice(self, stage: int) -> str:
        setting = f"--set stage.{stage}.lr={self.stages[stage].lr / 2:g}"
        kept = "the last good state is kept" if (self.run / "state.pt").exists() else "nothing had been saved yet"
        return f"lower the learning rate ({setting}) and run again; {kept}"

    def resume(self) -> state.Progress:
        """Return the state of an earlier run in this folder. Raises UsageError where that trained another network."""
        path = self.run / "state.pt"
        if not path.exists():
            return state.Progress()
        progress = state.restore(path, self.task, self.train_step)
        if progress.step >= self.total:
            self.log(f"finished before, at step {progress.step}; to train anew name another folder with --run")
        else:
            self.log(f"resuming at step {progress.step} of {self.total}")
        return progress

    def report_progress(self, progress: state.Progress, lr: float, metrics: MetricsFile) -> None:
        """Report progress, and every `validate_every` steps validate, export and write a line to `metrics`."""
        step, losses, every = progress.step, progress.losses, self.task.recipe.train.validate_every
        settled = progress.seconds >= SETTLED_SECONDS
        eta = {"eta": round(progress.seconds / step * (self.total - step))} if settled else {}
        if step % every == 0 or step == self.total:
            scores = self.task.scores(step)
            self.export_if_best(progress, scores)
            line = {"step": step, "loss": sum(losses) / len(losses), "lr": lr}
            metrics.write(line | {"seconds": round(progress.seconds, 1)} | scores)
            self.report(line | self.task.headline(scores) | eta)
            losses.clear()
            return
        if step == max(1, every // 10):
            self.task.early_samples(step)
        if step % REPORT_STEPS == 0:
            last = losses[-REPORT_STEPS:]
            line = {"step": step, "loss": sum(last) / len(last), "lr": lr} | eta
            metrics.draw(line)
            self.report(line)

    def export_if_best(self, progress: state.Progress, scores: dict[str, float]) -> None:
        """Write the averaged model if it is better than the best so far."""
        value = self.task.quality(scores)
        if not value > progress.best:  # also if the value is not a number
            return
        progress.best = float(value)  # torch.load(weights_only=True) refuses NumPy's numbers
        facts = {"steps": progress.step, "data": self.describe(), "validation": scores}
        facts |= self.audio_hours(progress.step) | {"processes": self.ranks.count} | self.task.facts()
        export.write(self.path, self.task, facts)
