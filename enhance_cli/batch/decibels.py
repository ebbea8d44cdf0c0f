"""Convert measured values to the numbers in a record."""

import math


def decibels(factor: float) -> float:
    """Return an amplitude factor in dB."""
    return 20 * math.log10(factor) if factor > 0 else -math.inf


def rounded(value: float | None, shift: float = 0.0) -> float | None:
    """Return `value` + `shift` with two decimals, or None if the value is missing or not finite."""
    return None if value is None or not math.isfinite(value) else round(float(value) + shift, 2)
