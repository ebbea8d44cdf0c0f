"""Heun's method on the probability-flow ODE dx/dsigma = (x - x0) / sigma, with optional churn; Euler on the last step.

Two calls a step but the last, so 2 N - 1. With `churn` S the noise is first raised by the factor 1 + min(S / N, sqrt(2) - 1).
(Karras et al., 2022, "Elucidating the design space of diffusion-based generative models", algorithms 1 and 2.)
"""

from math import sqrt

from torch import Tensor


def sample(
    estimate,
    process,
    y: Tensor,
    steps: int,
    noise,
    start: float | None = None,
    churn: float = 0.0,
    limit: float | None = None,
) -> Tensor:
    """Clean estimate after 2 steps - 1 calls of `estimate`; one draw for the start, and one per step with churn.

    `start` is the noise level to start from; `limit` bounds every number of every estimate.
    """
    times = process.levels(steps, start)
    gamma = min(churn / steps, sqrt(2) - 1)
    x = process.start(y, noise(), times[0])
    for here, then in zip(times, times[1:]):
        raised = here * (1 + gamma)
        if gamma:
            x = x + sqrt(raised**2 - here**2) * noise()
        x = step(estimate, x, y, raised, then, limit)
    return x


def step(estimate, x: Tensor, y: Tensor, t: float, r: float, limit: float | None = None) -> Tensor:
    """The state x at the level t brought to r; as the teacher of a consistency distillation moves it."""

    def slope(x: Tensor, t: float) -> Tensor:
        x0 = estimate(x, y, y.real.new_full(y.shape[:1], t))
        return (x - (x0 if limit is None else x0.clamp(-limit, limit))) / t

    first = slope(x, t)
    moved = x + (r - t) * first
    return moved if r == 0 else x + (r - t) / 2 * (first + slope(moved, r))


def calls(steps: int, **_) -> int:
    """Network calls of `sample`."""
    return 2 * steps - 1
