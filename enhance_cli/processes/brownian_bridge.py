"""Brownian bridge from the clean x0 (t = 0) to the noisy y (t = 1): x_t = (1 - t) x0 + t y + rho sqrt(t (1 - t)) z.

The Schroedinger bridge with sigma_t^2 = rho^2 t and alpha = 1 ("SB-CFM"); both ends are exact, so sampling starts at y
itself. All functions take t as (B,) or a float and states of any shape (B, ...).
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BrownianBridge:
    """`rho` scales the noise in the middle of the bridge, in units of the compressed spectrogram."""

    rho: float = 0.5

    def start(self, y: Tensor, noise: Tensor) -> Tensor:
        return y

    def mean(self, x0: Tensor, y: Tensor, t: Tensor) -> Tensor:
        t = _like(t, x0)
        return (1 - t) * x0 + t * y

    def std(self, t: Tensor) -> Tensor:
        return self.rho * (t * (1 - t)).clamp_min(0).sqrt()

    def sample(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Draw x_t for standard normal `noise`."""
        return self.mean(x0, y, t) + _like(self.std(t), x0) * noise

    def variance(self, t: float) -> float:
        """sigma_t^2, up to rho^2: the share of the bridge's whole variance gained up to t."""
        return t

    def levels(self, steps: int) -> list[float]:
        """The times of a `steps`-step sampler, from 1 down to 0 (steps + 1 values)."""
        return [1 - i / steps for i in range(steps + 1)]


def _like(t: Tensor, x: Tensor) -> Tensor:
    return torch.as_tensor(t, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.dim() - 1))
