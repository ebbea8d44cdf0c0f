"""Define DDPM: noise grows in whole steps while the signal shrinks, x_t = sqrt(p_t) x0 + sqrt(1 - p_t) z.

p_t = prod (1 - beta_i). t counts the steps from 0 to 999 (real numbers are rounded), 0 already has a little noise, and
-1 is clean. Sampling starts from y with the noise of its time. y is a degraded embedding, which under enough noise is hard to
tell from a clean one, or zero for models that start from pure noise. (Ho et al., 2020. Nam et al., 2025, "SEED". Nichol and
Dhariwal, 2021, "Improved denoising diffusion probabilistic models", for the cosine.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from enhance_cli.errors import UsageError
from enhance_cli.processes.process import Process, like

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SPACINGS = ("leading", "trailing", "uniform")
COSINE_OFFSET = 0.008  # so that the first steps are not too small


@dataclass(frozen=True)
class DDPM(Process):
    """Add noise in `count` steps.

    `beta_schedule`: "scaled_linear", where the square root of beta grows evenly from that of `beta_min` to that of
    `beta_max`, or "cosine", where p_t is the square of a cosine and no beta is above `beta_max` (with 1 the last state is
    pure noise).
    """

    noise_scale: ClassVar[float] = 1.0
    t_clean: ClassVar[float] = -1.0
    beta_min: float = 1e-4
    beta_max: float = 0.02
    count: int = 1000
    beta_schedule: str = "scaled_linear"

    def __post_init__(self) -> None:
        if self.beta_schedule not in BETAS:
            raise ValueError(f"beta_schedule {self.beta_schedule!r} is none of {', '.join(BETAS)}")

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

    def levels(self, steps: int, start: float | None = None, *, spacing: str = "leading") -> list[float]:
        """Return the times of a sampler, the last of which is where it ends: steps + 1 times down to -1 (clean).

        Args:
            steps: number of network calls.
            start: first time, by default that of the spacing.
            spacing: "leading" takes multiples of `count` // `steps` from 0 on, as SEED does (20 steps: 950, 900, ..., 0),
                and from a `start` goes evenly to near 0. "trailing" goes evenly from the last time or `start`, where
                pure noise belongs (Lin et al., 2024, "Common diffusion noise schedules and sample steps are flawed").
                "uniform" is "leading" one time later and ends at 0 with a trace of noise, as AudioSR and AudioLDM do. If
                `steps` does not divide `count`, it has another number of steps.

        Raises UsageError for another spacing, for a start outside the process, and for more steps than there are times.
        """
        if steps < 1:
            raise ValueError("a sampler needs at least one step")
        if spacing not in SPACINGS:
            raise UsageError(f"spacing {spacing!r} is not known", f"choose from {', '.join(SPACINGS)}")
        if start is not None and not 0 <= start <= self.t_max:
            raise UsageError(f"time {start:g}: the process has no such time", f"choose from 0 to {self.t_max:g}")
        last = round(self.t_max if start is None else start)
        most = self.count if start is None else int(start) + 1
        if spacing == "uniform":
            most -= 1
        if steps > most:
            raise UsageError(f"{steps} steps: there are only {most} times to stop at", f"choose at most {most}")
        if spacing == "uniform":
            return self._uniform(steps, start)
        if spacing == "trailing":
            times = [round((last + 1) * (steps - i) / steps) - 1 for i in range(steps)]
        elif start is None:
            times = [i * (self.count // steps) for i in reversed(range(steps))]
        else:
            times = [round(start * (steps - i) / steps) for i in range(steps)]
        return [*map(float, times), self.t_clean]

    def _uniform(self, steps: int, start: float | None) -> list[float]:
        """Return the times of the spacing "uniform"."""
        if start is None:
            times = [1 + i for i in range(0, self.count, self.count // steps)]
            if times[-1] > self.t_max:
                raise UsageError(f"{steps} steps: the published spacing has no such number", "use a divisor of 1000")
        else:
            times = (
                [1 + round((start - 1) * i / max(steps - 1, 1)) for i in range(steps)] if steps > 1 else [round(start)]
            )
        return [*map(float, reversed(times)), 0.0]

    def _at(self, t: Tensor, row: int) -> Tensor:
        """Return row `row` of `schedule` at the times t, shaped like t."""
        table = _schedule_on(self.beta_min, self.beta_max, self.count, t.device, self.beta_schedule)[row]
        return table[(t.round().long() + 1).clamp(0, self.count)].to(t.dtype)


def schedule(beta_min: float, beta_max: float, count: int, beta_schedule: str = "scaled_linear") -> Tensor:
    """Return sqrt(p), sqrt(1 - p) and the square root of the variance added: float64 (3, count + 1).

    The columns are the times -1, 0, 1, ...
    """
    import torch

    kept = BETAS[beta_schedule](beta_min, beta_max, count)
    added = 1 - kept[1:] / kept[:-1]
    return torch.stack([kept, 1 - kept, torch.cat([torch.zeros(1), added])]).sqrt()


def scaled_linear(beta_min: float, beta_max: float, count: int) -> Tensor:
    """Return p at the times -1, 0, 1, ... (count + 1).

    The product is taken in single precision, as SEED does. Over 20 steps the difference shows.
    """
    import torch

    beta = torch.linspace(beta_min**0.5, beta_max**0.5, count, dtype=torch.float32) ** 2
    return torch.cat([torch.ones(1), (1 - beta).cumprod(0)]).double()


def cosine(beta_min: float, beta_max: float, count: int) -> Tensor:
    """Return p at the times -1, 0, 1, ... (count + 1). `beta_min` is not used."""
    import torch

    angle = (torch.arange(count + 1, dtype=torch.float64) / count + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2
    wanted = angle.cos() ** 2
    beta = (1 - wanted[1:] / wanted[:-1]).clamp(max=beta_max)
    return torch.cat([beta.new_ones(1), (1 - beta).cumprod(0)])


BETAS = {"scaled_linear": scaled_linear, "cosine": cosine}


@lru_cache(maxsize=8)
def _schedule_on(
    beta_min: float, beta_max: float, count: int, device: torch.device, beta_schedule: str = "scaled_linear"
) -> Tensor:
    """Return `schedule` in single precision on `device`.

    Apple's GPUs have no double precision. The table is cached because a copy to a GPU blocks.
    """
    return schedule(beta_min, beta_max, count, beta_schedule).float().to(device)
