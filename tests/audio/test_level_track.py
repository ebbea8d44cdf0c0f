"""The level of speech through a recording: one for ordinary recordings, followed where passages differ."""

import numpy as np
import pytest

from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.levels.level_track import (
    HIGH,
    LOW,
    MIDDLE,
    PASSAGE,
    LevelTrack,
    _percentiles,
    follow,
    follow_music,
)

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


@pytest.mark.parametrize("louder", [35, 50])
def test_a_quiet_voice_in_turns_of_two_seconds_has_its_own_level(louder):
    """Its turns hold no whole passage of 2.5 s. Loud and quiet ones follow each other."""
    quiet, loud = speech(10), speech(10, 0.1 * 10 ** (louder / 20), seed=1)
    turn = np.arange(10 * RATE) // (2 * RATE) % 2 == 1
    track = measure(np.where(turn, loud, quiet)).track
    for start in (0, 4, 8):
        levels = decibels(track.at(int((start + 0.4) * RATE), int(1.2 * RATE), RATE)[0])
        assert np.abs(levels - decibels(0.1)).max() < 4
    for start in (2, 6):
        levels = decibels(track.at(int((start + 0.4) * RATE), int(1.2 * RATE), RATE)[0])
        assert np.abs(levels - decibels(0.1) - louder).max() < 7


def test_a_pause_of_less_than_two_seconds_keeps_the_level_of_the_speech_around_it():
    """Its noise, 35 dB below, varies by 4 dB: less than speech does."""
    rng = np.random.default_rng(0)
    pause = np.tile([-55.0, -59.0], 9)
    decibels = np.concatenate([-20 + 6 * rng.uniform(-1, 0, 40), pause, -20 + 6 * rng.uniform(-1, 0, 40)])
    assert follow(10 ** (decibels[None] / 10), np.array([0.1])).slots is None


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


