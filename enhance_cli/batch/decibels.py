"""Turn measured values into the numbers of a record."""

import math


def decibels(factor: float) -> float:
    """Return an amplitude factor in dB."""
    return 20 * math.log10(factor) if factor > 0 else -math.inf


def rounded(value: float | None, shift: float = 0.0) -> float | None:
    """Return a measured value for a record, with `shift` added, or None where there is none."""
    return None if value is None or not math.isfinite(value) else round(float(value) + shift, 2)
