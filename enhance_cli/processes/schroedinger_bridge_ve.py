"""Define the Schroedinger bridge with exploding variance: reference SDE dx = sqrt(c) k^t dw, conditioned on both ends.

sigma_t^2 = c (k^2t - 1) / (2 ln k). The path stays longer near the clean end than a linear one. (Jukic et al., 2024,
"Schroedinger bridge for generative speech enhancement". Richter et al., 2025, "Investigating training objectives for
generative speech enhancement".) Sampling ends at t = 1e-4 as published.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

from enhance_cli.contracts import TimeT
from enhance_cli.processes.process import Bridge, expm1

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SchroedingerBridgeVE(Bridge):
    """Bridge x0 and y. `k`: growth of the diffusion. `c`: its squared scale."""

    k: float = 2.6
    c: float = 0.4
    t_min: float = 1e-4
    t_eps: float = 0.03

    @property
    def scale(self) -> float:
        return (self.c * (self.k**2 - 1) / (2 * log(self.k))) ** 0.5

    def variance(self, t: TimeT) -> TimeT:
        return expm1(2 * log(self.k) * t) / expm1(2 * log(self.k))

    def drift(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return x.new_zeros(x.shape)

    def diffusion(self, t: Tensor) -> Tensor:
        return self.c**0.5 * (log(self.k) * t).exp()
