"""The resumable state of a run: weights, their moving average, optimiser and random numbers, in one file replaced whole."""

import os
import random
from pathlib import Path

import torch


class MovingAverage:
    """Exponential moving average of all parameters and buffers, with a warm-up so that early steps count."""

    def __init__(self, network: torch.nn.Module, decay: float):
        self.decay, self.updates = decay, 0
        self.values = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: torch.nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self.values[key].lerp_(value, 1 - decay)
            else:
                self.values[key].copy_(value)


def save(path: Path, step: int, network, average: MovingAverage, optimiser, best: float, seconds: float) -> None:
    state = {
        "step": step,
        "network": network.state_dict(),
        "average": average.values,
        "updates": average.updates,
        "optimiser": optimiser.state_dict(),
        "best": best,
        "seconds": seconds,
        "torch_random": torch.get_rng_state(),
        "python_random": random.getstate(),
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def restore(path: Path, network, average: MovingAverage, optimiser) -> tuple[int, float, float]:
    """(step, best validation value, seconds trained so far)."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(state["network"])
    for key, value in state["average"].items():
        average.values[key].copy_(value)
    average.updates = state["updates"]
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["torch_random"])
    version, numbers, gauss = state["python_random"]
    random.setstate((version, tuple(numbers), gauss))
    return state["step"], state["best"], state["seconds"]
