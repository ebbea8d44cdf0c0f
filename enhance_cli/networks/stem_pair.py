"""Combine the two networks of a stem model: an extractor makes a first estimate and feature maps, a refiner uses both.

Both are given the stem as a one-hot vector. Either may be any network with

    forward(x (B, C, N), t (B,) or None, label (B, K), features) -> (B, C, N)
    extract(mix (B, C, N), label (B, K)) -> the estimate (B, C, N), and features for `forward` of the refiner

    receptive_field: int or None, number of samples on either side that a result depends on
    extract_all(mix) -> (B, K, C, N), if all stems come of one pass
    fold(), if there is something to fold for inference

so that extractor and refiner need not be of one type. A refiner's t is the noise level as models.prediction scales it.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from enhance_cli.networks import NETWORKS


class StemPair(nn.Module):
    """Hold `extractor` and `refiner`, each {"network": name, ...its arguments}.

    Without a refiner only `extract` runs.
    """

    def __init__(self, extractor: dict, refiner: dict | None = None):
        super().__init__()
        self.extractor: Any = _build(extractor)
        self.refiner: Any = None if refiner is None else _build(refiner)

    def receptive_field(self, steps: int) -> int | None:
        """Return the number of samples on either side that a result of `steps` calls of the refiner depends on, or None.

        None stands for a network without a finite receptive field (its `receptive_field` is None).
        """
        parts = [
            self.extractor.receptive_field,
            *([self.refiner.receptive_field] * steps if self.refiner is not None else []),
        ]
        return None if None in parts else sum(parts)

    def extract(self, mix: Tensor, label: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the first estimate (B, C, N) for mix (B, C, N) and one-hot label (B, K), and features for `forward`."""
        return self.extractor.extract(mix, label)

    def extract_all(self, mix: Tensor) -> Tensor | None:
        """Return all estimates (B, K, C, N) of the mix (B, C, N), or None where each stem takes a pass of its own."""
        if not hasattr(self.extractor, "extract_all"):
            return None
        return self.extractor.extract_all(mix).reshape(mix.shape[0], -1, *mix.shape[1:])

    def fold(self) -> None:
        """Fold normalizations for inference, in networks that can."""
        for network in (self.extractor, self.refiner):
            if hasattr(network, "fold"):
                network.fold()

    def forward(self, x: Tensor, t: Tensor, label: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Return the refined stem (B, C, N) from the scaled state x (B, C, N).

        t: noise level (B,) as the refiner is given it. label: one-hot (B, K).
        """
        return self.refiner(x, t, label, features)


def _build(args: dict) -> nn.Module:
    return NETWORKS[args["network"]](**{name: value for name, value in args.items() if name != "network"})
