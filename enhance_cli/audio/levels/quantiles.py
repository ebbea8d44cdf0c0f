"""Track quantiles of values that arrive one at a time, by stochastic approximation.

The estimate moves up by 2 q s for every larger value, and down by 2 (1 - q) s for every smaller one. These steps balance at
the quantile q. The first steps are larger, like the updates of a running mean over all values.
"""

import numpy as np

UNKNOWN = -1000.0  # far below any level in dB
EARLY = 8.0  # size of the first step, in the unit of the values. The n-th step is this divided by n, or the usual step


class Quantiles:
    """Follow K quantiles in each of C channels."""

    def __init__(self, quantiles: np.ndarray, steps: np.ndarray, channels: int):
        """Set `quantiles` (K,) from 0 to 1, and `steps` (K,): smallest step at full weight, in the unit of the values."""
        self._up, self._down, self._steps = 2 * quantiles, 2 * (quantiles - 1), steps
        self._values = np.full((channels, quantiles.size), UNKNOWN)
        self._weights = np.zeros((channels, quantiles.size))

    def push(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Update the quantiles by values (C, K) with weights 0 to 1. Returns the quantiles, UNKNOWN before the first weight."""
        begun = self._weights > 0
        self._values = np.where(begun | (weights == 0), self._values, values)
        self._weights = self._weights + weights
        steps = weights * np.maximum(self._steps, EARLY / np.maximum(self._weights, 1))
        moves = np.where(values > self._values, self._up, np.where(values < self._values, self._down, 0.0))
        self._values = self._values + np.where(weights > 0, steps * moves, 0)
        return self._values
