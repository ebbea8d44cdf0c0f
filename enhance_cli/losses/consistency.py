"""Consistency distillation: one call from any point of a trajectory gives what the teacher's path from there leads to.

At a time t of a grid the teacher moves the state one step towards the clean end, to r, and the student's estimate at t is
compared with that of its own moving average at r; on the last step of the grid, with the teacher's. (Song et al., 2023,
"Consistency models"; the move is the deterministic one of Song et al., 2021, "Denoising diffusion implicit models".)
"""

import torch
from torch import Tensor


def loss(estimate, process, x0: Tensor, y: Tensor, noise, distance, teacher, average, grid: int = 18) -> Tensor:
    """As data_prediction.loss; `teacher` and `average` are estimates like `estimate`, called without gradient.

    `grid` is the number of steps of the teacher's path.
    """
    times = torch.tensor(process.levels(grid), device=y.device)
    index = torch.randint(grid, y.shape[:1], device=y.device)
    t, r = times[index], times[index + 1]
    x = process.sample(x0, y, t, noise())
    with torch.no_grad():
        end = teacher(x, y, t)
        x_r = process.deterministic_step(x, end, y, t, r)
        later = average(x_r, y, r.clamp_min(float(times[-2])))  # the last is not used
        last = (index == grid - 1).reshape(-1, *[1] * (y.dim() - 1))
        aim = torch.where(last, end, later)
    return distance(estimate(x, y, t), aim)
