"""Ancestral (SDE) sampler of a bridge: every step draws from the bridge between the current state and the estimate.

x_t = (s_t / s_r) x_r + (1 - s_t / s_r) x0 + sqrt(s_t (1 - s_t / s_r)) rho z with s = sigma_t^2; no noise on the last step.
One step equals the ODE sampler's. (Jukic et al., 2024, "Schroedinger bridge for generative speech enhancement".)
"""

from math import sqrt

from torch import Tensor


def sample(estimate, process, y: Tensor, steps: int, noise) -> Tensor:
    """Clean estimate after exactly `steps` calls of `estimate`; `noise()` gives a standard normal like `y` per step."""
    x = y
    times = process.levels(steps)
    for r, t in zip(times, times[1:]):
        x0 = estimate(x, y, y.new_full(y.shape[:1], r))
        if t == 0:
            return x0
        ratio = process.variance(t) / process.variance(r)
        spread = process.rho * sqrt(process.variance(t) * (1 - ratio))
        x = ratio * x + (1 - ratio) * x0 + spread * noise()
    raise ValueError("the sampler needs at least one step")
