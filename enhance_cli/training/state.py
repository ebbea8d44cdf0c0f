"""The resumable state of a run: weights, their moving average, optimiser and random numbers, in one file replaced whole."""

import os
import random
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from enhance_cli.errors import UsageError


class MovingAverage:
    """Exponential moving average of all parameters and buffers, with a warm-up so that early steps count."""

    def __init__(self, network: torch.nn.Module):
        self.updates = 0
        self.values = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: torch.nn.Module, decay: float) -> None:
        self.updates += 1
        decay = min(decay, (1 + self.updates) / (10 + self.updates))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self.values[key].lerp_(value, 1 - decay)
            else:
                self.values[key].copy_(value)


@dataclass
class Progress:
    """How far a run has come: batches done, stage, its best validation value, seconds, losses since the last report."""

    step: int = 0
    stage: int = 0
    best: float = -float("inf")
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


def save(path: Path, progress: Progress, network, average: MovingAverage, optimiser) -> None:
    state = {
        "progress": asdict(progress),
        "network": network.state_dict(),
        "average": average.values,
        "updates": average.updates,
        "optimiser": optimiser.state_dict(),
        "torch_random": torch.get_rng_state(),
        "python_random": random.getstate(),
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def restore(path: Path, network, average: MovingAverage, optimiser) -> Progress:
    """Put everything back as it was saved, random numbers included. Raises UsageError for a file that is damaged."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # it can break the reader in any way
        raise UsageError(
            f"{path}: damaged, it cannot be read", "delete it, or name another folder with --run"
        ) from error
    network.load_state_dict(state["network"])
    for key, value in state["average"].items():
        average.values[key].copy_(value)
    average.updates = state["updates"]
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["torch_random"])
    version, numbers, gauss = state["python_random"]
    random.setstate((version, tuple(numbers), gauss))
    return Progress(**state["progress"])
