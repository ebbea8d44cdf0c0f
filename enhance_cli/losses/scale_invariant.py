"""Compare waveforms by a bounded negative SI-SDR: D = mean of log10((1 - c^2 + tau) / (c^2 + tau)), in bels.

c is the cosine of estimate and target. Without tau this is the negative SI-SDR (Le Roux et al., 2019, "SDR - half-baked
or well done?"), the measure of separation. tau limits the value for estimates better than 30 dB and for estimates that
have nothing to do with the target. The distance ignores level, so combine it with one that does not.
"""

from torch import Tensor

from enhance_cli.contracts import Frontend

FLOOR = 1e-3
SILENT = 1e-4  # power of a target below which it does not count


def distance(estimate: Tensor, target: Tensor, frontend: Frontend | None = None) -> Tensor:
    """Return the mean over waveforms (..., N), in units of the mix, whose target is not silent."""
    estimate, target = estimate.float(), target.float()
    power = target.square().mean(dim=-1)
    playing = (power > SILENT).float()
    alike = (estimate * target).mean(dim=-1).square() / (estimate.square().mean(dim=-1) * power + 1e-12)
    bels = ((1 - alike).clamp_min(0) + FLOOR).log10() - (alike + FLOOR).log10()
    return (bels * playing).sum() / playing.sum().clamp_min(1)
