"""Make batches by number, here or in worker processes, each on one rank of a run only.

Step s of a run of P ranks that accumulate A batches takes the batches s P A to (s + 1) P A - 1, rank p the A from s P A
+ p A on. So one rank that accumulates two batches learns from the same items as two ranks with one batch each.
"""

import mmap
from collections.abc import Iterable, Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol

import numpy as np
import torch

from enhance_cli.errors import EnhanceError
from enhance_cli.training.parallel import Ranks
from enhance_cli.training.stage import TrainPart


class BatchSource(Protocol):
    """Make the batch of a number, always the same: mixtures, pairs of files, or vectors."""

    def batch(self, number: int, size: int) -> tuple[np.ndarray, ...]:
        """Return arrays of `size` items, the arguments of the task's loss. Raises AudioError for files that fail."""


def numbers(step: int, accumulate: int, ranks: Ranks) -> range:
    """Return the numbers of the batches that this rank takes in a step."""
    first = (step * ranks.count + ranks.number) * accumulate
    return range(first, first + accumulate)


def load(source: BatchSource, steps: range, train: TrainPart, ranks: Ranks) -> Iterator[list]:
    """Yield the batches of each of `steps`: arrays if they are made here, tensors if `train.workers` make them."""
    loader: Iterable
    if train.workers:
        dataset = _Steps(source, steps, train, ranks)
        loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=train.workers, prefetch_factor=4)
    else:
        loader = (_batches(source, step, train, ranks) for step in steps)
    for batches in loader:
        if isinstance(batches, EnhanceError):
            raise batches
        yield batches


def _by_file(array: np.memmap) -> str | tuple[Any, ...]:
    """Reduce a mapped file to its name, for workers that are spawned, as on macOS and Windows: they map it themselves."""
    if isinstance(array.base, mmap.mmap):
        return np.memmap, (array.filename, array.dtype, "r", array.offset, array.shape)
    return np.asarray(array).__reduce__()  # a part of one


ForkingPickler.register(np.memmap, _by_file)


def _batches(source: BatchSource, step: int, train: TrainPart, ranks: Ranks) -> list:
    return [source.batch(number, train.batch_size) for number in numbers(step, train.accumulate, ranks)]


class _Steps(torch.utils.data.Dataset):
    """Make batches in worker processes.

    An EnhanceError is returned instead of raised, since a loader would turn it into a traceback.
    """

    def __init__(self, source: BatchSource, steps: range, train: TrainPart, ranks: Ranks):
        self.source, self.steps, self.train, self.ranks = source, steps, train, ranks

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> list[tuple[np.ndarray, ...]] | EnhanceError:
        torch.set_num_threads(1)
        try:
            return _batches(self.source, self.steps[index], self.train, self.ranks)
        except EnhanceError as error:
            return error
