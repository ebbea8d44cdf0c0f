"""The measures of fillings have the values that theory gives, and see nothing but the gaps."""

import numpy as np
import pytest

from enhance_cli.errors import AudioError
from enhance_cli.metrics.filled_gaps import score

RATE, GAPS = 16000, [(4000, 5600), (20000, 20800)]


def with_gaps(reference: np.ndarray, made: np.ndarray) -> np.ndarray:
    estimate = reference.copy()
    for start, end in GAPS:
        estimate[start:end] = made[start:end]
    return estimate


def test_silence_louder_and_other_fillings():
    reference, other = 0.1 * np.random.default_rng(0).standard_normal((2, 3 * RATE))
    same = score(reference, reference, RATE, GAPS)
    assert same["lsd"] == 0 and same["level"] == 0 and same["sdr"] >= 100
    silent = score(reference, with_gaps(reference, 0 * reference), RATE, GAPS)
    assert silent["sdr"] == 0 and silent["level"] == -100 and silent["lsd"] > 1
    double = score(reference, with_gaps(reference, 2 * reference), RATE, GAPS)
    assert double["sdr"] == pytest.approx(0, abs=1e-9) and double["level"] == pytest.approx(6.02, abs=0.01)
    drawn = score(reference, with_gaps(reference, other), RATE, GAPS)
    assert drawn["sdr"] == pytest.approx(-3, abs=0.3) and 0.4 < drawn["lsd"] < 0.8 < silent["lsd"]


def test_a_reference_without_sound_is_refused():
    with pytest.raises(AudioError, match="silent where the gaps are"):
        score(np.zeros(RATE), np.ones(RATE), RATE, [(0, 100)])
