"""Compute the EER: the larger of misses and false alarms at the threshold where they come closest, 0 to 1."""

import numpy as np

from enhance_cli.metrics.trials import SortedTrials


def rate(miss: np.ndarray, false_alarm: np.ndarray) -> float:
    """Return the EER from the rates (T,) at all thresholds."""
    at = _crossing(miss, false_alarm)
    return float(max(miss[at], false_alarm[at]))


def score(scores: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return (EER, its threshold) of trials with `scores` (K,), higher for one speaker, and `targets` (K,) bool.

    Raises UsageError unless there are target and non-target trials.
    """
    trials = SortedTrials(scores, targets)
    rates = trials.rates()
    return rate(*rates), trials.threshold(_crossing(*rates))


def _crossing(miss: np.ndarray, false_alarm: np.ndarray) -> int:
    return int(np.argmin(np.abs(miss - false_alarm)))
