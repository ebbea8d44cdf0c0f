"""Define the variance-preserving Schroedinger bridge: dx = -beta/2 x dt + sqrt(c beta) dw, conditioned on both ends.

beta = beta_min + (beta_max - beta_min) t. With B the integral of beta from 0 to t, alpha_t = e^(-B/2) and sigma_t^2 = c
(e^B - 1). (Jukic et al., 2024, "Schroedinger bridge for generative speech enhancement".)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import e
from typing import TYPE_CHECKING

from enhance_cli.contracts import TimeT
from enhance_cli.processes.process import Bridge, expm1, like

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SchroedingerBridgeVP(Bridge):
    """Bridge x0 and y. `beta_min`, `beta_max`: range of the linear rate. `c`: scale of the noise."""

    beta_min: float = 0.01
    beta_max: float = 20.0
    c: float = 0.3
    t_min: float = 1e-4
    t_eps: float = 0.03

    @property
    def scale(self) -> float:
        return (self.c * expm1(self._integral(1.0))) ** 0.5

    def variance(self, t: TimeT) -> TimeT:
        return expm1(self._integral(t)) / expm1(self._integral(1.0))

    def alpha(self, t: TimeT) -> TimeT:
        return e ** (-0.5 * self._integral(t))

    def drift(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return like(-0.5 * self._beta(t), x) * x

    def diffusion(self, t: Tensor) -> Tensor:
        return (self.c * self._beta(t)) ** 0.5

    def _beta(self, t: TimeT) -> TimeT:
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def _integral(self, t: TimeT) -> TimeT:
        return (self.beta_min + 0.5 * (self.beta_max - self.beta_min) * t) * t
