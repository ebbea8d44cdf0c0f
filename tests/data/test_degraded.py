"""Degraded speech: what each condition promises, and that a crop depends on its number alone."""

import numpy as np
import pytest

from enhance_cli.data.corpus import Clip, Corpus, Source
from enhance_cli.data.degraded import CONDITIONS, Degrader, Views, decibels, voiced_share

RATE = 16000


def corpus(seed: int, length: int = 3 * RATE) -> Corpus:
    """Four voices: harmonics of a pitch of their own that come and go, or noises."""
    rng, time = np.random.default_rng(seed), np.arange(length) / RATE
    voices = [
        np.sin(2 * np.pi * 2 * time).clip(0)
        * sum(np.sin(2 * np.pi * k * (90 + 40 * n) * time) / k for k in range(1, 30))
        for n in range(4)
    ]
    parts = voices if seed else [rng.standard_normal(length) for _ in range(4)]
    audio = np.concatenate([0.1 * part / np.abs(part).max() for part in parts])
    clips = [Clip(0, f"voices/{k}", k * length, length) for k in range(4)]
    return Corpus((audio * 32767).astype(np.int16), clips, [Source("voices", groups="folder", held_out=0.5)])


def degrader(held_out=False, music=True, **changes) -> Degrader:
    decay = np.random.default_rng(3).standard_normal((2, 4000)) * np.exp(-np.arange(4000) / 800)
    views = Views(seconds=1.6, **changes)
    return Degrader(
        corpus(1),
        corpus(0),
        corpus(1) if music else None,
        responses=decay,
        views=views,
        rate=RATE,
        seed=0,
        held_out=held_out,
    )


def test_a_crop_is_a_function_of_its_number():
    first, again, other = degrader().item(5), degrader().item(5), degrader().item(6)
    assert first.shape == (1 + len(CONDITIONS), 25600) and first.dtype == np.float32
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_the_target_is_clean_at_its_level_and_what_is_made_of_it_at_any():
    rows = [degrader(level=(-30, -15), target_level=-20).item(number) for number in range(4)]
    levels = np.array([[decibels(wave) for wave in row] for row in rows])
    assert levels[:, 0] == pytest.approx(np.full(4, -20), abs=0.01)
    assert (levels[:, 1:] > -30.01).all() and (levels[:, 1:] < -14.99).all() and np.ptp(levels[:, 1:]) > 5
    for target, clean, *_ in rows:
        assert np.corrcoef(target, clean)[0, 1] > 0.9999


@pytest.mark.parametrize("condition", CONDITIONS[1:])
def test_every_condition_changes_the_recording_but_not_its_length_level_or_voice(condition):
    speech = corpus(1).audio[: 2 * RATE] / 32768.0
    waves = degrader().file(speech, 0)
    bad = waves[CONDITIONS.index(condition)]
    assert waves[0] == pytest.approx(speech, abs=1e-6)
    assert bad.shape == speech.shape and decibels(bad) == pytest.approx(decibels(speech), abs=0.01)
    assert not np.allclose(bad, speech, atol=1e-3)
    spectra = [np.abs(np.fft.rfft(wave)) for wave in (speech, bad)]
    assert np.corrcoef(*spectra)[0, 1] > 0.3


def test_the_signal_to_noise_ratio_is_the_one_asked_for():
    steady = np.sin(np.arange(RATE))
    noisy = degrader(noise=(6, 6)).treat("noise", steady, np.random.default_rng(0))
    gain = noisy @ steady / (steady @ steady)
    ratio = np.square(gain * steady).mean() / np.square(noisy - gain * steady).mean()
    assert 10 * np.log10(ratio) == pytest.approx(6, abs=0.5)


def test_without_music_voices_babble():
    speech = corpus(1).audio[:RATE] / 32768.0
    babble = degrader(music=False).treat("music", speech, np.random.default_rng(0))
    assert not np.allclose(babble / np.abs(babble).max(), speech / np.abs(speech).max(), atol=0.01)


def test_crops_avoid_silence_and_held_out_voices():
    speech = np.concatenate([np.zeros(RATE), np.sin(np.arange(RATE))])
    assert voiced_share(speech) == pytest.approx(0.5, abs=0.02)
    voices = [{clip.start for clip in degrader(held_out).speech.by_source[0]} for held_out in (False, True)]
    assert voices[0] and voices[1] and not voices[0] & voices[1]
