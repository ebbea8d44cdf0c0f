"""Few-step sampler of consistency models: every call jumps to the clean end, and fresh noise brings the state back in between.

x0 = f(x, t); x <- a sample of the process at the next time around x0. One step is one call. (Song et al., 2023,
"Consistency models", algorithm 1.)
"""

from torch import Tensor


def sample(estimate, process, y: Tensor, steps: int, noise) -> Tensor:
    """Clean estimate after exactly `steps` calls of `estimate`; draws are one for the start and one between calls."""
    times = process.levels(steps)
    x = process.start(y, noise())
    for r, t in zip(times, times[1:]):
        x0 = estimate(x, y, y.real.new_full(y.shape[:1], r))
        if t != times[-1]:
            x = process.sample(x0, y, y.real.new_full(y.shape[:1], t), noise())
    return x0
