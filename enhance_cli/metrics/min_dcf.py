"""Compute minDCF, NIST's detection cost at the best threshold, over the cost of deciding without listening.

The cost is C_miss P miss + C_fa (1 - P) false alarm, with P = 0.05 and both costs 1 as in the VoxCeleb challenges.
"""

import numpy as np

from enhance_cli.metrics.trials import SortedTrials

P_TARGET, C_MISS, C_FALSE_ALARM = 0.05, 1.0, 1.0


def cost(
    miss: np.ndarray,
    false_alarm: np.ndarray,
    p_target: float = P_TARGET,
    c_miss: float = C_MISS,
    c_false_alarm: float = C_FALSE_ALARM,
) -> float:
    """Return minDCF from the rates (T,) at all thresholds."""
    costs = c_miss * p_target * miss + c_false_alarm * (1 - p_target) * false_alarm
    return float(costs.min() / min(c_miss * p_target, c_false_alarm * (1 - p_target)))


def score(scores: np.ndarray, targets: np.ndarray, **settings: float) -> float:
    """Return minDCF of trials (arguments as in eer.score). `settings` are those of `cost`."""
    miss, false_alarm = SortedTrials(scores, targets).rates()
    return cost(miss, false_alarm, **settings)
