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


def distance_by_definition(reference: np.ndarray, estimate: np.ndarray, gaps) -> float:
    """Frame by frame: 512 samples every 128, those of them that touch a gap."""
    starts = [n for n in range(0, len(reference), 128) if any(n < end and n + 512 > start for start, end in gaps)]
    one, other = (
        np.array([np.abs(np.fft.rfft(np.hanning(512) * np.pad(x, (0, 512))[n : n + 512])) ** 2 for n in starts])
        for x in (reference, estimate)
    )
    floor = 1e-6 * one.max()
    difference = np.log10(np.maximum(one, floor)) - np.log10(np.maximum(other, floor))
    return float(np.mean(np.sqrt(np.mean(difference**2, axis=1))))


@pytest.mark.parametrize("gaps", [GAPS, [(0, 1)], [(512, 640), (2000, 2001)], [(3 * RATE - 3, 3 * RATE)]])
def test_the_distance_is_that_of_the_frames_that_touch_a_gap(gaps):
    """Also of a gap that ends with the recording, behind the last whole frame."""
    rng = np.random.default_rng(0)
    reference = np.linspace(0.01, 0.1, 3 * RATE) * rng.standard_normal(3 * RATE)
    for made in (0 * reference, 3 * reference, 0.1 * rng.standard_normal(3 * RATE)):
        estimate = reference.copy()
        for start, end in gaps:
            estimate[start:end] = made[start:end]
        found = score(reference, estimate, RATE, gaps)["lsd"]
        assert found == pytest.approx(distance_by_definition(reference, estimate, gaps), rel=1e-9)
    assert score(reference, 10 * reference, RATE, [(0, 3 * RATE)])["lsd"] == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("gain, sdr, level", [(0.5, 6.02, -6.02), (1.1, 20, 0.83), (1 + 1e-6, 100, 0)])
def test_a_gain_is_a_known_error_and_a_known_level(gain, sdr, level):
    reference = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)
    found = score(reference, with_gaps(reference, gain * reference), RATE, GAPS)
    assert found["sdr"] == pytest.approx(sdr, abs=0.01) and found["level"] == pytest.approx(level, abs=0.01)


def test_all_gaps_count_by_their_energy():
    """The first, twice as long, is filled with silence, the second as it was: two thirds of the energy is missing."""
    reference = np.ones(3 * RATE)
    estimate = np.where(np.arange(3 * RATE) < 10000, 0.0, 1.0)
    found = score(reference, estimate, RATE, GAPS)
    assert found["sdr"] == pytest.approx(1.76, abs=0.01) and found["level"] == pytest.approx(-4.77, abs=0.01)


def test_a_reference_without_sound_is_refused():
    with pytest.raises(AudioError, match="silent where the gaps are"):
        score(np.zeros(RATE), np.ones(RATE), RATE, [(0, 100)])
