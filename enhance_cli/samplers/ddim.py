"""Sample by DDIM, with noise between the steps if `eta` is above 0, from y with noise to the clean end.

With p = signal^2 and e = (x_t - signal_t x0) / std_t: x_s = signal_s x0 + sqrt(std_s^2 - g^2) e + g z, where g^2 = eta^2
std_s^2 / std_t^2 (1 - p_t / p_s). `eta` 1 has the variance of ancestral sampling. (Song et al., 2021, "Denoising diffusion
implicit models".)
"""

from typing import Any

from torch import Tensor

from enhance_cli.contracts import Draw, Estimate


def sample(
    estimate: Estimate,
    process: Any,
    y: Tensor,
    steps: int,
    noise: Draw,
    *,
    start: float | None = None,
    limit: float | None = None,
    eta: float = 0.0,
    spacing: str = "leading",
) -> Tensor:
    """Return the clean estimate after `steps` calls of `estimate(x, t)`, or the number that `spacing` makes of them.

    `noise()` is drawn once for the start and, with `eta`, once per step that does not end clean. `start`: first time, by
    default that of the spacing. `limit`: bound on the magnitude of every value of each estimate. `eta`: 0 is deterministic.
    `spacing`: see processes.ddpm.DDPM.levels. With "uniform" the default start is pure noise, as published.
    """
    times = process.levels(steps, start, spacing=spacing)
    x = noise() if spacing == "uniform" and start is None else process.start(y, noise(), times[0])
    for t, s in zip(times, times[1:]):
        x0 = estimate(x, t)
        if limit is not None:
            x0 = x0.clamp(-limit, limit)
        if s == process.t_clean:
            x = x0
        else:
            x = step(process, x, x0, y, t, s, eta=eta, noise=noise)
    return x


def step(
    process: Any, x: Tensor, x0: Tensor, y: Tensor, t: float, s: float, *, eta: float = 0.0, noise: Draw
) -> Tensor:
    """Return the state x of time t moved to time s by its clean estimate x0. `noise()` is drawn once unless `eta` is 0."""
    if not eta:
        return process.deterministic_step(x, x0, y, t, s)
    times = (y.real.new_tensor(time) for time in (t, s))
    (signal, std), (next_signal, next_std) = ((process.coefficients(time)[0], process.std(time)) for time in times)
    fresh = eta * next_std / std * (1 - (signal / next_signal) ** 2).clamp_min(0).sqrt()
    e = (x - signal * x0) / std
    return next_signal * x0 + (next_std**2 - fresh**2).clamp_min(0).sqrt() * e + fresh * noise()
