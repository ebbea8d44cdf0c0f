"""Estimate the memory of training, and name the setting to change when it was not enough."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from enhance_cli.errors import EnhanceError
from enhance_cli.training.stage import TrainPart

OUT_OF_MEMORY_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory")  # of torch's allocators
COPIES = 5  # weights, gradients, two moments of the optimizer, moving average


@contextmanager
def explained(train: TrainPart, seconds: float | None, step: int) -> Iterator[None]:
    """Turn running out of memory into an EnhanceError with the settings to change. Items of audio last `seconds`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and not any(
            s in str(error) for s in OUT_OF_MEMORY_MESSAGES
        ):
            raise
        if train.batch_size > 1:
            settings = f"--set train.batch_size={train.batch_size // 2} --set train.accumulate={train.accumulate * 2}"
            hint = f"{settings} learns from as much per step in half the memory"
        elif seconds is not None:
            hint = f"shorter excerpts need less: --set mix.seconds={seconds / 2:g}"
        else:
            hint = "a smaller network needs less"
        size = f"{train.batch_size} items" if seconds is None else f"{train.batch_size} x {seconds:g} s"
        message = f"out of memory at batch {step} ({size} at once)"
        raise EnhanceError(message, hint) from error


def estimate(network: torch.nn.Module, loss: Callable, size: int) -> dict[str, float]:
    """Return the gigabytes that training takes: `weights` with all copies, `batch` for the backward pass, `total`.

    `loss(size)` computes the loss of a batch of that size. Batches of one and two items are tried, and larger ones are
    extrapolated. The estimate leaves out torch itself, packed audio, and the working memory of the backward pass. Measured
    on a CPU, training took 1.1 (score-ouve) to 1.5 times as much (denoise-s).
    """
    weights = COPIES * sum(p.numel() * p.element_size() for p in network.state_dict().values())
    one, two = (_kept(network, lambda n=n: loss(n)) for n in (1, 2))
    batch = one + (two - one) * (size - 1)
    return {
        name: round(value / 1e9, 3)
        for name, value in (("weights", weights), ("batch", batch), ("total", weights + batch))
    }


def _kept(network: torch.nn.Module, loss: Callable) -> int:
    """Return the bytes that a forward pass leaves for the backward pass, each storage once, without the weights."""
    known = {p.untyped_storage().data_ptr() for p in network.state_dict().values()}
    storages = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = loss()
    del result
    return sum(storages.values())
