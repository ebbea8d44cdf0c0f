"""Compute the loss of a stage for a network with memory (DeepFilterNet), on waveforms at 48 kHz."""

from torch import Tensor

from enhance_cli.audio.spectra.stft import Frontend
from enhance_cli.contracts import Distance
from enhance_cli.errors import UsageError
from enhance_cli.losses import DISTANCES, LOSSES
from enhance_cli.models.load import Model
from enhance_cli.training.denoise import deep_filter
from enhance_cli.training.denoise.recipe import DenoiseStage

BELOW_8K = Frontend(512, 256)  # at 16 kHz
WHOLE_BAND = Frontend(1024, 512)  # at 48 kHz
FULL_BAND = 10 ** (-65 / 20)  # RMS above 8 kHz from which a target counts as one with the full band


class StreamObjective:
    """Compute losses of `model`, whose network runs as a stream. The first `lead_in` samples are not compared."""

    def __init__(self, model: Model, lead_in: int):
        self.network, self.lead_in = model.network, lead_in

    def check(self, stage: DenoiseStage) -> None:
        """Check a stage. Raises UsageError if it cannot be trained."""
        if stage.loss != "single_call":
            raise UsageError(f"{stage.loss} needs a process, this network is called once", 'use loss = "single_call"')

    def at_level(self, noisy: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pairs (B, N) unchanged: this network gets recordings at their own level."""
        return noisy, clean

    def loss(self, stage: DenoiseStage, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss, a scalar with gradients, for waveforms (B, N) at 48 kHz."""
        estimate = lambda wave, _: deep_filter.clean(self.network, wave)
        return LOSSES[stage.loss](estimate, None, clean, noisy, None, self._distance(stage))

    def _distance(self, stage: DenoiseStage) -> Distance:
        """Return the distance of waveforms.

        It is `stage.distance` at 16 kHz plus `stage.full_band_distance` at 48 kHz, the latter of the items whose target
        goes beyond 8 kHz. From the other items the network would learn that voices have nothing there.
        """

        def distance(estimate: Tensor, target: Tensor) -> Tensor:
            estimate, target = estimate[:, self.lead_in :], target[:, self.lead_in :]
            at_16k = deep_filter.to_16k(estimate), deep_filter.to_16k(target)
            total = _sum(stage.distance, *at_16k, BELOW_8K)
            full = deep_filter.level_above_8k(target) > FULL_BAND
            if full.any():
                total = total + _sum(stage.full_band_distance, estimate[full], target[full], WHOLE_BAND)
            return total

        return distance


def _sum(weights: dict[str, float], estimate: Tensor, target: Tensor, frontend: Frontend) -> Tensor:
    if not weights:
        return estimate.new_zeros(())
    spectra = frontend.analyze(estimate), frontend.analyze(target)
    return sum(weight * DISTANCES[name](*spectra, frontend) for name, weight in weights.items())
