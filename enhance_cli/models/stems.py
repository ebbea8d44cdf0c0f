"""Stem models: from a mix to the stems asked for, by an extractor and, in one or more steps, a refiner.

The refiner's samplers start at the extractor's estimate with some noise on it; its feature maps reach the refiner in every
call. The extractor runs once per stem. (Karchkhadze et al., 2024, "Improving source extraction with diffusion and consistency
models".)
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from enhance_cli.errors import ModelError
from enhance_cli.models import demucs
from enhance_cli.models.load import Model, load_network
from enhance_cli.models.registry import Entry

TASK = "extract-stem"


class StemModel(Model):
    """A model file with the task "extract-stem", ready to run."""

    def bind(self, mix: Tensor, stem: str) -> tuple[Tensor, Callable]:
        """The extractor's estimate of `stem` in mix (B, C, N), and the refiner's `estimate(x, y, t)` for that mix and stem."""
        place = torch.tensor(self.spec.stems.index(stem), device=mix.device)
        label = one_hot(place, len(self.spec.stems)).float().expand(mix.shape[0], -1)
        first, features = self._run(self.network.extract, mix, label)

        def refine(x: Tensor, _: Tensor, t: Tensor) -> Tensor:
            return self._run(self.network, x, t, label, features).float()

        return first.float(), partial(self.prediction.estimate, refine, self.process)

    def separate(
        self, mix: Tensor, stems: Sequence[str], sampler: Callable | None, steps: int, noise: Callable[[], Callable]
    ) -> Tensor:
        """Mix (B, C, N) on the model's device -> its `stems` (K, B, C, N). `noise()` gives a new source of draws for each
        stem; with no steps neither it nor the sampler is used."""
        every = self._run(self.network.extract_all, mix) if not steps and len(stems) > 1 else None
        if every is not None:
            return every[:, [self.spec.stems.index(stem) for stem in stems]].transpose(0, 1).float()
        found = []
        for stem in stems:
            first, estimate = self.bind(mix, stem)
            found.append(sampler(estimate, self.process, first, steps, noise()) if steps else first)
        return torch.stack(found)

    def reach(self, steps: int) -> int | None:
        """How many samples around a place the result there depends on; None where that has no end."""
        return self.network.reach(steps)

    def _run(self, network: Callable, *inputs):
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            return network(*inputs)


def load_stems(entry: Entry, device: torch.device, precision: str = "fp32") -> StemModel | demucs.DemucsModel:
    """The stem model of that entry. Raises ModelError if it is missing, damaged or for another task."""
    if entry.source is not None and entry.source.package == demucs.PACKAGE:
        return demucs.load_demucs(entry, device)
    spec, network = load_network(entry.path, entry.sha256)
    if spec.task != TASK or not spec.stems:
        raise ModelError(f"{entry.path}: a model for {spec.task}, not for {TASK}", "see `enhance models list`")
    return StemModel(spec, network, device, precision)
