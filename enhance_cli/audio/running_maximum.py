"""Find the largest of every few values in a row, quicker than scipy.ndimage and without its import of 0.2 s."""

import numpy as np


def running_maximum(x: np.ndarray, size: int) -> np.ndarray:
    """Return the largest (n - size + 1,) of every `size` values in a row of x (n,)."""
    reach = 1  # values of which x holds the largest
    while 2 * reach <= size:
        x = np.maximum(x[:-reach], x[reach:])
        reach *= 2
    more = size - reach
    return np.maximum(x[:-more], x[more:]) if more else x


def largest_around(x: np.ndarray, size: int) -> np.ndarray:
    """Return the largest of the `size` values around each value of x (n,), with zeros before and after x."""
    return running_maximum(np.pad(x, (size // 2, size - 1 - size // 2)), size)
