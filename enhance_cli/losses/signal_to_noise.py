"""Signal-to-noise ratio as a distance: D = mean over waveforms of log10((|e - s|^2 + tau) / (|s|^2 + tau)), in bels.

Powers are means over time of signals whose unit is the mix, so that tau = 0.01 stands 20 dB below it: what is better than
that is good enough, and a silent target has a finite loss. A quiet stem counts as much as a loud one, as it does in the mean
of SI-SDRs. (The thresholded SNR of Wisdom et al., 2020, "Unsupervised sound separation using mixture invariant training".)
"""

from torch import Tensor

FLOOR = 1e-2


def distance(estimate: Tensor, target: Tensor, frontend=None) -> Tensor:
    """Waveforms (..., N) in units of the mix -> scalar; 0 for silence in place of the target."""
    power = lambda wave: wave.float().square().mean(dim=-1) + FLOOR  # noqa: E731
    return (power(estimate - target) / power(target)).log10().mean()
