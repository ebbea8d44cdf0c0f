"""Make one step of training: average the gradient over the batches of all ranks, clip it, update weights and moving average.

All random draws of a step are functions of (seed, step, rank), on a GPU too, so a stopped run continues as if it had not been
stopped.
"""

import random

import numpy as np
import torch

from enhance_cli.errors import EnhanceError
from enhance_cli.models.device import send
from enhance_cli.training import memory
from enhance_cli.training.parallel import Ranks
from enhance_cli.training.stage import Stage
from enhance_cli.training.task import Task


class TrainStep:
    """Hold the optimizer and gradient scaler of a task's network. The scaler does nothing except in fp16."""

    def __init__(self, task: Task, ranks: Ranks):
        self.task, self.ranks, self.train = task, ranks, task.recipe.train
        self.optimizer = torch.optim.AdamW(task.trained.parameters(), lr=1e-3, weight_decay=self.train.weight_decay)
        self.scaler = torch.amp.GradScaler(task.device.type, enabled=task.model.precision == "fp16")

    def step(self, number: int, stage: Stage, lr: float, batches: list) -> float:
        """Learn from `batches`, together with the other ranks. Returns the mean loss.

        Raises EnhanceError when the loss or its gradient is not finite, before it gets into the weights, and when
        memory runs out.
        """
        with memory.explained(self.train, self.task.seconds, number):
            return self._step(number, stage, lr, batches)

    def _step(self, number: int, stage: Stage, lr: float, batches: list) -> float:
        task, optimizer, scaler = self.task, self.optimizer, self.scaler
        for group in optimizer.param_groups:
            group["lr"] = lr
        task.trained.train(not stage.fixed_statistics)
        torch.manual_seed(_seed(self.train.seed, number, self.ranks.number))
        random.seed(_seed(self.train.seed, number))  # for choices that set the cost, or processes would wait for others
        optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=task.device)
        for batch in batches:
            loss = task.loss(stage, *(send(torch.as_tensor(part), task.device) for part in batch)) / len(batches)
            scaler.scale(loss).backward()
            total += loss.detach()
        total = self.ranks.average(task.trained, total)
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(task.trained.parameters(), self.train.clip_norm)
        if not torch.isfinite(total if scaler.is_enabled() else total + norm):  # the scaler leaves such steps out
            raise NotFiniteError(f"the loss or its gradient is not finite at {self.name(number)}")
        scaler.step(optimizer)
        scaler.update()
        task.average.update(task.model.network, stage.ema)
        return float(total)

    def name(self, number: int) -> str:
        """Return a step's number, with those of its batches if there are several."""
        count = self.train.accumulate * self.ranks.count
        if count == 1:
            return f"batch {number}"
        return f"step {number} (batches {number * count} to {(number + 1) * count - 1})"


class NotFiniteError(EnhanceError):
    """Report a loss or gradient that is not finite."""


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
