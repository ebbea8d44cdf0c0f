"""Compute the loss of a stage on a batch of waveforms: make spectrograms, bind the model, and call the loss."""

import random
from functools import partial

from torch import Tensor, nan, rand, randn_like

from enhance_cli.errors import UsageError
from enhance_cli.losses import DISTANCES, LOSSES
from enhance_cli.models.guide import Guide, load_guide
from enhance_cli.models.load import Model
from enhance_cli.samplers import SAMPLERS
from enhance_cli.training.denoise.recipe import DenoiseStage


class Objective:
    """Compute losses of `model`. `averaged`: model that holds the moving average."""

    def __init__(self, model: Model, averaged: Model, teacher: Model | None):
        self.model, self.averaged, self.teacher = model, averaged, teacher
        self.guides = guides_of(model)

    def check(self, stage: DenoiseStage) -> None:
        """Check a stage. Raises UsageError if it cannot be trained."""
        if stage.loss == "consistency" and self.teacher is None:
            raise UsageError("consistency distillation needs a teacher", "run `enhance distill --teacher MODEL`")

    def at_level(self, noisy: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Return pairs (B, N) at the level of inference. For most models the data has about the right level already."""
        if self.model.spec.normalise != "peak":
            return noisy, clean
        peak = noisy.abs().amax(dim=1, keepdim=True).clamp_min(1e-4)
        return noisy / peak, clean / peak

    def guide(self, noisy: Tensor, unguided: float) -> Tensor | None:
        """Return a guide (B, 1, T), NaN for a share `unguided` of the items. None for models without guides.

        One of the model's guides is drawn for the whole batch.
        """
        if not self.guides:
            return None
        guide = random.choice(self.guides)(noisy)
        return guide.masked_fill(rand(len(noisy), 1, 1, device=noisy.device) < unguided, nan)

    def loss(self, stage: DenoiseStage, noisy: Tensor, clean: Tensor, first: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar with gradients, for waveforms (B, N) on the model's device.

        `first`: estimate of a first stage.
        """
        model = self.model
        noisy, clean = self.at_level(noisy, clean)
        y, guide = model.pad_frames(model.frontend.analyze(noisy), self.guide(noisy, stage.unguided))
        x0, _ = model.pad_frames(model.frontend.analyze(clean))
        conditions = {} if guide is None else {"guide": guide}
        if first is not None:
            conditions["first"], _ = model.pad_frames(model.frontend.analyze(first))

        def distance(estimate: Tensor, target: Tensor) -> Tensor:
            return sum(w * DISTANCES[name](estimate, target, model.frontend) for name, w in stage.distance.items())

        start, estimate = model.bind(y, **conditions)
        bound = lambda of: of.bind(y, **conditions)[1]
        extra = dict(stage.loss_args)
        if stage.loss == "reverse_process":
            sampler = model.spec.samplers[0]
            extra["sample"] = partial(SAMPLERS[sampler], **model.spec.sampler_args.get(sampler, {}))
        if stage.loss == "consistency":
            extra |= {"teacher": bound(self.teacher), "average": bound(self.averaged)}
        noise = lambda: model.process.noise_scale * randn_like(y)
        return LOSSES[stage.loss](estimate, model.process, x0, start, noise, distance, **extra)


def guides_of(model: Model) -> list[Guide]:
    """Return all guides of a model. Raises ModelError for one whose weights are not here."""
    load = lambda name: load_guide(name, model.spec.sample_rate, model.frontend.hop, model.device)
    return [guide for name in model.spec.guides if (guide := load(name)) is not None]
