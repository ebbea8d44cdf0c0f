"""The two networks of a stem model: an extractor gives a first estimate and its feature maps, a refiner is fed with them.

Both are told the stem by a one-hot vector. What serves as either is a network with

    forward(x (B, C, N), t (B,) or None, label (B, K), features) -> (B, C, N)
    extract(mix (B, C, N), label (B, K)) -> the estimate (B, C, N), and features that `forward` of the refiner takes

    context: int or None, how far in samples a result depends on what lies around it
    extract_all(mix) -> (B, K, C, N), if all stems come of one pass; fold(), if there is something to fold for inference

so that extractor and refiner need not be of one kind. A refiner's t is what models.prediction makes of the noise level.
"""

from torch import Tensor, nn

from enhance_cli.networks import NETWORKS


class StemPair(nn.Module):
    """`extractor` and `refiner` are {"network": name, ...its arguments}; without a refiner only `extract` runs."""

    def __init__(self, extractor: dict, refiner: dict | None = None):
        super().__init__()
        self.extractor = _build(extractor)
        self.refiner = None if refiner is None else _build(refiner)

    def reach(self, steps: int) -> int | None:
        """How far (in samples) a result of `steps` calls of the refiner depends on what lies around it; None: no end.

        A network with a finite one says so in `context`.
        """
        parts = [self.extractor.context, *([self.refiner.context] * steps if self.refiner is not None else [])]
        return None if None in parts else sum(parts)

    def extract(self, mix: Tensor, label: Tensor) -> tuple[Tensor, object]:
        """Mix (B, C, N), one-hot label (B, K) -> first estimate (B, C, N), and features for `forward`."""
        return self.extractor.extract(mix, label)

    def extract_all(self, mix: Tensor) -> Tensor | None:
        """(B, C, N) -> all estimates (B, K, C, N), or None where each stem takes a pass of its own."""
        if not hasattr(self.extractor, "extract_all"):
            return None
        return self.extractor.extract_all(mix).reshape(mix.shape[0], -1, *mix.shape[1:])

    def fold(self) -> None:
        """Fold away what inference does not need, in networks that can."""
        for network in (self.extractor, self.refiner):
            if hasattr(network, "fold"):
                network.fold()

    def forward(self, x: Tensor, t: Tensor, label: Tensor, features: object) -> Tensor:
        """Scaled state (B, C, N), noise level (B,) as the refiner is told it, one-hot label (B, K) -> (B, C, N)."""
        return self.refiner(x, t, label, features)


def _build(args: dict) -> nn.Module:
    return NETWORKS[args["network"]](**{name: value for name, value in args.items() if name != "network"})
