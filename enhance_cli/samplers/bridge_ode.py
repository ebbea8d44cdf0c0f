"""Integrate the probability-flow ODE of a bridge, exactly between two calls (exponential integrator).

With s = sigma_t^2 and the estimate x held fixed over a step from r to t, all relative to sigma_1^2 = 1 and alpha = 1:
x_t = c x_r + [(1-s_t) - c (1-s_r)] x + [s_t - c s_r] y, where c = sqrt(s_t (1-s_t) / (s_r (1-s_r))). The first step
starts on the Dirac end x_1 = y, where this becomes the mean (1-s_t) x + s_t y. (Chen et al., 2023, "Schroedinger
bridges beat diffusion models on text-to-speech synthesis".)

States may be tensors or NumPy arrays: torch is not imported here.
"""

from math import sqrt
from typing import TYPE_CHECKING

from enhance_cli.contracts import Bridge, Draw, Estimate
from enhance_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


def sample(
    estimate: Estimate,
    process: Bridge,
    y: "Tensor",
    steps: int,
    noise: Draw,
    *,
    call_at: str = "earlier",
    eps: float = 0.0,
    start: float | None = None,
) -> "Tensor":
    """Return the clean estimate after exactly `steps` calls of `estimate(x, t)`. `noise` is not used.

    `call_at`: "earlier" calls the network at the time where a step begins, "later" where it ends, as the published
    implementation of SGMSE+ does. `eps`: constant added to the denominators and to sigma_1^2 - sigma_t^2, 1e-8 in the
    published implementation. The first step then multiplies y by large weights that cancel, so use it only to reproduce
    published numbers. `start`: time at which sampling begins, from y as well. Below 1 that is for a y that is nearly
    clean. Raises UsageError for another `call_at`.
    """
    x = y
    for time, weights in schedule(process, steps, call_at=call_at, eps=eps, start=start):
        x0 = estimate(x, time)
        if weights is None:
            return x0
        carry, clean, noisy = weights
        x = carry * x + clean * x0 + noisy * y
    return x


def schedule(
    process: Bridge, steps: int, *, call_at: str = "earlier", eps: float = 0.0, start: float | None = None
) -> list[tuple[float, tuple[float, float, float] | None]]:
    """Return for each step the time of the call, and the weights of x, of the estimate and of y in the next state.

    None stands for a step whose estimate is the result. Arguments as in `sample`.
    """
    if call_at not in ("earlier", "later"):
        raise UsageError(f"call_at {call_at!r} is not known", "choose from earlier, later")
    times, found = process.levels(steps, start), []
    for r, t in zip(times, times[1:]):
        weights = None if t == 0 else _published(process, r, t, eps) if eps else _exact(process, r, t)
        found.append((r if call_at == "earlier" else t, weights))
    return found


def _exact(process: Bridge, r: float, t: float) -> tuple[float, float, float]:
    """Return the weights of x_r, x0 and y for a step from r to t."""
    s_r, s_t, alpha = process.variance(r), process.variance(t), process.alpha(t)
    carry = sqrt(s_t * (1 - s_t) / (s_r * (1 - s_r))) if r < 1 else 0.0
    clean, noisy = (1 - s_t) - carry * (1 - s_r), s_t - carry * s_r
    return alpha / process.alpha(r) * carry, alpha * clean, alpha / process.alpha(1.0) * noisy


def _published(process: Bridge, r: float, t: float, eps: float) -> tuple[float, float, float]:
    """Return the same weights with `eps` where the published implementation adds it."""
    total = process.scale**2
    (past, past_rest), (here, here_rest) = (
        (sqrt(total * s), sqrt(total * (1 - s) + eps)) for s in (process.variance(r), process.variance(t))
    )
    alpha, product = process.alpha(t), here * here_rest
    return (
        alpha * product / (process.alpha(r) * past * past_rest + eps),
        alpha * (here_rest**2 - past_rest * product / (past + eps)) / (total + eps),
        alpha * (here**2 - past * product / (past_rest + eps)) / (process.alpha(1.0) * total + eps),
    )
