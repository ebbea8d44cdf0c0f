"""Scale-invariant distance: D = mean over waveforms of log10((1 - c^2 + tau) / (c^2 + tau)), in bels, where c is the cosine of
estimate and target.

Without tau that is the negative SI-SDR (Le Roux et al., 2019, "SDR - half-baked or well done?"), by which separation is
judged; tau keeps what is better than 30 dB, or has nothing to do with the target at all, from counting beyond that. It knows
no level and belongs beside a distance that does.
"""

from torch import Tensor

FLOOR = 1e-3
SILENT = 1e-4  # power of a target below which it does not count


def distance(estimate: Tensor, target: Tensor, frontend=None) -> Tensor:
    """Waveforms (..., N) in units of the mix -> scalar, the mean over those whose target is not silent."""
    estimate, target = estimate.float(), target.float()
    power = target.square().mean(dim=-1)
    playing = (power > SILENT).float()
    alike = (estimate * target).mean(dim=-1).square() / (estimate.square().mean(dim=-1) * power + 1e-12)
    bels = ((1 - alike).clamp_min(0) + FLOOR).log10() - (alike + FLOOR).log10()
    return (bels * playing).sum() / playing.sum().clamp_min(1)
