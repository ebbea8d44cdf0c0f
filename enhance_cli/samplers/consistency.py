"""Few-step sampler of consistency models: every call jumps to the clean end, and fresh noise brings the state back in between.

x0 = f(x, t); x <- the process's state at the next time around x0. One step is one call. (Song et al., 2023,
"Consistency models", algorithm 1.)
"""

from torch import Tensor

from enhance_cli.errors import UsageError

RENOISE = ("every", "legacy")


def sample(
    estimate,
    process,
    y: Tensor,
    steps: int,
    noise,
    start: float | None = None,
    renoise: str = "every",
    limit: float | None = None,
) -> Tensor:
    """Clean estimate after exactly `steps` calls of `estimate`; draws are one for the start and one between calls.

    `start` is the time to start from, `limit` bounds every number of the result. `renoise` "legacy" adds no noise before
    the last call, as the published program of DiCoSe does; it is only good for reproducing its numbers.
    """
    if renoise not in RENOISE:
        raise UsageError(f"renoise {renoise!r} is not known", f"choose from {', '.join(RENOISE)}")
    times = process.jumps(steps, start)
    x = process.start(y, noise(), times[0])
    for call, (r, t) in enumerate(zip(times, times[1:]), 1):
        x0 = estimate(x, y, y.real.new_full(y.shape[:1], r))
        if call < steps:
            last = renoise == "legacy" and call == steps - 1
            x = x0 if last else process.renoise(x0, y, y.real.new_full(y.shape[:1], t), noise())
    return x0 if limit is None else x0.clamp(-limit, limit)
