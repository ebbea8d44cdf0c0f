"""Define DDPM: noise grows in whole steps while the signal shrinks, x_t = sqrt(p_t) x0 + sqrt(1 - p_t) z.

p_t = prod (1 - beta_i). t counts the steps from 0 to 999 (real numbers are rounded), 0 already has a little noise, and
-1 is clean. The square root of beta grows evenly ("scaled linear"). Sampling starts from the degraded embedding y with
the noise of its time, since a clean and a degraded one are hard to tell apart under enough noise. (Ho et al., 2020. Nam
et al., 2025, "SEED".)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from enhance_cli.errors import UsageError
from enhance_cli.processes.process import Process, like

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class DDPM(Process):
    """Add noise in `count` steps. `beta_min`, `beta_max`: the first and the last variance added."""

    noise_scale: ClassVar[float] = 1.0
    t_clean: ClassVar[float] = -1.0
    beta_min: float = 1e-4
    beta_max: float = 0.02
    count: int = 1000

    @property
    def t_max(self) -> float:
        return self.count - 1.0

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        a = self._at(t, 0)
        return a, a.new_zeros(a.shape)

    def std(self, t: Tensor) -> Tensor:
        return self._at(t, 1)

    def drift(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return -like(self._at(t, 2) ** 2 / 2, x) * x

    def diffusion(self, t: Tensor) -> Tensor:
        return self._at(t, 2)

    def start(self, y: Tensor, noise: Tensor, t: float | None = None) -> Tensor:
        return self.sample(y, y, self.t_max if t is None else t, noise)

    def levels(self, steps: int, start: float | None = None) -> list[float]:
        """Return the steps + 1 times of a sampler, the last of which is -1 (clean).

        With `start`, they go evenly from it to near 0. By default they are multiples of `count` // `steps`, as
        published (20 steps: 950, 900, ..., 0). Raises UsageError for more steps than there are times.
        """
        if steps < 1:
            raise ValueError("a sampler needs at least one step")
        if start is None:
            most, times = self.count, [float(i * (self.count // steps)) for i in reversed(range(steps))]
        else:
            if not 0 <= start <= self.t_max:
                raise UsageError(f"time {start:g}: the process has no such time", f"choose from 0 to {self.t_max:g}")
            most, times = int(start) + 1, [float(round(start * (steps - i) / steps)) for i in range(steps)]
        if steps > most:
            raise UsageError(f"{steps} steps: there are only {most} times to stop at", f"choose at most {most}")
        return [*times, self.t_clean]

    def _at(self, t: Tensor, row: int) -> Tensor:
        """Return row `row` of `schedule` at the times t, shaped like t."""
        table = _schedule_on(self.beta_min, self.beta_max, self.count, t.device)[row]
        return table[(t.round().long() + 1).clamp(0, self.count)].to(t.dtype)


def schedule(beta_min: float, beta_max: float, count: int) -> Tensor:
    """Return sqrt(p), sqrt(1 - p) and the square root of the variance added, at the times -1, 0, 1, ...: float64 (3,
    count + 1).

    The product is taken in single precision, as published. Over 20 steps the difference shows.
    """
    import torch

    beta = torch.linspace(beta_min**0.5, beta_max**0.5, count, dtype=torch.float32) ** 2
    kept = torch.cat([torch.ones(1), (1 - beta).cumprod(0)]).double()
    added = 1 - kept[1:] / kept[:-1]
    return torch.stack([kept, 1 - kept, torch.cat([torch.zeros(1), added])]).sqrt()


@lru_cache(maxsize=8)
def _schedule_on(beta_min: float, beta_max: float, count: int, device: torch.device) -> Tensor:
    """Return `schedule` in single precision on `device`.

    Apple's GPUs have no double precision. The table is cached because a copy to a GPU blocks.
    """
    return schedule(beta_min, beta_max, count).float().to(device)
