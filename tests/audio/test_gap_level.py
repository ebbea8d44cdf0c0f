"""A filling that is too soft is raised to the sound on either side of it, and nothing else changes."""

import numpy as np
import pytest

from enhance_cli.audio.gaps.level import raised

RATE = 16000
GAP = slice(16000, 20800)  # 300 ms


def noise(seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((2, 2 * RATE)).astype(np.float32)


def level(audio: np.ndarray) -> float:
    return 10 * np.log10(np.square(audio, dtype=np.float64).mean())


@pytest.mark.parametrize("softer, expected", [(0, 0), (10, -3), (40, -28)])
def test_most_of_the_level_that_is_lacking_is_made_up_to_a_limit(softer, expected):
    wave = noise()
    wave[:, GAP] *= 10 ** (-softer / 20)
    out = raised(wave, GAP.start, GAP.stop, RATE)
    middle = slice(GAP.start + 1000, GAP.stop - 1000)
    assert level(out[:, middle]) == pytest.approx(level(noise()[:, middle]) + expected, abs=1.0)
    outside = np.r_[: GAP.start, GAP.stop : wave.shape[1]]
    assert np.array_equal(out[:, outside], wave[:, outside])


def test_it_never_makes_a_filling_softer_and_follows_a_fade_into_a_pause():
    wave = noise()
    wave[:, GAP.stop :] *= 1e-3
    out = raised(wave, GAP.start, GAP.stop, RATE)
    np.testing.assert_allclose(out, wave, atol=0.01)
    wave[:, GAP] *= 0.2
    out = raised(wave, GAP.start, GAP.stop, RATE)
    third = (GAP.stop - GAP.start) // 3
    gains = [level(part[:, : third // 2]) for part in (out[:, GAP], out[:, GAP.stop - third : GAP.stop])]
    assert gains[0] > level(wave[:, GAP]) + 3 and gains[1] == pytest.approx(level(wave[:, GAP]), abs=1.0)


def test_bands_are_raised_by_themselves_and_strength_is_a_share():
    time = np.arange(2 * RATE) / RATE
    low, high = 0.1 * np.sin(2 * np.pi * 500 * time), 0.1 * np.sin(2 * np.pi * 3000 * time)
    wave = np.stack([low, low + high]).astype(np.float32)
    wave[:, GAP] = np.stack([low, low + 0.2 * high])[:, GAP]
    out = raised(wave, GAP.start, GAP.stop, RATE)
    middle = slice(GAP.start + 1000, GAP.stop - 1000)
    np.testing.assert_allclose(out[0, middle], wave[0, middle], atol=2e-3)
    added = out[1, middle] - wave[1, middle]
    share = float(added @ high[middle] / (high[middle] @ high[middle]))
    assert share == pytest.approx(0.2 * (10 ** (0.7 * 13.98 / 20) - 1), rel=0.1)
    half = raised(wave, GAP.start, GAP.stop, RATE, strength=0.5)[1, middle] - wave[1, middle]
    assert 0.2 < half @ added / (added @ added) < 0.5


@pytest.mark.parametrize("begin, end", [(0, 4800), (27200, 32000), (10, 31990)])
def test_without_sound_on_both_sides_it_stays(begin, end):
    wave = noise()
    wave[:, begin:end] *= 0.1
    assert np.array_equal(raised(wave, begin, end, RATE), wave)
