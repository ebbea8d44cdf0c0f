"""Predict data on a bridge: draw a state between clean and noisy, estimate the clean end, compare.

A share `at_end` of the items is trained at t = 1 exactly, where x_t = y, as one-step inference sees it. With a share of
1 the network is a plain predictor.
"""

import torch
from torch import Tensor

from enhance_cli.contracts import Distance, Draw, Estimate, Process


def loss(
    estimate: Estimate,
    process: Process,
    x0: Tensor,
    y: Tensor,
    noise: Draw,
    distance: Distance,
    *,
    at_end: float = 0.5,
    t_eps: float = 0.02,
) -> Tensor:
    """Return the mean distance between estimates and clean spectrograms of a batch.

    `estimate(x, t)` -> clean. x0, y: (B, 2, T, F). `noise()`: standard normal like y. `distance(a, b)` -> scalar.
    Items that are not at the end have a t from `t_eps` to 1. The default is not the process's t_eps (0.03 as in
    published bridges), because models here were trained a little closer to the clean end.
    """
    batch = y.shape[0]
    t = t_eps + (1 - t_eps) * torch.rand(batch, device=y.device)
    t = torch.where(torch.rand(batch, device=y.device) < at_end, torch.ones_like(t), t)
    return distance(estimate(process.sample(x0, y, t, noise()), t), x0)
