"""Compare waveforms by a thresholded SNR: D = mean of log10((|e - s|^2 + tau) / (|s|^2 + tau)), in bels.

Powers are means over time of signals whose unit is the mix, so tau = 0.01 is 20 dB below it. An error below that level
is small enough, and a silent target has a finite loss. A quiet stem counts as much as a loud one, as it does in the
mean of SI-SDRs. (Wisdom et al., 2020, "Unsupervised sound separation using mixture invariant training".)
"""

from torch import Tensor

from enhance_cli.contracts import Frontend

FLOOR = 1e-2


def distance(estimate: Tensor, target: Tensor, frontend: Frontend | None = None) -> Tensor:
    """Return the mean over waveforms (..., N) in units of the mix, 0 for an estimate of zeros."""
    power = lambda wave: wave.float().square().mean(dim=-1) + FLOOR  # noqa: E731
    return (power(estimate - target) / power(target)).log10().mean()
