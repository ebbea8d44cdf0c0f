"""SI-SDR against values worked out by hand."""

import numpy as np
import pytest

from enhance_cli.errors import AudioError
from enhance_cli.metrics import load

score = load("si_sdr")


def test_orthogonal_noise_of_a_tenth_of_the_energy_is_10_db():
    reference = np.array([1.0, 1.0, 1.0, 1.0])
    noise = np.sqrt(0.1) * np.array([1.0, -1.0, 1.0, -1.0])
    assert score(reference, reference + noise, 16000) == pytest.approx(10.0)


def test_only_the_part_across_the_reference_is_distortion():
    # (3, 4) on (1, 0): target (3, 0), distortion (0, 4), so 10 log10(9 / 16).
    assert score(np.array([1.0, 0.0]), np.array([3.0, 4.0]), 16000) == pytest.approx(-2.4988, abs=1e-4)


@pytest.mark.parametrize("gain", [1e-4, 0.5, -1.0, 20.0])
def test_gain_does_not_change_the_score(gain):
    time = np.arange(16000) / 16000
    reference = np.sin(2 * np.pi * 440 * time)
    estimate = reference + 0.1 * np.sin(2 * np.pi * 1000 * time)
    assert score(reference, gain * estimate, 16000) == pytest.approx(20.0, abs=1e-6)


def test_identical_is_infinite_and_silence_is_minus_infinite():
    reference = np.sin(np.arange(1000))
    assert score(reference, reference, 16000) == np.inf
    assert score(reference, np.zeros(1000), 16000) == -np.inf


def test_silent_reference_is_refused():
    with pytest.raises(AudioError, match="^SI-SDR is not defined: the reference is digital silence$"):
        score(np.zeros(100), np.ones(100), 16000)


def test_files_of_single_precision_are_compared_in_double():
    """An error of -130 dB is not lost in the rounding of the projection."""
    time = np.arange(16000) / 16000
    reference = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    estimate = reference + (3e-7 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    assert score(reference, estimate, 16000) == pytest.approx(
        score(*np.float64([reference, estimate]), 16000), abs=1e-6
    )
