"""Solve the probability-flow ODE of a diffusion, dx/dt = f - g^2 s / 2, by Heun's method on a fixed grid.

The last step is an Euler step. The published models used an adaptive Runge-Kutta method of order 5 here. A fixed grid
makes the number of calls known (2 N - 1) and the same for every file. (Song et al., 2021, "Score-based generative
modeling through stochastic differential equations".)
"""

from torch import Tensor

from enhance_cli.contracts import Draw, Estimate, Process


def sample(
    estimate: Estimate, process: Process, y: Tensor, steps: int, noise: Draw, *, start: float | None = None
) -> Tensor:
    """Return the clean estimate after 2 steps - 1 calls of `estimate(x, t)`, with one draw of `noise()` for the start."""

    def slope(x: Tensor, t: float) -> Tensor:
        now = y.real.new_tensor(t)
        return process.drift(x, y, now) - process.diffusion(now) ** 2 / 2 * process.score(x, estimate(x, t), y, t)

    times = process.levels(steps, start)
    x = process.start(y, noise(), times[0])
    for r, t in zip(times, times[1:]):
        here = slope(x, r)
        moved = x - (r - t) * here
        x = moved if t == times[-1] else x - (r - t) / 2 * (here + slope(moved, t))
    return x


def calls(steps: int, **_: object) -> int:
    """Return the number of network calls of `sample`."""
    return 2 * steps - 1
