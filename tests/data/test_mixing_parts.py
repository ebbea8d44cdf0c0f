"""The parts that a mixture is made of, number by number: speeds, levels, filters, colors, and who is drawn how often."""

import numpy as np
import pytest

from enhance_cli.data.corpus import Clip, Corpus, Source
from enhance_cli.data.mixing import (
    Drawer,
    Mix,
    Mixer,
    active_level,
    colored_noise,
    equalize,
    fast_length,
    low_pass,
    stretch,
)

RATE = 16000
CHANCES = ("room", "babble", "coloured", "equaliser", "clean", "noise_only", "band_limit", "clipping", "codec")
OFF = dict.fromkeys((*CHANCES, "second_noise"), 0.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def tone(frequency: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def corpus(*clips: np.ndarray, sources=(Source("x"),), of=None) -> Corpus:
    """Clips one after the other, the k-th of source `of[k]`. All are for training."""
    ends = np.cumsum([len(clip) for clip in clips])
    listed = [
        Clip((of or [0] * len(clips))[k], f"g{k}", end - len(clips[k]), len(clips[k])) for k, end in enumerate(ends)
    ]
    return Corpus((np.concatenate(clips) * 32767).astype(np.int16), listed, list(sources), whole=True)


def mixer(speech: Corpus, noise: Corpus, rate: int = RATE, **changes) -> Mixer:
    return Mixer(speech, noise, rooms=None, mix=Mix(**OFF | {"seconds": 1.0} | changes), rate=rate, seed=0)


def above(audio: np.ndarray, frequency: float, rate: int = RATE) -> float:
    """Share of the energy above a frequency."""
    power = np.abs(np.fft.rfft(audio)) ** 2
    return power[np.fft.rfftfreq(audio.size, 1 / rate) > frequency].sum() / power.sum()


def test_half_the_samples_are_twice_the_speed_at_the_same_level():
    fast = stretch(tone(400), RATE // 2)
    assert np.allclose(fast, tone(800, 0.5), atol=1e-9) and stretch(tone(400), 2 * RATE).size == 2 * RATE


def test_lengths_are_multiples_of_400_samples():
    assert [fast_length(n) for n in (1, 590, 610, 1000.1, 16000)] == [400, 400, 800, 1200, 16000]


def test_a_speed_raises_the_pitch():
    speech = Drawer(corpus(0.5 * tone(200, 4)), [Clip(0, "g", 0, 4 * RATE)])
    drawn = speech.draw(RATE, rng(), (1.25, 1.25))
    assert drawn.size == RATE and np.argmax(np.abs(np.fft.rfft(drawn))) == 250
    assert np.abs(drawn).max() == pytest.approx(0.5, abs=0.01)


def test_clips_are_drawn_by_their_length_and_sources_by_their_weight():
    sources = (Source("x", weight=3.0), Source("y", weight=1.0))
    held = corpus(np.zeros(3000), np.zeros(1000), np.zeros(500), sources=sources, of=[0, 0, 1])
    drawer, draws = Drawer(held, held.train), rng()
    counts = np.bincount([drawer.pick(draws).start for _ in range(4000)], minlength=4001)
    assert counts[[0, 3000, 4000]] / 4000 == pytest.approx([9 / 16, 3 / 16, 4 / 16], abs=0.03)


def test_pauses_do_not_lower_the_active_level():
    voice = np.concatenate([0.1 * np.ones(6400), np.zeros(6400), 1e-3 * np.ones(319)])
    assert active_level(voice) == pytest.approx(0.1) and active_level(np.zeros(1000)) == 0
    assert active_level(voice[:6400] * np.repeat([1, 2], 3200)) == pytest.approx(0.1 * np.sqrt(17 / 5))


@pytest.mark.parametrize("frequency, gain", [(2900, 1), (3000, 1), (3100, 0.5), (3150, 0.25), (3250, 0)])
def test_a_low_pass_ends_within_200_hz(frequency, gain):
    assert np.allclose(low_pass(tone(frequency), 3000, RATE), gain * tone(frequency), atol=1e-9)


@pytest.mark.parametrize("decibels", [3.0, 6.0])
def test_the_tone_is_changed_smoothly_by_about_as_many_decibels(decibels):
    pulse = np.zeros(4096)
    pulse[0] = 1
    draws = rng()
    gains = 20 * np.log10([np.abs(np.fft.rfft(equalize(pulse, draws, decibels))) for _ in range(400)])
    assert gains[:, [0, -1]].std() == pytest.approx(decibels, rel=0.1) and abs(gains.mean()) < 0.1 * decibels
    assert np.abs(np.diff(gains[:, 200:], axis=1)).max() < 0.1 * decibels  # from bin to bin
    assert np.array_equal(equalize(pulse, rng(), 0.0).round(12), pulse)


def test_colored_noise_is_between_white_and_red_and_comes_and_goes_half_of_the_time():
    draws, slopes, swings = rng(), [], []
    frequencies = np.log(np.arange(10, 8001))
    for _ in range(200):
        noise = colored_noise(RATE, draws)
        slopes.append(np.polyfit(frequencies, np.log(np.abs(np.fft.rfft(noise))[10:8001]), 1)[0])
        levels = np.sqrt(np.square(np.diff(noise))[:15995].reshape(7, -1).mean(axis=1))
        swings.append(levels.max() / levels.min())
    assert -1.35 < min(slopes) < -0.9 and -0.2 < max(slopes) < 0.1
    assert np.mean(np.array(swings) > 1.35) == pytest.approx(0.5, abs=0.1)


HISS = 0.05 * rng(5).standard_normal(3 * RATE)


@pytest.mark.parametrize("decibels", [-6, 0, 6])
def test_the_level_is_that_of_the_recipe(decibels):
    noisy, clean = mixer(corpus(0.3 * tone(300, 3)), corpus(HISS), level=(decibels, decibels), snr=(10, 10)).batch(0, 2)
    assert [active_level(x) for x in noisy] == pytest.approx([0.1 * 10 ** (decibels / 20)] * 2, rel=1e-3)


def test_a_band_limit_cuts_the_mixture_and_the_target_alike():
    noisy, clean = mixer(corpus(HISS), corpus(HISS[::-1]), band_limit=1.0, speed=(1, 1)).batch(0, 12)
    ends = [[np.flatnonzero(np.abs(np.fft.rfft(x)) > 1e-4)[-1] for x in side] for side in (noisy, clean)]
    assert np.abs(np.subtract(*ends)).max() <= 2
    assert 3300 <= min(ends[0]) < 5000 < 6500 < max(ends[0]) <= 7800


def test_wide_band_items_end_at_8_khz_at_higher_rates():
    noisy, clean = mixer(corpus(HISS), corpus(HISS[::-1]), rate=48000, seconds=0.5, wide_band=1.0).batch(0, 2)
    for audio in (*noisy, *clean):
        assert above(audio, 8110, 48000) < 1e-6 and above(audio, 7800, 48000) > 1e-3


def test_babble_is_of_voices_and_colored_noise_of_neither_corpus():
    quiet = {"noise_only": 1.0}
    voices, hiss = corpus(0.3 * tone(300, 3)), corpus(HISS)
    assert above(mixer(voices, hiss, babble=1.0, **quiet).batch(0, 1)[0][0], 500) < 1e-3
    assert above(mixer(voices, hiss, **quiet).batch(0, 1)[0][0], 500) > 0.5
    colored = mixer(voices, corpus(0.3 * tone(700, 3)), coloured=1.0, **quiet).batch(0, 1)[0][0]
    assert np.abs(np.fft.rfft(colored))[650:750].max() ** 2 < 0.1 * np.square(np.abs(np.fft.rfft(colored))).sum()


def test_short_clips_are_strung_together_with_pauses_until_the_window_is_full():
    speech = mixer(corpus(0.3 * tone(300, 0.2)), corpus(HISS), speed=(1.0, 1.0), seconds=3.0).utterance(rng())
    assert speech.size == 3 * RATE
    silent = np.abs(speech) < 1e-9
    starts = np.flatnonzero(np.diff(silent.astype(int)) == 1)
    pauses = [n for n in np.diff(np.flatnonzero(np.diff(silent.astype(int)) != 0)) if n > 400]
    assert len(starts) >= 4 and all(0.04 * RATE < n < 0.51 * RATE for n in pauses)


def test_a_second_noise_is_added_to_the_first_in_its_share_of_the_items():
    sources = (Source("x"), Source("y"))
    noise = corpus(0.3 * tone(1000, 3), 0.3 * tone(3000, 3), sources=sources, of=[0, 1])
    both = mixer(corpus(HISS), noise, noise_only=1.0, second_noise=1.0)
    counts = []
    for number in range(40):
        spectrum = np.abs(np.fft.rfft(both.batch(number, 1)[0][0]))
        low, high = spectrum[690:1410].max(), spectrum[2090:4210].max()  # by speed 0.7 to 1.4
        counts.append(min(low, high) > 0.25 * max(low, high))
    assert 0.25 < np.mean(counts) < 0.75  # half of the pairs are of one and the same source
