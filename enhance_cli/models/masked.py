"""Fill the missing part of a signal with any sampler, by wrapping a model's `estimate(x, t)`.

Before each call, the known part of the state is replaced by the known signal with the noise of that time. In each clean
estimate, the known part is replaced by the known signal itself. (Lugmayr et al., 2022, "RePaint". Liu et al., 2023, "AudioLDM",
which leaves the estimate as it is.)
"""

from collections.abc import Callable

import torch
from torch import Tensor

from enhance_cli.contracts import Draw, Estimate, Process, Time


def masked(
    estimate: Estimate,
    process: Process,
    y: Tensor,
    *,
    known: Tensor,
    mask: Tensor,
    noise: Draw,
    rounds: int = 1,
    project: Callable[[Tensor], Tensor] | None = None,
) -> Estimate:
    """Return an `estimate(x, t)` that keeps the known part and fills the rest to match it.

    Args:
        estimate, process, y: of the model, as they are given to a sampler. y (B, ...) is where sampling starts.
        known: the clean signal (B, ...), where the mask says so.
        mask: bool, true where the signal is known, of a shape that broadcasts to that of y.
        noise: returns a draw of noise like y. It is drawn once per call of `estimate`, and once more per further round.
        rounds: number of calls per step. Before every call but the first, the state is drawn again around the last
            estimate, so that the filling has more calls to agree with the known part.
        project: replaces the known part of an estimate. It is for knowledge that a mask cannot express, such as a frame of
            a spectrogram that is known in part. By default the mask is used.
    """
    if project is None:
        project = lambda x0: torch.where(mask, known, x0)

    def hinted(x: Tensor, t: Time) -> Tensor:
        for left in reversed(range(rounds)):
            x0 = project(estimate(torch.where(mask, process.sample(known, y, t, noise()), x), t))
            if left:
                x = process.sample(x0, y, t, noise())
        return x0

    return hinted
