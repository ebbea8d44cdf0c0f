"""Compare the result of a network that is called once, without a process, with the target."""

from torch import Tensor

from enhance_cli.contracts import Distance, Draw, Estimate


def loss(estimate: Estimate, process: None, x0: Tensor, y: Tensor, noise: Draw | None, distance: Distance) -> Tensor:
    """Return the distance of `estimate(y, 0)` to x0 (see data_prediction.loss)."""
    return distance(estimate(y, 0.0), x0)
