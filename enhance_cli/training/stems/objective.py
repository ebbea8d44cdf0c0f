"""Compute the losses of a stem model: the extractor's, the refiner's, and the distillation of the refiner to one call.

    extraction    D(extractor(m), s), all stems of a mix at once, or one at random if the extractor makes one per pass
    refinement    D(refiner(b + sigma z), s) / c_out(sigma), where b is the true stem, or for a share `estimates` of the
                  items the extractor's estimate, since the refiner's inputs have errors that noise does not model
                  (EDM denoising)
    consistency   D(f(x_t), f_average(x_r)) / c_out(t) + refinement, x_r the teacher's Heun steps from x_t down its grid

D is the stage's distance. Errors are divided by c_out, as the preconditioning requires. (Karras et al., 2022. Song et
al., 2023. Karchkhadze et al., 2024, "Improving source extraction with diffusion and consistency models", whose later
program mixes in estimates. Several steps of the teacher and the added refinement loss are also theirs.)
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from enhance_cli.audio.spectra.mixture_consistency import share_out
from enhance_cli.errors import UsageError
from enhance_cli.losses import DISTANCES
from enhance_cli.models.stems import StemModel
from enhance_cli.samplers import heun
from enhance_cli.training.stems.recipe import StemStage

Features = Sequence[Tensor]  # feature maps of the extractor
MAX_DIFFERENCE = 1e-4  # between a mix and the sum of its stems, where it holds nothing else
MIN_C_OUT = 0.01  # of c_out as a divisor: finer differences than that are not worth more


class Objective:
    """Compute losses of `model`. `averaged`: model that holds the moving average. `teacher`: for consistency."""

    def __init__(self, model: StemModel, averaged: StemModel, teacher: StemModel | None):
        self.model, self.averaged, self.teacher = model, averaged, teacher

    def check(self, stage: StemStage) -> None:
        """Check a stage. Raises UsageError if it cannot be trained."""
        if stage.loss != "extraction" and self.model.network.refiner is None:
            raise UsageError(f"{stage.loss} trains a refiner, and the model has none", "add it to model.network_args")
        if stage.loss == "consistency":
            self.finished()

    def finished(self) -> StemModel:
        """Return the teacher. Raises UsageError if there is none."""
        if self.teacher is None:
            raise UsageError("consistency distillation needs a teacher", "run `enhance distill --teacher MODEL`")
        return self.teacher

    def loss(self, stage: StemStage, mixes: Tensor, stems: Tensor) -> Tensor:
        """Return the loss, a scalar, for mixes (B, 1, N) and stems (B, K, N)."""
        function = partial(STEM_LOSSES[stage.loss], self, stage, **stage.loss_args)
        if stage.loss == "extraction":
            return function(mixes, stems)
        label, x0 = self.pick(stems)
        with torch.no_grad():
            first, features = self.model.extract(mixes, label)
        return function(x0, first, label, tuple(features))

    def pick(self, stems: Tensor) -> tuple[Tensor, Tensor]:
        """Return a one-hot label (B, K) and a stem (B, 1, N) chosen at random for each mix of stems (B, K, N)."""
        picked = torch.randint(stems.shape[1], (len(stems),), device=stems.device)
        label = one_hot(picked, stems.shape[1]).to(stems.dtype)
        return label, stems[torch.arange(len(stems), device=stems.device), picked][:, None]

    def distance(self, stage: StemStage, estimate: Tensor, target: Tensor, unit: Tensor) -> Tensor:
        """Return the distance of waveforms (B, C, N), with errors in units of `unit` (B, 1, 1)."""
        return sum(w * DISTANCES[name](estimate / unit, target / unit, None) for name, w in stage.distance.items())

    def extraction(self, stage: StemStage, mixes: Tensor, stems: Tensor, *, shared: float = 0.0) -> Tensor:
        """Return the loss of the extractor, relative to the level of the mixes, which differs by design.

        shared: share of the batches in which the rest of mixes without other sources is first distributed over the
        stems, as at inference when all stems are asked for.
        """
        unit = mixes.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(1e-3)
        estimates = self.model.extract_all(mixes)
        if estimates is None:
            label, target = self.pick(stems)
            return self.distance(stage, self.model.extract(mixes, label)[0], target, unit)
        found = estimates[:, :, 0]
        if shared and float(torch.rand(())) < shared:
            whole = (mixes[:, 0] - stems.sum(dim=1)).abs().amax(dim=-1) < MAX_DIFFERENCE
            shares = share_out(found.transpose(0, 1), mixes[:, 0] - found.sum(dim=1)).transpose(0, 1)
            found = found + shares * whole[:, None, None]
        return self.distance(stage, found, stems, unit)

    def refinement(
        self,
        stage: StemStage,
        x0: Tensor,
        first: Tensor,
        label: Tensor,
        features: Features,
        *,
        mean: float = -3.0,
        spread: float = 1.0,
        estimates: float = 0.5,
    ) -> Tensor:
        """Return the loss of the refiner. ln sigma is normal with mean `mean` and standard deviation `spread`."""
        sigma = (mean + spread * torch.randn(len(x0), device=x0.device)).exp()
        base = torch.where(torch.rand(len(x0), 1, 1, device=x0.device) < estimates, first, x0)
        x = base + sigma[:, None, None] * torch.randn_like(x0)
        return self.distance(stage, self.denoise(self.model, x, sigma, label, features), x0, self.unit(sigma))

    def consistency(
        self,
        stage: StemStage,
        x0: Tensor,
        first: Tensor,
        label: Tensor,
        features: Features,
        *,
        grid: int = 18,
        start: float = 1.0,
        longest: int = 6,
        denoising: float = 1.0,
        estimates: float = 0.5,
        mean: float = -3.0,
        spread: float = 1.0,
    ) -> Tensor:
        """Return the loss of consistency distillation.

        The teacher takes 1 to `longest` of the `grid` - 1 steps between `start` and sigma_min, many steps more often.
        """
        levels = self.model.process.consistency_times(grid - 1, start)
        weights = torch.arange(1, min(longest, grid - 1) + 1, dtype=torch.float)
        jump = 1 + int(torch.multinomial(weights, 1))
        here = int(torch.randint(grid - jump, ()))
        times = levels[here : here + jump + 1]
        base = torch.where(torch.rand(len(x0), 1, 1, device=x0.device) < estimates, first, x0)
        x = base + times[0] * torch.randn_like(x0)
        at = lambda t: x0.new_full((len(x0),), t)
        with torch.no_grad():
            moved, teacher = x, self.finished()
            teach = lambda x, t: self.estimate(teacher, x, at(t), label, features)
            for t, r in zip(times, times[1:]):
                moved = heun.step(teach, moved, t, r)
            target = self.estimate(self.averaged, moved, at(times[-1]), label, features)
        found = self.estimate(self.model, x, at(times[0]), label, features)
        loss = self.distance(stage, found, target, self.unit(at(times[0])))
        if not denoising:
            return loss
        return loss + denoising * self.refinement(
            stage, x0, first, label, features, mean=mean, spread=spread, estimates=estimates
        )

    def estimate(self, model: StemModel, x: Tensor, t: Tensor, label: Tensor, features: Features) -> Tensor:
        """Return the estimate of the refiner with the model's own preconditioning."""
        refine = lambda x, _, t: model.refine(x, t, label, features)
        return model.prediction.estimate(refine, model.process, x, x, t)

    def denoise(self, model: StemModel, x: Tensor, t: Tensor, label: Tensor, features: Features) -> Tensor:
        """Return the estimate of the refiner with the preconditioning of a denoiser."""
        refine = lambda x, _, t: model.refine(x, t, label, features)
        prediction = replace(model.prediction, skip="edm_skip", out="edm_out")
        return prediction.estimate(refine, model.process, x, x, t)

    def unit(self, sigma: Tensor) -> Tensor:
        """Return c_out (B, 1, 1), not below MIN_C_OUT."""
        sd = self.model.prediction.sigma_data
        return (sigma * sd / (sigma**2 + sd**2).sqrt()).clamp_min(MIN_C_OUT)[:, None, None]


STEM_LOSSES: dict[str, Callable[..., Tensor]] = {  # their settings in a recipe are keyword-only parameters
    "extraction": Objective.extraction,
    "refinement": Objective.refinement,
    "consistency": Objective.consistency,
}
