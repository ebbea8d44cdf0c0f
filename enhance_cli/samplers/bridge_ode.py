"""Probability-flow ODE of a bridge, integrated exactly between two calls (exponential integrator).

With s = sigma_t^2 and the estimate x held fixed over a step from r to t, all relative to sigma_1^2 = 1:
x_t = sqrt(s_t (1-s_t) / (s_r (1-s_r))) x_r + [(1-s_t) - (1-s_r) k] x + [s_t - s_r m] y,  k, m the matching carries.
The first step starts on the Dirac end x_1 = y, where this becomes the mean (1-s_t) x + s_t y. (Chen et al., 2023,
"Schroedinger bridges beat diffusion models on text-to-speech synthesis".)  The network is called at the earlier time r.
"""

from math import sqrt

from torch import Tensor


def sample(estimate, process, y: Tensor, steps: int, noise) -> Tensor:
    """Clean estimate after exactly `steps` calls of `estimate(x, y, t)`; deterministic, `noise` is not drawn from."""
    x = y
    times = process.levels(steps)
    for r, t in zip(times, times[1:]):
        x0 = estimate(x, y, y.new_full(y.shape[:1], r))
        if t == 0:
            return x0
        s_r, s_t = process.variance(r), process.variance(t)
        carry = sqrt(s_t * (1 - s_t) / (s_r * (1 - s_r))) if r < 1 else 0.0
        x = carry * x + ((1 - s_t) - carry * (1 - s_r)) * x0 + (s_t - carry * s_r) * y
    raise ValueError("the sampler needs at least one step")
