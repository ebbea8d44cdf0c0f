"""The level of speech through a recording: one for ordinary recordings, followed where passages differ."""

import numpy as np
import pytest

from enhance_cli.audio.level import Meter

RATE = 16000


def speech(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """(1, N): syllables four times a second over steady noise 30 dB below, as loud as `level` where active."""
    rng, t = np.random.default_rng(seed), np.arange(int(seconds * RATE)) / RATE
    envelope = np.clip(np.sin(2 * np.pi * 4 * t), 0.03, None)
    voice = envelope * np.sin(2 * np.pi * 150 * t) + 0.01 * rng.standard_normal(t.size)
    meter = measure(voice[None])
    return (voice * level / meter.active_levels[0])[None].astype(np.float32)


def measure(audio: np.ndarray, blocks: int = 7000) -> Meter:
    meter = Meter(RATE, len(audio), loudness=False)
    for start in range(0, audio.shape[1], blocks):
        meter.push(audio[:, start : start + blocks])
    return meter


def decibels(level: np.ndarray) -> np.ndarray:
    return 20 * np.log10(level)


def test_speech_of_one_level_has_its_active_level_throughout():
    meter = measure(np.concatenate([speech(4), 0.6 * speech(4, seed=1)], axis=1))
    assert meter.track.slots is None
    np.testing.assert_array_equal(meter.track.at(5, 3, RATE), meter.active_levels[:, None])


@pytest.mark.parametrize("louder", [15, 25, 40, 50])
def test_a_quiet_voice_between_loud_ones_has_its_own_level(louder):
    loud = speech(3, 0.1 * 10 ** (louder / 20), seed=1)
    track = measure(np.concatenate([loud, speech(4), loud], axis=1)).track
    levels = decibels(track.at(int(3.3 * RATE), int(3.4 * RATE), RATE)[0])
    assert np.abs(levels - decibels(0.1)).max() < 4
    assert abs(np.median(levels) - decibels(0.1)) < 2
    assert np.abs(decibels(track.at(RATE, RATE, RATE)[0]) - decibels(0.1) - louder).max() < 4


def test_a_clap_lifts_the_level_while_it_lasts_and_no_longer():
    audio = speech(8)
    audio[:, 4 * RATE : 4 * RATE + 1600] += 30 * np.random.default_rng(0).standard_normal(1600)
    track = measure(audio).track
    clap = decibels(track.at(int(4.05 * RATE), 1, RATE)[0])
    assert clap > decibels(0.1) + 35
    for start in (0.5, 4.6):
        assert np.abs(decibels(track.at(int(start * RATE), 3 * RATE, RATE)[0]) - decibels(0.1)).max() < 4


def test_steady_noise_in_a_pause_keeps_the_level_of_the_speech_around_it():
    hiss = 1e-4 * np.random.default_rng(0).standard_normal((1, 6 * RATE)).astype(np.float32)
    track = measure(np.concatenate([speech(4), hiss, speech(4, 0.02), hiss], axis=1)).track
    levels = decibels(track.at(0, 20 * RATE, RATE)[0])
    assert levels.min() > decibels(0.02) - 6 and levels.max() < decibels(0.1) + 4


def test_every_channel_has_a_level_of_its_own_and_blocks_do_not_matter():
    audio = np.concatenate([speech(6), np.zeros((1, 6 * RATE), np.float32), speech(6, 0.001)])
    audio[2, 3 * RATE :] *= 100
    one, other = (measure(audio, blocks).track.at(0, 6 * RATE, RATE) for blocks in (999, 6 * RATE))
    np.testing.assert_allclose(one, other, rtol=1e-9)
    assert np.abs(decibels(one[0]) - decibels(0.1)).max() < 0.5
    assert (one[1] == 1).all()
    assert one[2, -1] > 50 * one[2, RATE]


@pytest.mark.parametrize("samples", [0, 1, 1599, 1600, 3200, 24000])
def test_short_recordings_have_one_level(samples):
    audio = 0.1 * np.random.default_rng(0).standard_normal((2, samples))
    track = measure(audio.astype(np.float32)).track
    assert track.slots is None and (track.overall > 0).all()


def test_music_has_one_level_unless_its_passages_differ_by_far():
    """Drums over tones, an introduction 10 dB below, and the same at 40 dB below, or behind a clap."""
    t = np.arange(8 * RATE) / RATE
    song = (0.1 * np.sin(2 * np.pi * 220 * t) + 0.4 * np.exp(-20 * (t % 0.5)) * np.sin(2 * np.pi * 90 * t))[None]
    assert measure(song).music_track.slots is None
    assert measure(np.concatenate([0.3 * song, song], axis=1)).music_track.slots is None
    middle = slice(2 * RATE, 4 * RATE)
    usual = decibels(measure(song).music_track.at(0, RATE, RATE))
    quiet = measure(np.concatenate([0.01 * song, song], axis=1)).music_track.at(0, 8 * RATE, RATE)[:, middle]
    assert np.abs(decibels(quiet) + 40 - usual[:, :1]).max() < 4
    clap = np.concatenate([song, 100 * np.random.default_rng(0).standard_normal((1, RATE // 20))], axis=1)
    heard = measure(clap).music_track.at(0, 8 * RATE, RATE)[:, middle]
    assert np.abs(decibels(heard) - usual[:, :1]).max() < 4
