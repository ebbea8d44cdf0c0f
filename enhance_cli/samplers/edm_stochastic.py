"""Sample noise levels by stochastic Euler steps, each done `rounds` times: raise the noise, step down, go back up.

At the level s: s' = (1 + gamma) s with gamma = min(churn / N, sqrt(2) - 1), x += sqrt(s'^2 - s^2) z, then x += (s_next
- s') (x - x0) / s'. Before the next round x += sqrt(s^2 - s_next^2) z. (Karras et al., 2022, algorithm 2 without its
second order. The rounds are those of Lugmayr et al., 2022, "RePaint".)
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
    rounds: int = 1,
    limit: float | None = None,
) -> Tensor:
    """Return the clean estimate after steps * rounds calls of `estimate(x, t)`.

    `noise()` is drawn once for the start, then in each round once for the churn (if it is not 0) and, except in the
    last round of a step, once to go back up. `start`: noise level to start from. `limit`: bound on the magnitude of
    every value of each estimate.
    """
    times = process.levels(steps, start)
    gamma = min(churn / steps, sqrt(2) - 1)
    x = process.start(y, noise(), times[0])
    for here, then in zip(times, times[1:]):
        raised = here * (1 + gamma)
        for left in reversed(range(rounds)):
            if gamma:
                x = x + sqrt(raised**2 - here**2) * noise()
            x0 = estimate(x, raised)
            x0 = x0 if limit is None else x0.clamp(-limit, limit)
            x = x + (then - raised) / raised * (x - x0)
            if left:
                x = x + sqrt(here**2 - then**2) * noise()
    return x


def calls(steps: int, rounds: int = 1, **_: object) -> int:
    """Return the number of network calls of `sample`."""
    return steps * rounds
