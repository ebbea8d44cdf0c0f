"""Linear prediction: exact on what can be predicted, as loud as the noise around it, silent where nothing is known."""

import numpy as np
import pytest
from scipy.signal import lfilter

from enhance_cli.audio.gaps.linear_prediction import coefficients, interpolate, predict

RATE = 16000


def tones(samples: int, *, noise: float = 0.0) -> np.ndarray:
    t = np.arange(samples) / RATE
    wave = sum(0.1 * np.sin(2 * np.pi * f * t + f) for f in (220, 443, 1300))
    return wave + noise * np.random.default_rng(0).standard_normal(samples)


def sdr(wanted: np.ndarray, made: np.ndarray) -> float:
    return 10 * np.log10(np.square(wanted).sum() / np.square(wanted - made).sum())


@pytest.mark.parametrize("milliseconds", [1, 5, 20, 100])
def test_tones_are_continued_over_a_gap(milliseconds):
    wave, count = tones(8000), RATE * milliseconds // 1000
    begin, end = 4000, 4000 + count
    assert sdr(wave[begin:end], interpolate(wave[:begin], wave[end:], count, RATE)) > 25


def test_from_one_side_the_prediction_fades_to_silence():
    wave = tones(8000)
    after, before = interpolate(wave[:4000], wave[:0], 800, RATE), interpolate(wave[:0], wave[4800:], 800, RATE)
    assert sdr(wave[4000:4100], after[:100]) > 15 and np.abs(after[-20:]).max() < 0.01
    assert sdr(wave[4700:4800], before[-100:]) > 15 and np.abs(before[:20]).max() < 0.01


@pytest.mark.parametrize("rate, milliseconds", [(8000, 60), (16000, 30), (48000, 30), (48000, 40), (48000, 60)])
def test_a_filling_in_noise_is_as_loud_as_the_noise(rate, milliseconds):
    """The mean of all sounds that might have been there is 10 dB softer: a dropout."""
    noise, count = 0.1 * np.random.default_rng(0).standard_normal(rate), milliseconds * rate // 1000
    begin = rate // 2
    both = interpolate(noise[:begin], noise[begin + count :], count, rate)
    left = interpolate(noise[:begin], noise[:0], count, rate)[: count // 4]  # then it fades
    right = interpolate(noise[:0], noise[begin + count :], count, rate)[-count // 4 :]
    for filling in (both, *np.array_split(both, 4)[1:3], left, right):
        assert abs(20 * np.log10(filling.std() / 0.1)) < 3


@pytest.mark.parametrize("milliseconds", [60, 100])
def test_nothing_random_is_added_to_a_tone_or_to_a_held_value(milliseconds):
    count = RATE * milliseconds // 1000
    for wave in (0.3 * np.sin(2 * np.pi * 440 / RATE * np.arange(8000)), np.full(8000, 0.3)):
        made = interpolate(wave[:4000], wave[4000 + count :], count, RATE)
        assert sdr(wave[4000 : 4000 + count], made) > 65


def test_noise_is_drawn_anew_for_each_gap_and_alike_for_channels_that_differ_in_level():
    noise, count = 0.1 * np.random.default_rng(0).standard_normal(RATE), 960
    fill = lambda wave, begin: interpolate(wave[:begin], wave[begin + count :], count, RATE)
    assert np.array_equal(fill(noise, 4000), fill(noise, 4000))
    np.testing.assert_allclose(fill(0.5 * noise, 4000), 0.5 * fill(noise, 4000), atol=1e-6)
    assert abs(np.corrcoef(fill(noise, 4000), fill(noise, 8000))[0, 1]) < 0.2


def pulses(rate: int = RATE) -> np.ndarray:
    """A vowel-like sound: pulses through two resonances, and a little noise."""
    wave = np.zeros(rate)
    wave[:: rate // 110] = 1
    wave += 0.002 * np.random.default_rng(3).standard_normal(rate)
    for frequency in (500, 1500):
        pole = 0.98 * np.exp(2j * np.pi * frequency / rate)
        wave = lfilter([1], [1, -2 * pole.real, abs(pole) ** 2], wave)
    return 0.1 * wave / wave.std()


def test_short_gaps_in_a_voice_or_of_a_few_milliseconds_get_the_mean():
    """There, noise would cost more of the waveform than its level is worth."""
    voice, noise = pulses(), 0.1 * np.random.default_rng(0).standard_normal(RATE)
    for wave, count in ((voice, 320), (noise, 80)):
        made = interpolate(wave[:4000], wave[4000 + count :], count, RATE)
        assert np.array_equal(made, interpolate(wave[:4000], wave[4000 + count :], count, RATE))
        assert sdr(wave[4000 : 4000 + count], made) > (10 if wave is voice else -1)


def test_between_a_vowel_and_an_s_one_becomes_the_other():
    """Coefficients of both sides together would fill such a gap with the s alone."""
    vowel, hiss = pulses(), lfilter([1, -2, 1], [1], np.random.default_rng(1).standard_normal(RATE))
    hiss *= 0.05 / hiss.std()
    for left, right in ((vowel, hiss), (hiss, vowel)):
        made = interpolate(left[:8000], right[8000:], 1600, RATE)
        first, last = (np.square(np.abs(np.fft.rfft(part * np.hanning(400)))) for part in (made[:400], made[-400:]))
        if left is hiss:
            first, last = last, first
        low, high = slice(0, 50), slice(100, 201)  # below 2 kHz, above 4 kHz
        assert first[low].sum() > 20 * first[high].sum() and last[high].sum() > 20 * last[low].sum()


@pytest.mark.parametrize("known", [0, 5, 100])
def test_without_anything_known_it_is_silent(known):
    silence = np.zeros(known)
    assert not interpolate(silence, silence, 50, RATE).any()
    assert not interpolate(np.ones(5), np.ones(5), 50, RATE).any()  # too short to know anything


def test_a_dull_sound_does_not_explode():
    """What ends at 2 kHz is so predictable that the equations have no stable solution without a floor."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(48000))
    spectrum[2000:] = 0
    wave = np.fft.irfft(spectrum)
    for begin in range(6000, 42000, 6000):
        made = interpolate(wave[:begin], wave[begin + 960 :], 960, 48000)
        assert np.abs(made).max() < 1.5 * np.abs(wave).max()


def test_coefficients_of_a_known_process_are_found_in_pieces_of_it():
    true = np.array([1.0, -1.6, 0.81])
    wave = predict(np.zeros(2), true, 0)
    noise = np.random.default_rng(0).standard_normal(8000)
    wave = np.zeros(8000)
    for n in range(2, 8000):
        wave[n] = noise[n] + 1.6 * wave[n - 1] - 0.81 * wave[n - 2]
    pieces = [wave[1000:3000], wave[3500:7500]]
    found = coefficients(pieces, [np.ones(2000), np.ones(4000)], 2)
    np.testing.assert_allclose(found, true, atol=0.03)
    assert np.abs(np.roots(coefficients(pieces, [np.ones(2000), np.ones(4000)], 50))).max() < 1
