"""Distill consistency: train one call from any point of a trajectory to give the end of the teacher's path from there.

At a time t of a grid the teacher moves the state one step towards the clean end, to r. The student's estimate at t is
compared with that of its own moving average at r, or, on the last step of the grid, with the teacher's estimate. (Song
et al., 2023, "Consistency models". The step is the deterministic one of Song et al., 2021, "Denoising diffusion
implicit models".)
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
    teacher: Estimate,
    average: Estimate,
    *,
    grid: int = 18,
) -> Tensor:
    """Return the mean consistency loss of a batch (see data_prediction.loss for the shared arguments).

    `teacher`, `average`: estimates like `estimate`, called without gradient. `grid`: number of steps of the teacher's
    path.
    """
    times = torch.tensor(process.levels(grid), device=y.device)
    index = torch.randint(grid, y.shape[:1], device=y.device)
    t, r = times[index], times[index + 1]
    x = process.sample(x0, y, t, noise())
    with torch.no_grad():
        end = teacher(x, t)
        x_r = process.deterministic_step(x, end, y, t, r)
        later = average(x_r, r.clamp_min(float(times[-2])))  # the last is not used
        last = (index == grid - 1).reshape(-1, *[1] * (y.dim() - 1))
        aim = torch.where(last, end, later)
    return distance(estimate(x, t), aim)
