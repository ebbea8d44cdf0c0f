"""Pause depth on speech with a known pause: it counts what is left there, and nothing else."""

import numpy as np
import pytest

from enhance_cli.errors import AudioError
from enhance_cli.metrics import load

score = load("pause_depth")
RATE = 16000


@pytest.fixture
def reference(clean) -> np.ndarray:
    """A real clip, a second of silence, and the clip again."""
    return np.concatenate([clean, np.zeros(RATE, np.float32), clean])


@pytest.fixture
def noise(reference) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(reference.size)


def level(reference: np.ndarray) -> float:
    """Mean power of the loud frames, as the measure has it."""
    energy = np.square(reference[: reference.size // 320 * 320].astype(float)).reshape(-1, 320).mean(1)
    return energy[energy > np.square(energy).sum() / energy.sum() / 100].mean()


@pytest.mark.parametrize("decibels", [10, 30, 50])
def test_noise_so_far_below_the_voice_gives_that_depth(reference, noise, decibels):
    quiet = noise * np.sqrt(level(reference) / 10 ** (decibels / 10))
    assert score(reference, reference + quiet, RATE) == pytest.approx(decibels, abs=0.6)


def test_gain_does_not_matter_and_silence_is_as_deep_as_it_gets(reference, noise):
    estimate = reference + 0.01 * noise
    assert score(reference, 0.1 * estimate, RATE) == pytest.approx(score(reference, estimate, RATE))
    gated = np.where(np.arange(reference.size) // RATE == 3, 0, reference)
    assert score(reference, gated, RATE) > 60
    assert score(reference, 0 * reference, RATE) == 100


def test_only_pauses_count(reference, noise, clean):
    """Noise under the voice alone leaves the depth about as it was; noise in the pause alone does not."""
    pause = slice(clean.size, clean.size + RATE)
    inside, outside = reference.astype(float), reference + 0.02 * noise
    inside[pause] += 0.02 * noise[pause]
    outside[pause] = reference[pause]
    assert score(reference, outside, RATE) - score(reference, inside, RATE) > 3


@pytest.mark.parametrize("bad", ["silence", "no pause"])
def test_where_it_has_no_meaning_it_says_so(bad, noise):
    reference = 0 * noise if bad == "silence" else 0.1 * np.sin(np.arange(noise.size) * 0.3)
    with pytest.raises(AudioError, match="pause depth is not defined"):
        score(reference, noise, RATE)
