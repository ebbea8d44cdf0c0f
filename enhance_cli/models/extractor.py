"""Load extractors: networks that turn stretches of speech into speaker embeddings.

An extractor is a model file with the task "embed-speaker". Only embeddings with the same extractor id can be compared, so a
model that repairs embeddings has the id of the extractor that it was trained for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from enhance_cli.errors import ModelError
from enhance_cli.models.registry import entries, find, published
from enhance_cli.models.spec import Spec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TASK = "embed-speaker"


class Extractor:
    """Embed speech. `id`: extractor id. `dimension`: length of an embedding. `sample_rate`: of the waves, in Hz."""

    runtime = "torch"

    def __init__(self, spec: Spec, network: torch.nn.Module, device: torch.device | None = None):
        """Take the network to `device`, None for the CPU."""
        import torch

        self.spec, self.device = spec, device or torch.device("cpu")
        self.network = network.to(self.device)
        self.id = spec.extractor_id
        self.dimension = spec.embedding_dimension
        self.sample_rate: int = spec.sample_rate

    def embed(self, waves: Tensor) -> Tensor:
        """Return embeddings (B, D) float32 on the CPU of waves (B, N) float32 at `sample_rate`.

        Each row is one stretch of speech.
        """
        import torch

        with torch.inference_mode():
            return self.network(waves.to(self.device, torch.float32)).float().cpu()

    def embed_segments(self, waves: np.ndarray) -> np.ndarray:
        """Return embeddings (B, D) of waves (B, N), as `embed`."""
        import torch

        return self.embed(torch.from_numpy(waves)).numpy()


def mean_embedding(embeddings: np.ndarray, *, unit: bool) -> np.ndarray:
    """Return the mean (D,) of the embeddings (B, D) of a recording. With `unit` they and the mean have length 1."""
    return normalized(normalized(embeddings).mean(axis=0)) if unit else embeddings.mean(axis=0)


def normalized(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (..., D) scaled to length 1. Those of length 0 stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12))


def load_extractor(name: str | None = None, device: torch.device | None = None) -> Extractor:
    """Return the extractor by name, id or file, or the default for None. Raises ModelError."""
    entry = find(name_of_extractor(name), TASK)
    return load_extractor_file(entry.path, device, entry.sha256)


def name_of_extractor(extractor_id: str | None) -> str | None:
    """Return the name of the model with this extractor id, or `extractor_id` itself if none is known."""
    makers = [e.name for e in [*entries(), *published()] if e.task == TASK and e.extractor_id == extractor_id]
    return makers[0] if makers and extractor_id is not None else extractor_id


def load_extractor_file(path: Path, device: torch.device | None = None, sha256: str | None = None) -> Extractor:
    """Return the extractor in `path`, on the CPU unless a device is given. Raises ModelError."""
    from enhance_cli.models.weights import load_network

    spec, network = load_network(path, sha256)
    if spec.task != TASK or not {"id", "dimension"} <= set(spec.extractor):
        raise ModelError(f"{path}: not a speaker network but a model for {spec.task}", "see `enhance models list`")
    return Extractor(spec, network, device)
