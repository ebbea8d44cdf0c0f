"""Measure the delay of an estimate by the peak of its cross-correlation with the reference.

Models and codecs that do not compensate their look-ahead write files that are late by a constant. That lowers every score that
compares samples, and the score does not tell why.
"""

import numpy as np
from scipy.fft import next_fast_len

MAX_DELAY = 0.5  # s: later ones are not looked for
MIN_DELAY = 0.0005  # s: shifts below it are within the width of the peak
MIN_PEAK_RATIO = 1.2  # times as high as the correlation without a shift
MIN_CORRELATION = 0.3  # correlation coefficient


def delay(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """Return the seconds by which `estimate` (N,) is late, negative where it is early, both at `rate` Hz.

    The result is 0 for less than half a millisecond, and where the cross-correlation has no clear peak elsewhere: there it must
    reach a coefficient of .3 and 1.2 times its value without a shift.
    """
    reference, estimate = reference.astype(np.float64), estimate.astype(np.float64)
    size = next_fast_len(2 * reference.size, real=True)
    truth, found = np.fft.rfft(reference, size), np.fft.rfft(estimate, size)
    correlation = np.abs(np.fft.irfft(found * truth.conj(), size))
    reach = min(round(MAX_DELAY * rate), reference.size - 1)
    lags = np.arange(-reach, reach + 1)
    lag = int(lags[np.argmax(correlation[lags])])
    alike = MIN_CORRELATION * np.linalg.norm(reference) * np.linalg.norm(estimate)
    if abs(lag) < MIN_DELAY * rate or correlation[lag] <= max(MIN_PEAK_RATIO * correlation[0], alike):
        return 0.0
    return lag / rate
