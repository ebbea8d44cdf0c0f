"""Correct the reverse process (CRP, Lay et al., 2024): train the last call on the states that sampling really visits.

The sampler runs N steps, all but the last call without gradient, and the final estimate is compared with the clean
target. N is drawn uniformly from `fewest`..`steps` for every batch, so one checkpoint serves all step counts. As
published: BBED with predictor_corrector from `start` 0.5 without `corrector`, `fewest` equal to `steps`, and `squared`.
"""

import random

import torch
from torch import Tensor

from enhance_cli.contracts import Distance, Draw, Estimate, Process, Sampler, Time


def loss(
    estimate: Estimate,
    process: Process,
    x0: Tensor,
    y: Tensor,
    noise: Draw,
    distance: Distance,
    sample: Sampler,
    *,
    steps: int = 3,
    fewest: int = 1,
    squared: bool = False,
) -> Tensor:
    """Return the mean distance between sampled results and clean spectrograms (see data_prediction.loss).

    `sample`: sampler whose reverse process is corrected, with its settings bound. `squared`: use the mean over the
    batch of 1/2 sum |estimate - x0|^2 instead of `distance`. Raises ValueError for a sampler that does not call the
    network once per step, since its last call would not be known.
    """
    count = random.randint(fewest, steps)
    calls = 0

    def last_call_only(x: Tensor, t: Time) -> Tensor:
        nonlocal calls
        calls += 1
        with torch.set_grad_enabled(calls == count):
            return estimate(x.detach(), t)

    result = sample(last_call_only, process, y, count, noise)
    if calls != count:
        raise ValueError(f"the sampler made {calls} calls in {count} steps: only one call per step can be trained")
    if squared:
        return (result - x0).square().flatten(1).sum(1).mean() / 2
    return distance(result, x0)
