"""Sustained vowels: voiced sounds last longer at their own pitch, all others stay as they are."""

import numpy as np
import pytest

from enhance_cli.data.sustain import sustain

RATE = 16000


def buzz(pitch: float, seconds: float) -> np.ndarray:
    """Return a voice-like sound: harmonics up to 4 kHz."""
    time = np.arange(int(seconds * RATE)) / RATE
    return sum(np.cos(2 * np.pi * pitch * k * time) / k for k in range(1, int(4000 / pitch))) * 0.05


def hiss(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(int(seconds * RATE)) * 0.05


def pitch_of(audio: np.ndarray) -> float:
    """Return the frequency of the lowest strong line of the spectrum in Hz."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(audio.size)))
    return float(np.argmax(spectrum) * RATE / audio.size)


@pytest.mark.parametrize("pitch", [90.0, 220.0, 430.0])
def test_a_vowel_becomes_longer_at_the_same_pitch_and_level(pitch):
    vowel = buzz(pitch, 0.5)
    longer = sustain(vowel, RATE, factor=3.0, samples=10 * RATE)
    assert longer.size / RATE == pytest.approx(1.4, abs=0.15)
    inner = longer[RATE // 4 : -RATE // 4]
    assert pitch_of(inner) == pytest.approx(pitch, abs=3)
    assert np.std(inner) == pytest.approx(np.std(vowel), rel=0.05)


def test_consonants_and_pauses_keep_their_length():
    speech = np.concatenate([hiss(0.5), np.zeros(RATE // 2), hiss(0.5)])
    assert sustain(speech, RATE, factor=5.0, samples=10 * RATE).size / RATE == pytest.approx(1.5, abs=0.1)


def test_no_more_than_was_asked_for_is_made_and_a_click_is_too_short():
    assert sustain(buzz(100, 1.0), RATE, factor=4.0, samples=RATE).size == RATE
    assert sustain(np.zeros(10), RATE, factor=4.0, samples=RATE).size == 0
