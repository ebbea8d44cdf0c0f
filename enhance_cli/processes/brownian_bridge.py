"""Define the Brownian bridge from clean x0 (t = 0) to noisy y (t = 1): x_t = (1 - t) x0 + t y + rho sqrt(t (1 - t)) z.

This is the Schroedinger bridge with sigma_t^2 = rho^2 t and alpha = 1 ("SB-CFM"), with the reference SDE dx = rho dw.
Both ends are exact, so sampling starts at y itself. Noise is standard normal in each real part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from enhance_cli.contracts import TimeT
from enhance_cli.processes.process import Bridge

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class BrownianBridge(Bridge):
    """Bridge x0 and y with constant diffusion. `rho`: scale of the noise, in units of the compressed spectrogram."""

    noise_scale: ClassVar[float] = 1.0
    rho: float = 0.5

    @property
    def scale(self) -> float:
        return self.rho

    def variance(self, t: TimeT) -> TimeT:
        return t

    def drift(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return x.new_zeros(x.shape)

    def diffusion(self, t: Tensor) -> Tensor:
        return t.new_full(t.shape, self.rho)
