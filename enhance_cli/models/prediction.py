"""Convert the prediction of a network to the clean estimate x0, which all samplers and losses work with.

With the mean a x0 + b y and the spread sigma of the process at time t, and F the network's output:

    data        x0 = skip x + out F
    score       s = sign (skip x + out F),   x0 = (x + sigma^2 s - b y) / a
    denoiser    F is the mean of the state,  x0 = (F - b y) / a
    velocity    F = dx/dt on straight paths, x0 = x - t F
    v           F = a z - sigma x0,          x0 = a x - sigma F   (a^2 + sigma^2 = 1, Salimans and Ho, 2022)

Scalings of input and output follow the published SGMSE+ models (Richter et al., 2023 and 2025).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from enhance_cli.errors import ModelError

KINDS = ("data", "score", "denoiser", "velocity", "v")


@dataclass(frozen=True)
class Prediction:
    """Describe a prediction, as a model's header does.

    `input_scaling` multiplies x and y, `output_scaling` the network's output. `time`: "t" or "ln/4", the scale on which
    the network receives the time t.
    """

    kind: str = "data"
    sign: float = 1.0
    input_scaling: str = "1"
    output_scaling: str = "1"
    skip: str = "0"
    out: str = "1"
    sigma_data: float = 0.1
    sigma_min: float = 0.0
    time: str = "t"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ModelError(f"prediction {self.kind!r} is not known", f"choose from {', '.join(KINDS)}")

    def estimate(self, network: Callable[..., Tensor], process: Any, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """Return the clean estimate for the state x (B, 2, T, F) at time t (B,), where `network(x, y, t)` -> (B, 2, T, F)."""
        if self == Prediction():
            return network(x, y, t)
        sigma = process.std(t)
        scale = self._factor(self.input_scaling, sigma, t)
        out = _like(self._factor(self.output_scaling, sigma, t), x) * network(
            _like(scale, x) * x, _like(scale, x) * y, self._time(t)
        )
        if self.kind == "velocity":
            return x - _like(t, x) * out
        if self.kind == "v":
            return _like(process.coefficients(t)[0], x) * x - _like(sigma, x) * out
        if self.kind in ("data", "score"):
            out = _like(self._factor(self.skip, sigma, t), x) * x + _like(self._factor(self.out, sigma, t), x) * out
        if self.kind == "data":
            return out
        a, b = (_like(c, x) for c in process.coefficients(t))
        mean = out if self.kind == "denoiser" else x + _like(sigma**2, x) * self.sign * out
        return (mean - b * y) / a

    def _time(self, t: Tensor) -> Tensor:
        """Return the time as the network receives it: t itself, or c_noise of Karras et al. (2022)."""
        times = {"t": lambda: t, "ln/4": lambda: t.log() / 4}
        if self.time not in times:
            raise ModelError(f"time {self.time!r} is not known", f"choose from {', '.join(times)}")
        return times[self.time]()

    def _factor(self, name: str, sigma: Tensor, t: Tensor) -> Tensor:
        """Return a scaling (B,) by its name.

        edm_in, edm_skip and edm_out are c_in, c_skip and c_out of Karras et al. (2022). With consistency_skip and
        consistency_out the estimate is x at `sigma_min` (Song et al., 2023). signal is the factor of the clean signal
        in a variance-preserving process.
        """
        total = sigma**2 + self.sigma_data**2
        factors = {
            "0": lambda: torch.zeros_like(sigma),
            "1": lambda: torch.ones_like(sigma),
            "sigma": lambda: sigma,
            "1/sigma": lambda: 1 / sigma,
            "1/t": lambda: 1 / t,
            "edm_in": lambda: total.rsqrt(),
            "edm_skip": lambda: self.sigma_data**2 / total,
            "edm_out": lambda: sigma * self.sigma_data * total.rsqrt(),
            "consistency_skip": lambda: self.sigma_data**2 / ((sigma - self.sigma_min) ** 2 + self.sigma_data**2),
            "consistency_out": lambda: (sigma - self.sigma_min) * self.sigma_data * total.rsqrt(),
            "signal": lambda: (1 - sigma**2).sqrt(),
        }
        if name not in factors:
            raise ModelError(f"scaling {name!r} is not known", f"choose from {', '.join(factors)}")
        return factors[name]()


def _like(factor: Tensor, x: Tensor) -> Tensor:
    return factor.to(x.dtype).reshape(-1, *[1] * (x.dim() - 1))
