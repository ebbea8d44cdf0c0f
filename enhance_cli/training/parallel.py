"""Train one run in several processes (ranks), one for each GPU, with accelerate: own batches, averaged gradients.

`torchrun` (or `accelerate launch --multi_gpu`) starts the ranks. Without it a run is one process and needs neither.

Gradients are averaged as one vector after the backward pass, not while it runs: losses here may call the network several
times per step, and the networks are small, so the transfer is short. Batch normalization uses the statistics of each rank's own
batch. Its running statistics are averaged, so all ranks have the same network after every step.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from enhance_cli.errors import UsageError

# Other ranks wait while the first prepares data or validates. NCCL's default is ten minutes
TIMEOUT = timedelta(days=1)


def local_device(device: torch.device) -> torch.device:
    """Return the GPU of this rank if several were started on a machine, or `device` unchanged."""
    number = os.environ.get("LOCAL_RANK")
    if device.type != "cuda" or device.index is not None or number is None:
        return device
    if int(number) >= torch.cuda.device_count():
        raise UsageError(f"process {number} has no GPU of its own", f"start at most {torch.cuda.device_count()}")
    torch.cuda.set_device(int(number))
    return torch.device("cuda", int(number))


class Ranks:
    """Describe this rank, `number` of `count`, and communicate with the others."""

    def __init__(self, device: torch.device):
        self.number, self.count = 0, 1
        self.state: Any = None  # an accelerate.PartialState
        if "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            self.state = _accelerate().PartialState(cpu=device.type != "cuda", timeout=TIMEOUT)
            self.number, self.count = self.state.process_index, self.state.num_processes

    @property
    def main(self) -> bool:
        """Return whether this rank is the one that writes and reports."""
        return self.number == 0

    def main_first(self) -> AbstractContextManager[None]:
        """Return a context that the other ranks enter when the main one has left it."""
        return self.state.main_process_first() if self.state else nullcontext()

    @torch.no_grad()
    def average(self, network: torch.nn.Module, loss: Tensor) -> Tensor:
        """Average the gradients and running statistics of `network`, in place, and the loss, over all ranks.

        Other buffers are constants.
        """
        if self.state is None:
            return loss
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        statistics = [b for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var"))]
        shared = [*gradients, *statistics]
        flat = torch.cat([loss.reshape(1).float(), *(t.reshape(-1).float() for t in shared)])
        flat = _accelerate().utils.reduce(flat, "mean")
        for tensor, mean in zip(shared, flat[1:].split([t.numel() for t in shared])):
            tensor.copy_(mean.view_as(tensor))
        return flat[0]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Provide a context that no rank leaves before all have reached its end. Then the connection is closed."""
        yield
        if self.state:
            self.state.wait_for_everyone()
            torch.distributed.destroy_process_group()


def _accelerate() -> ModuleType:
    try:
        import accelerate
        import accelerate.utils
    except ImportError as error:
        raise UsageError(
            "training in several processes needs accelerate", "pip install 'enhance-cli[train]'"
        ) from error
    return accelerate
