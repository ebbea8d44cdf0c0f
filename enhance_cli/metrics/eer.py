"""EER, the equal error rate: at the threshold where misses and false alarms come closest, the larger of the two, 0 to 1."""

import numpy as np

from enhance_cli.metrics.trials import Sorted


def rate(miss: np.ndarray, false_alarm: np.ndarray) -> float:
    """From the rates (T,) at all thresholds."""
    at = _place(miss, false_alarm)
    return float(max(miss[at], false_alarm[at]))


def score(scores: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """(EER, its threshold) of trials with `scores` (K,), higher for one speaker, and `targets` (K,) bool.

    Raises UsageError unless there are both kinds.
    """
    trials = Sorted(scores, targets)
    rates = trials.rates()
    return rate(*rates), trials.threshold(_place(*rates))


def _place(miss: np.ndarray, false_alarm: np.ndarray) -> int:
    return int(np.argmin(np.abs(miss - false_alarm)))
