"""Define straight paths from the clean x0 to noise around the noisy y: x_t = (1 - t) x0 + t y + t sigma_max z.

The velocity dx/dt = y - x0 + sigma_max z = (x_t - x0) / t is constant along a path. (Lee et al., 2025, "FlowSE: flow
matching-based speech enhancement".) Drift and diffusion are those of the linear SDE with the same distributions. They
are singular at t = 1, so samplers that need them start below.
"""

from dataclasses import dataclass

from torch import Tensor

from enhance_cli.processes.process import Process, like


@dataclass(frozen=True)
class FlowMatching(Process):
    """Move on straight paths. `sigma_max`: spread of the noise at t = 1, in units of the compressed spectrogram."""

    sigma_max: float = 0.487
    t_max: float = 1.0
    t_eps: float = 0.03

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def std(self, t: Tensor) -> Tensor:
        return self.sigma_max * t

    def drift(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return (y - x) / like(1 - t, x)

    def diffusion(self, t: Tensor) -> Tensor:
        return self.sigma_max * (2 * t / (1 - t)) ** 0.5
