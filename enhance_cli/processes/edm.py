"""Define EDM: only noise grows, x = x0 + sigma z, and the process time is the noise level sigma itself.

Sampling starts at y, a first estimate of x0, with as much noise as its error is large. The grid is sigma_i = (a^(1/rho)
+ i / (N - 1) (b^(1/rho) - a^(1/rho)))^rho from the start a to b = `sigma_min`, then 0. (Karras et al., 2022,
"Elucidating the design space of diffusion-based generative models".)
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from enhance_cli.processes.process import Process, like


@dataclass(frozen=True)
class EDM(Process):
    """Add noise up to `sigma_max`.

    `sigma_min`, `sigma_max`: bounds of the grid. `rho`: its curvature. Large values put most levels near the clean end.
    """

    noise_scale: ClassVar[float] = 1.0
    start_name: ClassVar[str] = "sigma"
    sigma_min: float = 1e-4
    sigma_max: float = 10.0
    rho: float = 9.0

    @property
    def t_max(self) -> float:
        return self.sigma_max

    @property
    def t_eps(self) -> float:
        return self.sigma_min

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), torch.zeros_like(t)

    def std(self, t: Tensor) -> Tensor:
        return t

    def drift(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def diffusion(self, t: Tensor) -> Tensor:
        return (2 * t).sqrt()

    def levels(self, steps: int, start: float | None = None) -> list[float]:
        """Return the steps + 1 noise levels of a sampler: `steps` from `start` (default `sigma_max`) to `sigma_min`, then 0."""
        start = self._checked(steps, start)
        a, b = start ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        inner = [(a + i / (steps - 1) * (b - a)) ** self.rho for i in range(1, steps - 1)]
        return [start, *inner, *([self.sigma_min] if steps > 1 else []), 0.0]

    def consistency_times(self, steps: int, start: float | None = None) -> list[float]:
        """Return the `steps` levels at which a consistency model is called, then `sigma_min`, where it is the identity."""
        return self.levels(steps + 1, start)[:-1]

    def renoise(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Return the state at level t around an estimate of a consistency model, which already has the noise of `sigma_min`."""
        return x0 + like((t**2 - self.sigma_min**2).clamp_min(0).sqrt(), x0) * noise
