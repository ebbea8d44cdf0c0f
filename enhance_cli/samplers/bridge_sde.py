"""Sample a bridge by its SDE: every step draws from the bridge between the current state and the estimate.

x_t = (s_t / s_r) x_r + (1 - s_t / s_r) x0 + sqrt(s_t (1 - s_t / s_r)) sigma_1 z with s = sigma_t^2 / sigma_1^2 and
alpha = 1, without noise on the last step. One step equals that of the ODE sampler, up to the time where the process
ends. (Jukic et al., 2024, "Schroedinger bridge for generative speech enhancement".)
"""

from math import sqrt

from torch import Tensor

from enhance_cli.contracts import Bridge, Draw, Estimate
from enhance_cli.errors import UsageError


def sample(
    estimate: Estimate,
    process: Bridge,
    y: Tensor,
    steps: int,
    noise: Draw,
    *,
    call_at: str = "earlier",
    eps: float = 0.0,
    start: float | None = None,
) -> Tensor:
    """Return the clean estimate after exactly `steps` calls of `estimate(x, t)`.

    `noise()` is drawn once per step except the last. `call_at` and `eps` are those of bridge_ode, except that `eps`
    only enters denominators far from zero here. `start`: time at which sampling begins, below 1 from y with the noise of that
    time, which is one more draw.
    """
    if call_at not in ("earlier", "later"):
        raise UsageError(f"call_at {call_at!r} is not known", "choose from earlier, later")
    times = process.levels(steps, start)
    x = y if times[0] == process.t_max else process.start(y, noise(), times[0])
    small = eps / process.scale**2
    for r, t in zip(times, times[1:]):
        x0 = estimate(x, r if call_at == "earlier" else t)
        if t == 0:
            return x0
        alpha = process.alpha(t)
        ratio = process.variance(t) / (process.variance(r) + small)
        x = alpha / process.alpha(r) * ratio * x + alpha * (1 - ratio) * x0
        if t != times[-1]:
            x = x + alpha * process.scale * sqrt(process.variance(t) * (1 - ratio)) * noise()
    return x
