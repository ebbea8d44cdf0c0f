"""Run a repair model over blocks of speaker embeddings given as NumPy arrays: the torch half of tasks.repair."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from enhance_cli.contracts import Estimate
from enhance_cli.models.spec import Spec
from enhance_cli.samplers import SAMPLERS

MIN_LENGTH, MAX_LENGTH = 1e-12, 1e18  # lengths of usable vectors


class RepairModel(Protocol):
    """State the members of models.load.Model that are needed here."""

    spec: Spec
    device: torch.device
    process: Any

    def bind(self, noisy: Tensor) -> tuple[Tensor, Estimate]: ...


class VectorRepairer:
    """Repair blocks of embeddings. One serves several threads at the same time.

    `dimension`: D of the embeddings. `steps`: number of calls of the network.
    """

    def __init__(
        self,
        model: RepairModel,
        *,
        steps: int | None,
        time: float | None,
        draws: int,
        seed: int,
        ensemble: float,
        keep_length: bool,
    ):
        """Prepare the sampler.

        `ensemble`: weight of the vector as it came. `keep_length`: keep the length of the input.

        Raises UsageError for a number of steps or a time that the model does not have.
        """
        spec = model.spec
        self.model, self.draws, self.seed = model, draws, seed
        self.ensemble, self.keep_length = ensemble, keep_length
        self.dimension = spec.embedding_dimension
        self.steps, sampler = spec.choose(steps, None)
        start = time if time is not None or self.steps > 1 else spec.default_time
        # Raises UsageError for a time or a number of steps that it does not have
        model.process.levels(self.steps, start)
        self.sample: Callable = partial(SAMPLERS[sampler], **spec.sampler_args.get(sampler, {}) | {"start": start})

    @torch.inference_mode()
    def repair(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (repaired (B, D), unusable (B,) bool) for embeddings (B, D) float32. Unusable ones are as they were."""
        vectors = torch.from_numpy(block).to(self.model.device)
        length = vectors.norm(dim=1, keepdim=True)
        bad = ~((length > MIN_LENGTH) & (length < MAX_LENGTH))
        unit = vectors / length.masked_fill(bad, torch.inf)
        y = unit * self.dimension**0.5 if self.model.spec.normalise == "unit-rms" else vectors
        _, bound = self.model.bind(y)
        estimate = lambda x, t: bound(x, x.new_full((1,), t))  # all rows are at one time, which is embedded once
        draws = [self.sample(estimate, self.model.process, y, self.steps, noise) for noise in self._noises(y)]
        repaired = normalize(torch.stack(draws).sum(dim=0) if len(draws) > 1 else draws[0], dim=1)
        if self.ensemble:
            repaired = normalize(self.ensemble * unit + (1 - self.ensemble) * repaired, dim=1)
        if self.keep_length:
            repaired = repaired * length
        repaired = torch.where(bad, vectors, repaired) if bad.any() else repaired
        return repaired.cpu().numpy(), bad[:, 0].cpu().numpy()

    def _noises(self, y: Tensor) -> list[Callable[[], Tensor]]:
        """Return the noise sources of the sampler, one for every draw: the same D numbers (1, D) for all rows."""
        if not self.draws:
            return [lambda: y.new_zeros(())]
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(self.draws, 1, self.dimension, generator=generator).to(y.device)
        return [_always(vector) for vector in noise]


def _always(value: Tensor) -> Callable[[], Tensor]:
    return lambda: value
