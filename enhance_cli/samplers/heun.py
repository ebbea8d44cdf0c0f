"""Solve the probability-flow ODE dx/dsigma = (x - x0) / sigma by Heun's method with optional churn.

The last step is an Euler step, so N steps make 2 N - 1 calls. With `churn` S the noise is first raised by the factor 1
+ min(S / N, sqrt(2) - 1). (Karras et al., 2022, "Elucidating the design space of diffusion-based generative models",
algorithms 1 and 2.)
"""

from math import sqrt

from torch import Tensor

from enhance_cli.contracts import Draw, Estimate, Process


def sample(
    estimate: Estimate,
    process: Process,
    y: Tensor,
    steps: int,
    noise: Draw,
    *,
    start: float | None = None,
    churn: float = 0.0,
    limit: float | None = None,
) -> Tensor:
    """Return the clean estimate after 2 steps - 1 calls of `estimate(x, t)`.

    `noise()` is drawn once for the start and, with `churn`, once per step. `start`: noise level to start from. `limit`:
    bound on the magnitude of every value of each estimate.
    """
    times = process.levels(steps, start)
    gamma = min(churn / steps, sqrt(2) - 1)
    x = process.start(y, noise(), times[0])
    for here, then in zip(times, times[1:]):
        raised = here * (1 + gamma)
        if gamma:
            x = x + sqrt(raised**2 - here**2) * noise()
        x = step(estimate, x, raised, then, limit=limit)
    return x


def step(estimate: Estimate, x: Tensor, t: float, r: float, *, limit: float | None = None) -> Tensor:
    """Return the state x moved from level t to level r by one Heun step, as the teacher of a consistency distillation does."""

    def slope(x: Tensor, t: float) -> Tensor:
        x0 = estimate(x, t)
        return (x - (x0 if limit is None else x0.clamp(-limit, limit))) / t

    first = slope(x, t)
    moved = x + (r - t) * first
    return moved if r == 0 else x + (r - t) / 2 * (first + slope(moved, r))


def calls(steps: int, **_: object) -> int:
    """Return the number of network calls of `sample`."""
    return 2 * steps - 1
