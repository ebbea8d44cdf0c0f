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
    with pytest.raises(AudioError) as refused:
        score(reference, noise, RATE)
    reason = "the reference is digital silence" if bad == "silence" else "the reference has no pauses"
    assert str(refused.value) == f"pause depth is not defined: {reason}"


def frames(*runs: tuple[int, float]) -> np.ndarray:
    """Runs of frames of 20 samples (count, level in dB), at 1 kHz."""
    return np.concatenate([np.full(20 * count, 10 ** (level / 20)) for count, level in runs])


@pytest.mark.parametrize("level, depth", [(-19.7, 40 - 0.79), (-20.3, 40)])
def test_voice_is_what_lies_within_20_db_of_the_active_level(level, depth):
    """If the middle is voice, of which the estimate has nothing, a sixth of the voice's energy is missing: .79 dB."""
    reference, estimate = frames((100, 0), (20, level), (20, -60)), frames((100, 0), (20, -200), (20, -40))
    assert score(reference, estimate, 1000) == pytest.approx(depth, abs=0.01)


@pytest.mark.parametrize("level, depth", [(-38.5, 40), (-40.5, 22.75)])
def test_a_pause_lies_40_db_below_it_with_two_frames_on_either_side(level, depth):
    """If the end is a pause too, 20 of 38 frames are left at -20 dB."""
    reference, estimate = frames((100, 0), (20, -60), (20, level)), frames((100, 0), (20, -40), (20, -20))
    assert score(reference, estimate, 1000) == pytest.approx(depth, abs=0.1)


def test_a_pause_at_the_beginning_or_the_end_counts_to_the_last_frame():
    """8 frames of 10 are away from the voice, and two of them are as loud as it."""
    reference, estimate = frames((10, -60), (100, 0)), frames((2, 0), (8, -60), (100, 0))
    for turn in (1, -1):
        assert score(reference[::turn], estimate[::turn], 1000) == pytest.approx(10 * np.log10(8 / 2), abs=0.01)


def test_five_frames_of_pause_are_enough():
    assert score(frames((100, 0), (7, -60)), frames((100, 0), (7, -50)), 1000) == pytest.approx(50)
    with pytest.raises(AudioError, match="no pauses"):
        score(frames((100, 0), (6, -60)), frames((100, 0), (6, -50)), 1000)


def test_no_depth_lies_beyond_100_db():
    reference = frames((100, 0), (20, -60))
    assert score(reference, frames((100, 0), (20, -400)), 1000) == 100
    assert score(reference, frames((100, 0), (20, -60)) * (reference > 0.1), 1000) == 100
    assert score(reference, reference * (reference < 0.1), 1000) == -100  # nothing but what was in the pause


def test_a_click_of_three_frames_is_no_voice():
    audio = np.zeros(RATE)
    audio[8000:8960] = 0.5
    with pytest.raises(AudioError, match="pause depth is not defined"):
        score(audio, audio, RATE)
