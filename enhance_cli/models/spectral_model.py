"""State the members of models.load.Model by which windows of spectrograms are sampled.

models.load imports the classes that do so, and they cannot import it.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from enhance_cli.contracts import Estimate
from enhance_cli.models.spec import Spec


class SpectralModel(Protocol):
    """Sample clean spectrograms (models.load.Model documents each member)."""

    spec: Spec
    device: torch.device
    network: Any
    process: Any
    frontend: Any

    def bind(self, noisy: Tensor, *, guide: Tensor | None = None) -> tuple[Tensor, Estimate]: ...
    def sample(self, sampler: Callable, noisy: Tensor, steps: int, noise: Callable, **conditions: Tensor) -> Tensor: ...
    def pad_frames(self, y: Tensor, guide: Tensor | None = None) -> tuple[Tensor, Tensor | None]: ...
