"""The training loop, for models of every task: batches in, loss down, the best moving average exported as a model file.

A run folder holds `state.pt` (resume), `metrics.jsonl` (one line per validation) and `NAME.safetensors` with its card
`NAME.md` (the best so far by validation); a task may add to it. Run the same command again to go on where it stopped; a
finished run does nothing. The same in several processes, of which the first writes and talks (training.parallel).
"""

import time
from math import inf
from pathlib import Path

import torch

from enhance_cli.errors import EnhanceError
from enhance_cli.training import batches, export, memory, state
from enhance_cli.training.logs import Log
from enhance_cli.training.parallel import Processes
from enhance_cli.training.stage import schedule
from enhance_cli.training.step import Learner, NotFiniteError
from enhance_cli.training.task import Task

SAVE_SECONDS = 120
REPORT_STEPS = 50


class Trainer:
    """One task, one run folder. `report(dict)` gets every metrics line, `log(str)` what a person may want to read."""

    def __init__(self, task: Task, run: Path, processes: Processes, report, log):
        silent = lambda _: None
        self.task, self.run, self.processes = task, run, processes
        self.report, self.log = (report, log) if processes.main else (silent, silent)
        self.stages = task.recipe.stage
        self.total = sum(stage.steps for stage in self.stages)
        self.path = run / f"{task.recipe.model.name}.safetensors"
        self.learner = Learner(task, processes)

    def describe(self) -> dict:
        """Parameters, what there is to train on, and how much of it will be heard."""
        parameters = sum(p.numel() for p in self.task.model.network.parameters())
        facts = {"parameters": parameters, "device": str(self.task.device)} | self.task.describe()
        return facts | {"batches": self.total} | self.heard(self.total)

    def heard(self, steps: int) -> dict:
        """Hours of audio heard after so many steps, where it is audio that is heard."""
        train, seconds = self.task.recipe.train, self.task.seconds
        if seconds is None:
            return {}
        items = steps * train.batch_size * train.accumulate * self.processes.count
        return {"audio_hours_seen": round(items * seconds / 3600, 1)}

    def look(self) -> dict:
        """What `--dry-run` prints: the description, the memory that training takes, and what the data is like."""
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
        """Run every stage from wherever the state stands. Returns the exported model's path.

        Raises EnhanceError when the loss or its gradient is not finite, when memory runs out, and when no moving average was
        worth keeping; the last good state and model stay in the run folder.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        task, main, settings = self.task, self.processes.main, self.task.recipe.train
        with self.processes.main_first():
            task.prepare(self.run, self.log)
        progress = self.resume()
        self.metrics = Log(self.run, progress.step, settings.tensorboard) if main else None
        begun, saved = time.monotonic() - progress.seconds, time.monotonic()
        steps = range(progress.step, self.total)
        for step, parts in zip(steps, batches.load(task.source, steps, settings, self.processes)):
            number, lr = schedule(self.stages, step)
            if number != progress.stage:
                progress.stage = number
                progress.best = progress.best if task.best_of_all_stages else -inf
            try:
                loss = self.learner.step(step, self.stages[number], lr, parts)
            except NotFiniteError as error:
                raise EnhanceError(error.message, self.advice(number)) from error
            progress.step, progress.seconds = step + 1, time.monotonic() - begun
            if not main:
                continue
            progress.losses.append(loss)
            self.tell(progress, lr)
            if time.monotonic() - saved > SAVE_SECONDS or progress.step == self.total:
                state.save(self.run / "state.pt", progress, task, self.learner)
                saved = time.monotonic()
        if main and not self.path.exists():
            raise EnhanceError(f"no model was kept: {task.kept_nothing()}", "train longer, or on more")
        return self.path

    def advice(self, stage: int) -> str:
        setting = f"--set stage.{stage}.lr={self.stages[stage].lr / 2:g}"
        kept = "the last good state is kept" if (self.run / "state.pt").exists() else "nothing had been saved yet"
        return f"lower the learning rate ({setting}) and run again; {kept}"

    def resume(self) -> state.Progress:
        """The state of an earlier run in this folder. Raises UsageError where that trained another network."""
        path = self.run / "state.pt"
        if not path.exists():
            return state.Progress()
        progress = state.restore(path, self.task, self.learner)
        if progress.step >= self.total:
            self.log(f"finished before, at step {progress.step}; to train anew name another folder with --run")
        else:
            self.log(f"resuming at step {progress.step} of {self.total}")
        return progress

    def tell(self, progress: state.Progress, lr: float) -> None:
        """Report now and then; validate, export and write a line of metrics every `validate_every` steps."""
        step, losses, every = progress.step, progress.losses, self.task.recipe.train.validate_every
        eta = {"eta": round(progress.seconds / step * (self.total - step))}
        if step % every == 0 or step == self.total:
            scores = self.task.scores(step)
            self.export_if_best(progress, scores)
            line = {"step": step, "loss": sum(losses) / len(losses), "lr": lr}
            self.metrics.write(line | {"seconds": round(progress.seconds, 1)} | scores)
            self.report(line | self.task.headline(scores) | eta)
            losses.clear()
            return
        if step == max(1, every // 10):
            self.task.early(step)
        if step % REPORT_STEPS == 0:
            last = losses[-REPORT_STEPS:]
            line = {"step": step, "loss": sum(last) / len(last), "lr": lr} | eta
            self.metrics.draw(line)
            self.report(line)

    def export_if_best(self, progress: state.Progress, scores: dict[str, float]) -> None:
        """Writes the averaged model if it is better than the best so far."""
        value = self.task.quality(scores)
        if not value > progress.best:  # which is so for what is no number, too
            return
        progress.best = float(value)  # which a state file may hold, unlike the numbers of numpy
        facts = {"steps": progress.step, "data": self.describe(), "validation": scores}
        facts |= self.heard(progress.step) | {"processes": self.processes.count} | self.task.facts()
        export.write(self.path, self.task, facts)
