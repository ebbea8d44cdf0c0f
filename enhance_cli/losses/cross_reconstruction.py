"""Reconstruct the good embedding of a recording from its good or degraded embedding with noise added.

The loss is the mean of |estimate - x0| plus a weight times one minus their cosine. Inference starts from little noise,
so a share `near` of the rows is trained at times up to `near_end`, the others at all times. (Nam et al., 2025, "SEED",
which trains all times alike and has no cosine term.)
"""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from enhance_cli.contracts import Distance, Draw, Estimate, Process


def loss(
    estimate: Estimate,
    process: Process,
    x0: Tensor,
    y: Tensor,
    noise: Draw,
    distance: Distance | None = None,
    *,
    cosine: float = 0.1,
    near: float = 0.5,
    near_end: float = 200,
) -> Tensor:
    """Return the mean loss of a batch of embeddings.

    `estimate(x, t)` -> clean. x0, y: (B, D). `noise()`: standard normal like y. `distance`: ignored. `cosine`:
    weight of the cosine term.
    """
    share, when = torch.rand(2, y.shape[0], device=y.device)
    last = torch.where(share < near, min(near_end, process.t_max), process.t_max)
    t = (when * (last + 1)).floor()
    found = estimate(process.sample(y, y, t, noise()), t)
    return (found - x0).abs().mean() + cosine * (1 - cosine_similarity(found, x0, dim=1)).mean()
