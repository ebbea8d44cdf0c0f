"""Repair speaker embeddings (K, D): return embeddings of the same speakers with the effect of the recording removed.

Every vector is brought to the length sqrt(D), noise is added as the diffusion process has it at the chosen time, and
the network estimates the clean vector, in one step or in several of DDIM. The same noise serves all vectors, and blocks
of a fixed size are computed with one thread each, so the result for a vector depends neither on those beside it nor on
the number of threads.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from enhance_cli.errors import ModelError, UsageError
from enhance_cli.models.extractor import named
from enhance_cli.models.load import Model
from enhance_cli.samplers import SAMPLERS
from enhance_cli.tasks.options import RepairOptions

TASK = "enhance-embedding"
ROWS = 512  # at once; the last block is filled up, so that all are computed alike
RECORDING_ROWS = 16  # the same for embeddings of recordings, which mostly come one by one
MIN_LENGTH, MAX_LENGTH = 1e-12, 1e18  # lengths of usable vectors


class Repairer:
    """Repair many vectors with one model. Raises UsageError or ModelError for options that the model cannot do."""

    def __init__(self, model: Model, options: RepairOptions = RepairOptions()):
        spec = model.spec
        if spec.task != TASK:
            raise ModelError(f"{spec.name}: a model for {spec.task}, not for {TASK}", "see `enhance models list`")
        self.model, self.options = model, options
        self.dimension: int = spec.extractor["dimension"]
        self.extractor_id: str = spec.extractor["id"]
        self.steps, sampler = spec.choose(options.steps, None)
        self.ensemble = spec.ensemble if options.ensemble is None else options.ensemble
        if not 0 <= self.ensemble <= 1:
            raise UsageError(f"--ensemble {self.ensemble:g}: must be between 0 and 1", "use for example --ensemble 0.2")
        if options.draws < 0:
            raise UsageError(f"--draws {options.draws}: must be 0 or more", "use --draws 0 for a result without noise")
        if options.normalize not in ("unit", "keep"):
            raise UsageError(f"--normalize {options.normalize}: must be unit or keep", "leave it away for unit")
        start = options.time if options.time is not None or self.steps > 1 else spec.default_time
        model.process.levels(self.steps, start)  # refuses a time or a number of steps that it does not have
        settings = spec.sampler_args.get(sampler, {}) | {"start": start}
        self.sample = partial(SAMPLERS[sampler], **settings)
        count = torch.get_num_threads() if model.device.type == "cpu" else 1
        self._threads = ThreadPoolExecutor(count, "repair", torch.set_num_threads, (1,))

    def check_extractor(self, extractor_id: str) -> None:
        """Raise ModelError unless the model was trained on embeddings of that extractor."""
        if extractor_id != self.extractor_id:
            raise ModelError(
                f"{self.model.spec.name} repairs embeddings of {self.extractor_id}, not of {extractor_id}",
                f"embed with {named(self.extractor_id)}, or train a model for {extractor_id}: see `enhance train`",
            )

    def repair(self, vectors: np.ndarray) -> np.ndarray:
        """Return repaired vectors (K, D) float32 for (K, D).

        Unusable rows are left as they were. Raises ModelError for another D.
        """
        return self.run(vectors)[0]

    def run(self, vectors: np.ndarray, together: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
        """Return (repaired (K, D) float32, unusable (K,) bool) for vectors (K, D).

        Unusable rows have a number that is not finite, or a length that is zero or beyond single precision, and are
        left as they were. `together` rows are computed at once. For another number the last bits may differ. Raises
        ModelError for another D.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise ModelError(
                f"vectors of shape {list(vectors.shape)}: {self.model.spec.name} repairs {self.dimension} numbers each",
                "use vectors of the extractor that it was trained for",
            )
        result = np.empty(vectors.shape, np.float32)
        unusable = np.empty(len(vectors), bool)

        def block(first: int) -> None:
            given = torch.zeros(together, self.dimension)
            here = slice(first, min(first + together, len(vectors)))
            with np.errstate(over="ignore"):
                given.numpy()[: here.stop - first] = vectors[here]
            repaired, bad = self._repair(given.to(self.model.device))
            result[here] = repaired[: here.stop - first].cpu().numpy()
            unusable[here] = bad[: here.stop - first, 0].cpu().numpy()

        list(self._threads.map(block, range(0, len(vectors), together)))
        return result, unusable

    @torch.inference_mode()
    def _repair(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return (repaired (B, D), unusable (B, 1)) for (B, D)."""
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
        if self.options.normalize == "keep":
            repaired = repaired * length
        return torch.where(bad, vectors, repaired) if bad.any() else repaired, bad

    def _noises(self, y: Tensor) -> list:
        """Return the noise sources of the sampler, one for every draw: the same D numbers (1, D) for all rows."""
        if not self.options.draws:
            return [lambda: y.new_zeros(())]
        generator = torch.Generator().manual_seed(self.options.seed)
        noise = torch.randn(self.options.draws, 1, self.dimension, generator=generator).to(y.device)
        return [lambda n=n: n for n in noise]
