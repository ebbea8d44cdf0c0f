"""Match flows on straight paths: draw a state, compare the velocity that the estimate implies with the true one.

Mean over the batch of 1/2 sum |v(estimate) - v|^2 with v = (x_t - x0) / t = y - x0 + sigma_max z, and t uniform between
the process's t_eps and t_max. (Lipman et al., 2023, "Flow matching for generative modeling". Lee et al., 2025, for
speech.)
"""

import torch
from torch import Tensor

from enhance_cli.contracts import Distance, Draw, Estimate, Process


def loss(
    estimate: Estimate, process: Process, x0: Tensor, y: Tensor, noise: Draw, distance: Distance | None = None
) -> Tensor:
    """Return the mean squared error of the velocity (see data_prediction.loss for the shared arguments).

    `noise()` is scaled by the process's noise_scale. `distance` is ignored.
    """
    t = process.t_eps + (process.t_max - process.t_eps) * torch.rand(y.shape[0], device=y.device)
    x = process.sample(x0, y, t, noise())
    error = (x0 - estimate(x, t)) / t.reshape(-1, *[1] * (y.dim() - 1))
    return error.square().flatten(1).sum(1).mean() / 2
