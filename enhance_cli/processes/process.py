"""Define the base of all processes, Gaussian paths x_t = a(t) x0 + b(t) y + std(t) z from clean x0 (t = 0) to noisy y.

Times t are (B,) tensors (`mean`, `sample` and `score` also take floats). States have any shape (B, ...), real or
complex. `noise_scale` is the spread of each real part of z: 2^-1/2 where the published model is defined on complex
normal noise of unit total variance, as most are.

torch is imported when a tensor comes: the times and the variances of a bridge are plain numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from enhance_cli import contracts
from enhance_cli.contracts import Time, TimeT
from enhance_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


class Process(contracts.Process, ABC):
    """Describe a forward SDE dx = drift dt + diffusion dw from `t_clean` to `t_max`."""

    noise_scale: ClassVar[float] = 2**-0.5
    t_clean: ClassVar[float] = 0.0
    start_name: ClassVar[str] = "sampler start"  # as messages call the time that sampling starts at

    @property
    def t_max(self) -> float:
        """Return the time of the noisy end."""
        return 1.0

    @property
    def t_eps(self) -> float:
        """Return the time at which the last step of a sampler starts."""
        return 0.03

    @abstractmethod
    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return (a, b) of the mean a x0 + b y, each shaped like t."""

    @abstractmethod
    def std(self, t: Tensor) -> Tensor:
        """Return the standard deviation around the mean, shaped like t."""

    @abstractmethod
    def drift(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """Return the drift f(x, y, t) of the SDE, shaped like x."""

    @abstractmethod
    def diffusion(self, t: Tensor) -> Tensor:
        """Return the diffusion g(t) of the SDE, shaped like t."""

    def mean(self, x0: Tensor, y: Tensor, t: Time) -> Tensor:
        """Return the mean a(t) x0 + b(t) y of x_t, shaped like x0."""
        a, b = self.coefficients(_time(t, x0))
        return like(a, x0) * x0 + like(b, x0) * y

    def sample(self, x0: Tensor, y: Tensor, t: Time, noise: Tensor) -> Tensor:
        """Draw x_t. `noise` is standard normal times `noise_scale` (or standard complex normal)."""
        return self.mean(x0, y, t) + like(self.std(_time(t, x0)), x0) * noise

    def deterministic_step(self, x: Tensor, x0: Tensor, y: Tensor, t: Time, r: Time) -> Tensor:
        """Return the state x moved from time t to time r with the clean estimate x0 held fixed.

        Its deviation from the mean is scaled by std(r) / std(t). This solves the probability-flow ODE if x0 is the
        truth (the deterministic step of DDIM, and of bridge_ode).
        """
        import torch

        before, after = self.std(_time(t, x)), self.std(_time(r, x))
        carry = torch.where(before > 0, after / before.clamp_min(1e-12), torch.zeros_like(before))
        return self.mean(x0, y, r) + like(carry, x) * (x - self.mean(x0, y, t))

    def score(self, x: Tensor, x0: Tensor, y: Tensor, t: Time) -> Tensor:
        """Return the score (mean - x) / std^2 of the state x given the clean x0, in the convention of complex states.

        This is a small difference over a small number. An x0 in double precision that was computed from a score gives
        that score back to all digits, one in single precision loses two digits at t = 0.03.
        """
        return ((self.mean(x0, y, t) - x) / like(self.std(_time(t, x)) ** 2, x)).to(x.dtype)

    def start(self, y: Tensor, noise: Tensor, t: float | None = None) -> Tensor:
        """Return the state at which sampling starts, at time t (default `t_max`): around y, since the mean is not known."""
        return y + like(self.std(_time(self.t_max if t is None else t, y)), y) * noise

    def levels(self, steps: int, start: float | None = None) -> list[float]:
        """Return the steps + 1 times of a sampler: `steps` evenly from `start` (default `t_max`) down to `t_eps`, then 0."""
        start = self._checked(steps, start)
        return [start + (self.t_eps - start) * i / max(steps - 1, 1) for i in range(steps)] + [0.0]

    def consistency_times(self, steps: int, start: float | None = None) -> list[float]:
        """Return the `steps` times at which a consistency model is called, then the end of the grid."""
        return self.levels(steps, start)

    def renoise(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Return the state at t around the clean estimate of a consistency model, between two of its calls."""
        return self.sample(x0, y, t, noise)

    def _checked(self, steps: int, start: float | None) -> float:
        start = self.t_max if start is None else start
        if steps < 1:
            raise ValueError("a sampler needs at least one step")
        if not self.t_eps < start <= self.t_max:
            raise UsageError(
                f"{self.start_name} {start:g}: the process does not start there",
                f"choose from above {self.t_eps:g} to {self.t_max:g}",
            )
        return start


class Bridge(Process):
    """Describe a diffusion bridge: exactly x0 at t = 0 and y at t = 1, so that sampling starts at y itself.

    It is given by a reference SDE from x0, whose `drift` and `diffusion` these are, conditioned on passing through y.
    With s = `variance`(t), a = `alpha`(t), the factor by which the SDE shrinks a state, and r = a(t) / a(1): mean a (1
    - s) x0 + r s y, std a `scale` sqrt(s (1 - s)). (Chen et al., 2023, "Schroedinger bridges beat diffusion models on
    text-to-speech synthesis".)
    """

    @property
    def t_min(self) -> float:
        """Return the time at which sampling ends."""
        return 0.0

    @property
    @abstractmethod
    def scale(self) -> float:
        """Return sigma_1, the spread that the reference SDE reaches at t = 1 before `alpha`."""

    @abstractmethod
    def variance(self, t: TimeT) -> TimeT:
        """Return sigma_t^2 / sigma_1^2 in [0, 1], the share of the variance gained up to t (float or tensor, as t is)."""

    def alpha(self, t: TimeT) -> TimeT:
        """Return alpha(t), the factor of x0 in the mean of the reference SDE (float or tensor)."""
        return 0.0 * t + 1.0

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        s, a = self.variance(t), self.alpha(t)
        return a * (1 - s), a / self.alpha(1.0) * s

    def std(self, t: Tensor) -> Tensor:
        s = self.variance(t)
        return self.alpha(t) * self.scale * (s * (1 - s)).clamp_min(0).sqrt()

    def start(self, y: Tensor, noise: Tensor, t: float | None = None) -> Tensor:
        return y if t is None or t == self.t_max else super().start(y, noise, t)

    def levels(self, steps: int, start: float | None = None) -> list[float]:
        """Return the steps + 1 times of a sampler, evenly from `start` (default 1) down to `t_min`."""
        start = self._checked(steps, start)
        return [start + (self.t_min - start) * i / steps for i in range(steps)] + [self.t_min]


def like(t: Tensor, x: Tensor) -> Tensor:
    """Return the factor t, (B,) or (), reshaped to multiply x (B, ...), in its precision and on its device."""
    return t.to(device=x.device, dtype=x.dtype.to_real()).reshape(-1, *[1] * (x.dim() - 1))


def expm1(x: TimeT) -> TimeT:
    """Return e^x - 1 of a float or a tensor."""
    return math.expm1(x) if isinstance(x, (int, float)) else x.expm1()


def _time(t: Time, x: Tensor) -> Tensor:
    import torch

    return t if isinstance(t, torch.Tensor) else torch.tensor(t, dtype=x.dtype.to_real(), device=x.device)
