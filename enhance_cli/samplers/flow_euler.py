"""Sample straight paths by Euler's method with the velocity (x - x0) / t: x_t = x0 + (t / r) (x_r - x0).

The last step ends on the estimate itself. (Lee et al., 2025, "FlowSE: flow matching-based speech enhancement".)
"""

from torch import Tensor

from enhance_cli.contracts import Draw, Estimate, Process


def sample(
    estimate: Estimate, process: Process, y: Tensor, steps: int, noise: Draw, *, start: float | None = None
) -> Tensor:
    """Return the clean estimate after exactly `steps` calls of `estimate(x, t)`, with one draw of `noise()` for the start."""
    times = process.levels(steps, start)
    x = process.start(y, noise(), times[0])
    for r, t in zip(times, times[1:]):
        x0 = estimate(x, r)
        x = x0 + t / r * (x - x0)
    return x
