"""Sample a consistency model: every call jumps to the clean end, and fresh noise leads back to the next time.

x0 = f(x, t), then x is drawn from the process at the next time around x0. One step is one call. (Song et al., 2023,
"Consistency models", algorithm 1.)
"""

from torch import Tensor

from enhance_cli.contracts import Draw, Estimate, Process
from enhance_cli.errors import UsageError

RENOISE = ("every", "legacy")


def sample(
    estimate: Estimate,
    process: Process,
    y: Tensor,
    steps: int,
    noise: Draw,
    *,
    start: float | None = None,
    renoise: str = "every",
    limit: float | None = None,
) -> Tensor:
    """Return the clean estimate after exactly `steps` calls of `estimate(x, t)`.

    `noise()` is drawn once for the start and once between two calls. `start`: time to start from. `limit`: bound on the
    magnitude of every value of the result. `renoise`: "legacy" adds no noise before the last call, as the published
    program of DiCoSe does, and is only meant to reproduce its numbers. Raises UsageError for another `renoise`.
    """
    if renoise not in RENOISE:
        raise UsageError(f"renoise {renoise!r} is not known", f"choose from {', '.join(RENOISE)}")
    times = process.consistency_times(steps, start)
    x = process.start(y, noise(), times[0])
    for call, (r, t) in enumerate(zip(times, times[1:]), 1):
        x0 = estimate(x, r)
        if call < steps:
            last = renoise == "legacy" and call == steps - 1
            x = x0 if last else process.renoise(x0, y, y.real.new_tensor(t), noise())
    return x0 if limit is None else x0.clamp(-limit, limit)
