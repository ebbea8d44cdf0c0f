"""Batches by number, here or in worker processes, and each on one process of a run only.

Step s of a run of P processes that accumulate A batches takes the batches s P A to (s + 1) P A - 1, process p the A from
s P A + p A on; so one process that accumulates two batches learns from what two processes with one batch each do.
"""

from collections.abc import Iterator

import numpy as np
import torch

from enhance_cli.errors import EnhanceError
from enhance_cli.training.parallel import Processes
from enhance_cli.training.stage import TrainPart


def numbers(step: int, accumulate: int, processes: Processes) -> range:
    """The batches that this process takes in a step."""
    first = (step * processes.count + processes.number) * accumulate
    return range(first, first + accumulate)


def load(source, steps: range, train: TrainPart, processes: Processes) -> Iterator[list]:
    """For each of `steps` its batches: arrays where they are made here, tensors where `train.workers` make them.

    `source` has `batch(number, size)`.
    """
    if train.workers:
        dataset = _Steps(source, steps, train, processes)
        loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=train.workers, prefetch_factor=4)
    else:
        loader = (_batches(source, step, train, processes) for step in steps)
    for batches in loader:
        if isinstance(batches, EnhanceError):
            raise batches
        yield batches


def _batches(source, step: int, train: TrainPart, processes: Processes) -> list:
    return [source.batch(number, train.batch_size) for number in numbers(step, train.accumulate, processes)]


class _Steps(torch.utils.data.Dataset):
    """For worker processes; an error we know is handed over as it is, since a loader would turn it into a traceback."""

    def __init__(self, source, steps: range, train: TrainPart, processes: Processes):
        self.source, self.steps, self.train, self.processes = source, steps, train, processes

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> list[tuple[np.ndarray, ...]] | EnhanceError:
        torch.set_num_threads(1)
        try:
            return _batches(self.source, self.steps[index], self.train, self.processes)
        except EnhanceError as error:
            return error
