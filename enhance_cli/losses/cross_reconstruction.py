"""Cross-reconstruction: noise is added to an embedding, good or bad, and the estimate is compared with the good one of the
same recording. Mean of |estimate - x0|, and of one minus their cosine.

Inference starts from little noise, so a share `near` of the rows is trained at times up to `near_end`, the others at all.
(Nam et al., 2025, "SEED": all times alike, and no cosine.)
"""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity


def loss(
    estimate,
    process,
    x0: Tensor,
    y: Tensor,
    noise,
    distance=None,
    cosine: float = 0.1,
    near: float = 0.5,
    near_end: float = 200,
) -> Tensor:
    """`estimate(x, y, t)` -> clean; x0, y (B, D); `noise()` standard normal like y; `cosine` is the weight of that part. There
    is no other `distance`."""
    share, when = torch.rand(2, y.shape[0], device=y.device)
    last = torch.where(share < near, min(near_end, process.t_max), process.t_max)
    t = (when * (last + 1)).floor()
    found = estimate(process.sample(y, y, t, noise()), y, t)
    return (found - x0).abs().mean() + cosine * (1 - cosine_similarity(found, x0, dim=1)).mean()
