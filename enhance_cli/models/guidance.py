"""Guide a model by its condition: a wrapper of two estimates, with and without the condition.

x0 = u + weight (c - u), with the estimates c under the condition and u without. Predictions of v or of the noise combine in
the same way, since an estimate is an affine function of them. (Ho and Salimans, 2022, "Classifier-free diffusion guidance".)
"""

from torch import Tensor

from enhance_cli.contracts import Estimate, Time


def guided(conditional: Estimate, unconditional: Estimate, weight: float) -> Estimate:
    """Return the guided `estimate(x, t)`, which makes two calls. A weight of 1 is `conditional` itself."""
    if weight == 1:
        return conditional

    def estimate(x: Tensor, t: Time) -> Tensor:
        without = unconditional(x, t)
        return without + weight * (conditional(x, t) - without)

    return estimate
