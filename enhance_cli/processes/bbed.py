"""Define BBED, a Brownian bridge to the noisy y with exponentially growing diffusion.

dx = (y - x) / (1 - t) dt + sqrt(c) k^t dw, mean (1 - t) x0 + t y. The bridge closes at t = 1, where the drift is
singular, so training and sampling stay below 0.999. (Lay et al., 2023, "Reducing the prior mismatch of stochastic
differential equations for diffusion-based speech enhancement". CRP starts its few steps at t = 0.5.)
"""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from enhance_cli.processes.process import Process, like


@dataclass(frozen=True)
class BBED(Process):
    """Diffuse towards y with growing noise.

    `k`: growth of the diffusion. `c`: its squared scale ("theta" as published).
    """

    k: float = 2.6
    c: float = 0.51
    t_max: float = 0.999
    t_eps: float = 0.03

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def std(self, t: Tensor) -> Tensor:
        """Return the square root of c (1 - t) [k^2t - 1 + t + 2 k^2 ln k (1 - t) (Ei(2 (t - 1) ln k) - Ei(-2 ln k))]."""
        growth, rest = 2 * log(self.k), 1 - t
        bracket = torch.expm1(growth * t) + t + self.k**2 * growth * rest * _ei_rise(growth, t)
        return (self.c * rest * bracket).clamp_min(0).sqrt()

    def drift(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return (y - x) / like(1 - t, x)

    def diffusion(self, t: Tensor) -> Tensor:
        return self.c**0.5 * torch.exp(log(self.k) * t)


def _ei_rise(u: float, t: Tensor) -> Tensor:
    """Return Ei(-u (1 - t)) - Ei(-u) for u > 0, shaped like t, to the precision of t.

    Ei(-v) is Euler's constant + ln v + sum over n of (-v)^n / (n n!), so that the constant drops out and the logarithms
    leave ln(1 - t). The factor 1 - t in front makes t = 1 harmless, but only in the limit.
    """
    rest = 1 - t
    total = torch.log(rest.clamp_min(torch.finfo(rest.dtype).tiny))
    term, power, n = 1.0, rest, 1  # term: (-u)^n / n!, power: (1 - t)^n
    while n <= u or abs(term) > 1e-17:
        term *= -u / n
        total = total + term / n * (power - 1)
        power, n = power * rest, n + 1
    return total