def passages_of(rng: np.random.Generator, slots: int) -> np.ndarray:
    """Powers in dB of `slots` slots: passages of speech, of steady noise and of silence at several levels, and claps."""
    pieces = []
    while sum(map(len, pieces)) < slots:
        length, level = rng.integers(5, 60), rng.uniform(-95, -10)
        spread = rng.choice([0.5, 3.0, 12.0])
        pieces.append(level + spread * rng.uniform(-1, 0, length) if rng.random() < 0.8 else np.full(length, -300.0))
    decibels = np.concatenate(pieces)[:slots]
    decibels[rng.integers(slots, size=1 + slots // 100)] = 5.0
    return decibels


def by_definition(decibels: np.ndarray, *, music: bool) -> np.ndarray | None:
    """The level of every slot before it is smoothed, passage by passage as the module describes it."""
    x = np.maximum(decibels, -90.0)

    def lowest(size, varies, least=-100):
        levels = {}
        for start in range(len(x) - size + 1):
            low, middle, high = np.percentile(x[start : start + size], (15, 65, 85))
            if music or (low > least and middle - low > varies and high > -80):
                levels[start] = high + 2
        holding = [[levels[s] for s in range(k - size + 1, k + 1) if s in levels] for k in range(len(x))]
        return np.array([min(found, default=np.inf) for found in holding]), levels

    if len(x) < 25:
        return None
    level, levels = lowest(25, 2.5)
    if not music:
        turn, _ = lowest(15, 6, -90)
        loudest = np.array([x[max(k - 25, 0) : k + 26].max() for k in range(len(x))])
        level = np.where(turn < loudest - 30, np.minimum(turn, level), level)
    if not np.isfinite(level).any():
        return None
    known = np.flatnonzero(np.isfinite(level))
    level = np.interp(np.arange(len(x)), known, level[known])
    if music:
        level = np.maximum(level, max(levels.values()) - 60)
    around = lambda values, k, reach: values[max(k - reach, 0) : k + reach + 1].max()
    headroom = 15 if music else 6
    return np.array([max(around(level, k, 3), around(x, k, 1) - headroom) for k in range(len(x))])


def smoothed(level: np.ndarray) -> np.ndarray:
    padded = np.pad(level, 1, mode="edge")
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


@pytest.mark.parametrize("slots", [24, 25, 26, 70, 400])
@pytest.mark.parametrize("music", [False, True])
def test_every_slot_has_the_level_of_the_definition(slots, music):
    follow_one = follow_music if music else follow
    for seed in range(10):
        decibels = passages_of(np.random.default_rng(seed), slots)
        wanted = by_definition(decibels, music=music)
        found = follow_one(10 ** (decibels[None] / 10), np.array([1e-6]))
        assert (found.slots is None) == (wanted is None)
        if wanted is not None:
            np.testing.assert_allclose(found.slots[0], smoothed(wanted), atol=1e-6)


@pytest.mark.parametrize("music, same", [(False, 9), (True, 15)])
def test_a_recording_whose_levels_are_near_its_active_level_has_that_one(music, same):
    """Near is 9 dB for speech, whose silent slots do not count, and 15 dB for music."""
    rng = np.random.default_rng(0)
    decibels = -30 + 6 * rng.uniform(-1, 0, 200) * (not music)
    if not music:
        decibels[:40] = -300
    heard = by_definition(decibels, music=music)[decibels > -90]
    follow_one = follow_music if music else follow
    for overall, apart in ((heard.min() + same, 1), (heard.max() - same, -1)):
        for beyond in (-0.01, 0.01):
            active = np.array([10 ** ((overall + apart * beyond) / 20)])
            track = follow_one(10 ** (decibels[None] / 10), active)
            assert (track.slots is None) == (beyond < 0)
            np.testing.assert_array_equal(track.overall, active)


@pytest.mark.parametrize("follow_one", [follow, follow_music])
def test_ten_minutes_on_the_same_sound_has_the_same_level(follow_one):
    rng = np.random.default_rng(0)
    decibels = np.tile(np.concatenate([-30 - 12 * rng.random(50), passages_of(rng, 50)]), 90)
    (slots,) = follow_one(10 ** (decibels[None] / 10), np.array([1e-6])).slots
    for period in (40, 41, 81, 82, 88):  # passages are computed 4096 at a time
        np.testing.assert_allclose(slots[100 * period : 100 * period + 100], slots[200:300], atol=1e-9)


def test_silence_around_speech_leaves_it_one_level():
    decibels = np.concatenate(
        [np.full(40, -300.0), -30 + 6 * np.random.default_rng(0).uniform(-1, 0, 60), np.full(40, -300.0)]
    )
    assert follow(10 ** (decibels[None] / 10), np.array([10 ** (-30 / 20)])).slots is None


def test_music_has_the_mean_power_of_the_channels_that_are_heard():
    powers = np.full((3, 60), 1e-3) * np.array([[1.0], [9.0], [0.0]])
    wide = np.concatenate([powers, 1e-5 * powers], axis=1)
    assert follow_music(powers, np.array([0.3, 0.4, 0.0])).overall == pytest.approx([np.sqrt(0.125)])
    assert follow_music(0 * powers, np.zeros(3)).overall == [1.0]
    np.testing.assert_allclose(
        follow_music(wide, np.ones(3)).slots, follow_music(wide.mean(axis=0)[None], np.ones(1)).slots
    )


def test_a_channel_of_one_level_keeps_it_where_another_is_followed():
    decibels = np.concatenate([passages_of(np.random.default_rng(1), 200), np.full(50, -60.0)])
    powers = np.stack([10 ** (decibels / 10), np.full(250, 0.01), np.zeros(250)])
    track = follow(powers, np.array([1e-6, 0.2, 0.0]))
    assert track.overall.tolist() == [1e-6, 0.2, 1.0]
    np.testing.assert_allclose(track.slots[1], 20 * np.log10(0.2))
    np.testing.assert_allclose(track.slots[2], 0.0)


def test_between_the_middles_of_slots_levels_go_straight_in_decibels():
    """A slot is 100 ms. Before the first and after the last middle the level stays."""
    track = LevelTrack(np.array([1.0, 1.0]), np.array([[-20.0, -40.0, 0.0], [-6.0, -6.0, -6.0]]))
    found = decibels(track.at(0, 3000, 10_000))
    assert found.shape == (2, 3000) and found[0, 500] == -20 and found[0, 1500] == -40 and found[0, 2500] == 0
    np.testing.assert_allclose(np.diff(found[0, 500:1500]), -0.02, rtol=1e-6)
    np.testing.assert_allclose(found[0, [0, 2999]], [-20, 0])
    np.testing.assert_allclose(found[1], -6)
    np.testing.assert_array_equal(track.at(700, 30, 10_000), track.at(0, 3000, 10_000)[:, 700:730])


def test_percentiles_of_passages_are_those_of_numpy_to_the_bit():
    decibels = np.random.default_rng(0).normal(-40, 20, 9000).round(1)  # with equal ones
    passages = np.lib.stride_tricks.sliding_window_view(decibels, PASSAGE)
    assert np.array_equal(_percentiles(decibels, PASSAGE), np.percentile(passages, (LOW, MIDDLE, HIGH), axis=1))
