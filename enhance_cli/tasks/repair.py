"""Repair speaker embeddings (K, D): return embeddings of the same speakers with the effect of the recording removed.

Every vector is brought to the length sqrt(D), the diffusion process adds its noise of the chosen time, and the network
estimates the clean vector, in one step or in several steps of DDIM. All vectors get the same noise, and blocks of a fixed size
are computed with one thread each, so the result for a vector depends neither on the other vectors nor on the number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from enhance_cli.errors import ModelError, UsageError
from enhance_cli.models.device import pool_settings
from enhance_cli.models.extractor import name_of_extractor
from enhance_cli.models.graphs.speakers import GraphRepairModel
from enhance_cli.tasks.options import RepairOptions

if TYPE_CHECKING:
    from enhance_cli.models.load import Model

TASK = "enhance-embedding"
ROWS = 512  # of a block. The last block is padded, so that all are computed alike
RECORDING_ROWS = 16  # of a block of embeddings of recordings, which mostly come one by one


class Repairer:
    """Repair many vectors with one model. Raises UsageError or ModelError for options that the model cannot do."""

    def __init__(self, model: Model | GraphRepairModel, options: RepairOptions = RepairOptions()):
        spec = model.spec
        if spec.task != TASK:
            raise ModelError(f"{spec.name}: a model for {spec.task}, not for {TASK}", "see `enhance models list`")
        self.model = model
        self.extractor_id = spec.extractor_id
        ensemble = spec.ensemble if options.ensemble is None else options.ensemble
        if not 0 <= ensemble <= 1:
            raise UsageError(f"--ensemble {ensemble:g}: must be between 0 and 1", "use for example --ensemble 0.2")
        if options.draws < 0:
            raise UsageError(f"--draws {options.draws}: must be 0 or more", "use --draws 0 for a result without noise")
        if options.normalize not in ("unit", "keep"):
            raise UsageError(f"--normalize {options.normalize}: must be unit or keep", "leave it out for unit")
        self.vectors = model.repairer(
            steps=options.steps, time=options.time, draws=options.draws, seed=options.seed, ensemble=ensemble,
            keep_length=options.normalize == "keep",
        )  # fmt: skip
        self.dimension, self.steps = self.vectors.dimension, self.vectors.steps
        count, setting = pool_settings(model)
        self._threads = ThreadPoolExecutor(count, "repair", **setting)

    def check_extractor(self, extractor_id: str) -> None:
        """Raise ModelError unless the model was trained on embeddings of that extractor."""
        if extractor_id != self.extractor_id:
            raise ModelError(
                f"{self.model.spec.name} repairs embeddings of {self.extractor_id}, not of {extractor_id}",
                f"embed with {name_of_extractor(self.extractor_id)}, or train a model for {extractor_id}: see `enhance train`",
            )

    def repair(self, vectors: np.ndarray) -> np.ndarray:
        """Return repaired vectors (K, D) float32 for (K, D).

        Unusable rows are left as they were. Raises ModelError for another D.
        """
        return self.run(vectors)[0]

    def run(self, vectors: np.ndarray, together: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
        """Return (repaired (K, D) float32, unusable (K,) bool) for vectors (K, D).

        Unusable rows have a number that is not finite, or a length that is zero or beyond single precision. They are
        returned unchanged. `together`: rows of a block. The last bits of a result may depend on it. Raises ModelError for
        another D.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise ModelError(
                f"vectors of shape {list(vectors.shape)}: {self.model.spec.name} repairs {self.dimension} numbers each",
                "use vectors of the extractor that it was trained for",
            )
        result = np.empty(vectors.shape, np.float32)
        unusable = np.empty(len(vectors), bool)

        def block(first: int) -> None:
            given = np.zeros((together, self.dimension), np.float32)
            here = slice(first, min(first + together, len(vectors)))
            count = here.stop - first
            with np.errstate(over="ignore"):
                given[:count] = vectors[here]
            repaired, bad = self.vectors.repair(given)
            result[here], unusable[here] = repaired[:count], bad[:count]

        list(self._threads.map(block, range(0, len(vectors), together)))
        return result, unusable
