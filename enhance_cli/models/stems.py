"""Run stem models: an extractor and, in one or more steps, a refiner, from a mix to the requested stems.

Sampling starts at the extractor's estimate with some noise added, and the extractor's feature maps are inputs of every call of
the refiner. The extractor runs once per stem. (Karchkhadze et al., 2024, "Improving source extraction with diffusion and
consistency models".)
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from enhance_cli.contracts import Estimate
from enhance_cli.errors import ModelError
from enhance_cli.models.demucs import PACKAGE
from enhance_cli.models.demucs_model import DemucsModel, load_demucs
from enhance_cli.models.device import autocast
from enhance_cli.models.load import LoadedModel
from enhance_cli.models.registry import Entry
from enhance_cli.models.weights import load_network
from enhance_cli.models.windowed_separator import WindowedSeparator
from enhance_cli.networks.stem_pair import StemPair

TASK: Final = "extract-stem"


class StemModel(LoadedModel):
    """Extract stems with the two networks of a model file with the task "extract-stem"."""

    network: StemPair

    def windowed(self, stems: Sequence[str], **settings: Any) -> WindowedSeparator:
        """Return the model over windows of waveforms, with the settings of WindowedSeparator."""
        return WindowedSeparator(self, stems, **settings)

    def bind(self, mix: Tensor, stem: str) -> tuple[Tensor, Estimate]:
        """Return the extractor's estimate of `stem` in mix (B, C, N), and the refiner's `estimate(x, t)` for both."""
        index = torch.tensor(self.spec.stems.index(stem), device=mix.device)
        label = one_hot(index, len(self.spec.stems)).float().expand(mix.shape[0], -1)
        first, features = self.extract(mix, label)
        return first, self._estimate(partial(self._refined, label=label, features=features), first)

    def separate(
        self, mix: Tensor, stems: Sequence[str], sampler: Callable | None, steps: int, noise: Callable[[], Callable]
    ) -> Tensor:
        """Return `stems` (K, B, C, N) of mix (B, C, N) on the model's device.

        `noise()` returns a new source of draws for each stem. `sampler`: None without steps, where `noise` is not used.
        """
        every = self.extract_all(mix) if not steps and len(stems) > 1 else None
        if every is not None:
            return every[:, [self.spec.stems.index(stem) for stem in stems]].transpose(0, 1)
        found = []
        for stem in stems:
            first, estimate = self.bind(mix, stem)
            found.append(first if sampler is None else sampler(estimate, self.process, first, steps, noise()))
        return torch.stack(found)

    def receptive_field(self, steps: int) -> int | None:
        """Return the number of samples on either side that a result depends on, or None if it is not finite."""
        return self.network.receptive_field(steps)

    def extract(self, mix: Tensor, label: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the extractor's estimate (B, C, N) and features for the refiner.

        Of the mix (B, C, N) and the one-hot label (B, K).
        """
        with autocast(self.device, self.precision):
            first, features = self.network.extract(mix, label)
        return first.float(), features

    def extract_all(self, mix: Tensor) -> Tensor | None:
        """Return all stems (B, K, C, N) of mix (B, C, N) by one pass, or None if the extractor makes one stem per pass."""
        with autocast(self.device, self.precision):
            every = self.network.extract_all(mix)
        return None if every is None else every.float()

    def _refined(self, x: Tensor, _: Tensor, t: Tensor, *, label: Tensor, features: Sequence[Tensor]) -> Tensor:
        return self.network(x, t, label, features)

    def refine(self, x: Tensor, t: Tensor, label: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Return the refiner's output for the scaled state x (B, C, N) at t (B,), with the `features` of `extract`."""
        return self._call(self.network, x, t, label, features)


def load_stems(entry: Entry, device: torch.device, precision: str = "fp32") -> StemModel | DemucsModel:
    """Return the stem model of an entry. Raises ModelError if it is missing, damaged or for another task."""
    if entry.source is not None and entry.source.package == PACKAGE:
        return load_demucs(entry, device)
    spec, network = load_network(entry.path, entry.sha256)
    if spec.task != TASK or not spec.stems:
        raise ModelError(f"{entry.path}: a model for {spec.task}, not for {TASK}", "see `enhance models list`")
    return StemModel(spec, network, device, precision)
