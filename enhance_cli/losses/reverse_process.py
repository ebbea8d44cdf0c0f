"""Correcting the reverse process (CRP, Lay et al., 2024): train the last call on the states that sampling really visits.

The sampler runs N steps, all but the last call without gradient, and the final estimate is compared with the clean
target. N is drawn uniformly from 1..`steps` for every batch, so one checkpoint serves all step counts.
"""

import random

import torch
from torch import Tensor


def loss(estimate, process, x0: Tensor, y: Tensor, noise, distance, sample, steps: int = 3) -> Tensor:
    """As data_prediction.loss; `sample` is the sampler whose reverse process is corrected."""
    count = random.randint(1, steps)
    calls = 0

    def last_call_only(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        with torch.set_grad_enabled(calls == count):
            return estimate(x.detach(), y, t)

    return distance(sample(last_call_only, process, y, count, noise), x0)
