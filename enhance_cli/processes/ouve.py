"""Define OUVE, the process of SGMSE+: an Ornstein-Uhlenbeck pull towards the noisy y with exploding variance.

dx = theta (y - x) dt + sigma_min (sigma_max / sigma_min)^t sqrt(2 L) dw with L = ln(sigma_max / sigma_min). At t = 1 a
share e^-theta of the clean signal is still in the mean, but sampling starts around y. (Richter et al., 2023, "Speech
enhancement and dereverberation with diffusion-based generative models". 48 kHz models: theta 2, sigma 0.1 to 1.)
"""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from enhance_cli.processes.process import Process


@dataclass(frozen=True)
class OUVE(Process):
    """Pull towards y. `theta`: strength (gamma in the paper). `sigma_min`, `sigma_max`: range of the diffusion."""

    theta: float = 1.5
    sigma_min: float = 0.05
    sigma_max: float = 0.5
    t_max: float = 1.0
    t_eps: float = 0.03

    @property
    def growth(self) -> float:
        """Return L = ln(sigma_max / sigma_min)."""
        return log(self.sigma_max / self.sigma_min)

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.exp(-self.theta * t), -torch.expm1(-self.theta * t)

    def std(self, t: Tensor) -> Tensor:
        rate = self.theta + self.growth
        grown = torch.exp(-2 * self.theta * t) * torch.expm1(2 * rate * t)
        return self.sigma_min * (grown * (self.growth / rate)).sqrt()

    def drift(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return self.theta * (y - x)

    def diffusion(self, t: Tensor) -> Tensor:
        return self.sigma_min * torch.exp(self.growth * t) * (2 * self.growth) ** 0.5
