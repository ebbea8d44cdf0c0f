"""Match scores, weighted by the variance: draw a state, estimate, and compare the estimate's score with z.

Mean over the batch of 1/2 sum |std s + z|^2, with s the score of the estimate and t uniform between the process's t_eps
and t_max. (Song et al., 2021. Richter et al., 2023, for speech.)
"""

import torch
from torch import Tensor

from enhance_cli.contracts import Distance, Draw, Estimate, Process


def loss(
    estimate: Estimate, process: Process, x0: Tensor, y: Tensor, noise: Draw, distance: Distance | None = None
) -> Tensor:
    """Return the mean denoising score matching loss (see data_prediction.loss for the shared arguments).

    `noise()` is scaled by the process's noise_scale. `distance` is ignored.
    """
    t = process.t_eps + (process.t_max - process.t_eps) * torch.rand(y.shape[0], device=y.device)
    z = noise()
    x = process.sample(x0, y, t, z)
    score = process.score(x, estimate(x, t), y, t)
    std = process.std(t).reshape(-1, *[1] * (y.dim() - 1))
    return (std * score + z).square().flatten(1).sum(1).mean() / 2
