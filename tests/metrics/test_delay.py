"""The delay of an estimate of real speech."""

import numpy as np
import pytest

from enhance_cli.metrics.delay import delay

RATE = 16000


def shifted(audio, samples):
    return np.roll(np.pad(audio, 8000), samples)[8000:-8000]


@pytest.mark.parametrize("samples", [-160, 8, 160, 480, 7999])
@pytest.mark.parametrize("gain", [1.0, -0.1])
def test_a_shift_is_found_to_the_sample_also_in_noise(clean, noisy, samples, gain):
    assert delay(clean, gain * shifted(clean, samples), RATE) == samples / RATE
    if abs(samples) < 7999:  # of a shift by half a second much of the clip has gone
        assert delay(clean, gain * shifted(noisy, samples), RATE) == pytest.approx(samples / RATE, abs=2 / RATE)


def test_what_is_in_time_has_no_delay(clean, noisy):
    low_passed = np.convolve(clean, np.ones(9) / 9, "same")
    for estimate in (clean, noisy, low_passed, shifted(clean, 7)):
        assert delay(clean, estimate, RATE) == 0


def test_unlike_signals_have_no_delay(clean):
    noise = np.random.default_rng(0).standard_normal(clean.size)
    for estimate in (noise, 0 * noise, shifted(clean, 8000 + 800)):
        assert delay(clean, estimate, RATE) == 0
    assert delay(noise[:1], noise[:1], RATE) == 0


def test_lengths_whose_transform_is_odd_have_their_delay_too():
    """Twice 1093 samples are transformed as 2187, which is 3 to the 7th."""
    audio = np.random.default_rng(0).standard_normal(1093)
    for samples in (-100, 100):
        assert delay(audio, np.roll(audio, samples), RATE) == samples / RATE


def test_half_a_second_is_looked_at_and_no_more():
    noise = np.random.default_rng(0).standard_normal(3 * RATE)
    for samples, found in ((8000, 0.5), (-8000, -0.5), (8001, 0), (-8001, 0)):
        assert delay(noise, shifted(noise, samples), RATE) == found


@pytest.mark.parametrize("gain, found", [(1.15, 0), (1.25, 100 / RATE)])
def test_an_echo_is_a_delay_only_if_it_is_clearly_the_louder_of_the_two(gain, found):
    noise = np.random.default_rng(0).standard_normal(3 * RATE)
    assert delay(noise, noise + gain * shifted(noise, 100), RATE) == found
