"""Define StoRM: a predictive NCSN++ makes a first estimate, a score NCSN++ refines it by diffusion around that estimate.

The process runs from the clean signal to `initial_estimate(y)`, not to the noisy y, which the score network may see besides.
(Lemercier et al., 2023, "StoRM: a diffusion-based stochastic regeneration model for speech enhancement and
dereverberation".)
"""

from torch import Tensor, nn

from enhance_cli.networks.ncsnpp import NCSNpp

CONDITIONS = ("noisy", "post_denoiser", "both")


class StoRM(nn.Module):
    """Hold both networks.

    `denoiser`, `score`: arguments of NCSNpp. `condition`: which of noisy and first estimate the score sees.
    """

    receptive_field = None

    def __init__(self, denoiser: dict, score: dict, condition: str = "both"):
        super().__init__()
        if condition not in CONDITIONS:
            raise ValueError(f"condition {condition!r} is none of {', '.join(CONDITIONS)}")
        self.condition = condition
        self.denoiser_net, self.score_net = NCSNpp(**denoiser), NCSNpp(**score)

    def initial_estimate(self, noisy: Tensor) -> Tensor:
        """Return the first estimate of `noisy` (B, 2, T, F), same shape."""
        return self.denoiser_net(noisy, noisy)

    def forward(self, x: Tensor, y: Tensor, t: Tensor, noisy: Tensor) -> Tensor:
        """Return the score network's output (B, 2, T, F) for state x, first estimate y, t (B,) and the noisy signal."""
        if self.condition == "both":
            return self.score_net(x, noisy, t, y)
        return self.score_net(x, noisy if self.condition == "noisy" else y, t)
