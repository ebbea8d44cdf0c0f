"""Sample by DDIM without noise between the steps, from y with noise to the clean end.

x_s = a_s x0 + std_s / std_t (x_t - a_t x0). (Song et al., 2021, "Denoising diffusion implicit models", eta = 0.)
"""

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
    limit: float | None = None,
) -> Tensor:
    """Return the clean estimate after exactly `steps` calls of `estimate(x, t)`.

    `noise()` is drawn once. `start`: first time, by default that of the process's published grid. `limit`: bound on the
    magnitude of every value of each estimate.
    """
    times = process.levels(steps, start)
    x = process.start(y, noise(), times[0])
    for t, s in zip(times, times[1:]):
        now, then = (y.real.new_full(y.shape[:1], time) for time in (t, s))
        x0 = estimate(x, t)
        if limit is not None:
            x0 = x0.clamp(-limit, limit)
        x = x0 if s == process.t_clean else process.deterministic_step(x, x0, y, now, then)
    return x
