"""Sample by SGMSE+'s predictor-corrector: a Langevin correction at the time reached, then a reverse diffusion step.

Predictor from r to t, with d = r - t and the score s: x <- x - (f - g^2 s) d + g sqrt(d) z, which on this grid is
Euler-Maruyama on the reverse SDE. Corrector: x <- x + e s + sqrt(2 e) z, with e = 2 (snr std(r))^2 (annealed Langevin,
"ald") or e = 2 (snr |z| / |s|)^2 ("langevin"). The last step adds no noise. (Song et al., 2021, "Score-based generative
modeling through stochastic differential equations". Richter et al., 2023.) With `corrector` "none" and `start` 0.5 on
BBED this is the few-step reverse process of CRP (Lay et al., 2024, "Single and few-step diffusion for generative speech
enhancement").
"""

from math import sqrt

from torch import Tensor

from enhance_cli.contracts import Draw, Estimate, Process
from enhance_cli.errors import UsageError

CORRECTORS = ("ald", "langevin", "none")


def sample(
    estimate: Estimate,
    process: Process,
    y: Tensor,
    steps: int,
    noise: Draw,
    *,
    corrector: str = "ald",
    corrector_steps: int = 1,
    snr: float = 0.5,
    start: float | None = None,
    shared_step: bool = False,
) -> Tensor:
    """Return the clean estimate after steps * (1 + corrector_steps) calls of `estimate(x, t)`.

    `noise()` is drawn once for the start, then in each step once per correction and once for the predictor. `start`:
    time to start from, by default the process's own. `shared_step`: compute the step size of "langevin" from norms
    averaged over the batch, as published. By default each item has its own, so that a result does not depend on the
    rest of its batch. Raises UsageError for an unknown `corrector`.
    """
    if corrector not in CORRECTORS:
        raise UsageError(f"corrector {corrector!r} is not known", f"choose from {', '.join(CORRECTORS)}")
    times = process.levels(steps, start)
    x = process.start(y, noise(), times[0])
    for r, t in zip(times, times[1:]):
        now = y.real.new_tensor(r)
        for _ in range(0 if corrector == "none" else corrector_steps):
            score, z = process.score(x, estimate(x, r), y, r), noise()
            if corrector == "ald":
                e = 2 * (snr * process.std(now)) ** 2
            else:
                over, under = ((norm.mean() if shared_step else norm) for norm in map(_norms, (z, score)))
                e = 2 * (snr * over / under) ** 2
            x = x + e * score + (2 * e).sqrt() * z
        g = process.diffusion(now)
        score = process.score(x, estimate(x, r), y, r)
        x = x - (process.drift(x, y, now) - g**2 * score) * (r - t)
        if t != times[-1]:
            x = x + g * sqrt(r - t) * noise()
    return x


def calls(steps: int, corrector: str = "ald", corrector_steps: int = 1, **_: object) -> int:
    """Return the number of network calls of `sample`."""
    return steps * (1 + (0 if corrector == "none" else corrector_steps))


def _norms(x: Tensor) -> Tensor:
    """Return the norm of every item of x (B, ...), shaped (B, 1, ...) so that it multiplies x."""
    return x.abs().square().sum(tuple(range(1, x.dim())), keepdim=True).sqrt()
