"""Levels: loudness as pyloudnorm has it, peaks as they are, whatever the block size, and at a speed that
costs nothing.
"""

import time

import numpy as np
import pyloudnorm
import pytest
import scipy.signal

from enhance_cli.audio.levels.level import Meter, leveled
from enhance_cli.audio.levels.level_track import follow


def meter(audio, rate=48000, size=None, **kwargs):
    result = Meter(rate, audio.shape[0], **kwargs)
    for begin in range(0, audio.shape[1], size or max(audio.shape[1], 1)):
        result.push(audio[:, begin : begin + size if size else None])
    return result


def babble(rate, channels, seconds=12.3):
    """Noise that comes and goes, with pauses, so that both gates matter."""
    rng = np.random.default_rng(channels)
    n = round(rate * seconds)
    envelope = np.repeat(10 ** (rng.uniform(-60, -12, 40) / 20), n // 40 + 1)[:n]
    return (rng.standard_normal((channels, n)) * envelope * 0.3).astype(np.float32)


@pytest.mark.parametrize(
    "rate, channels",
    [*((rate, 2) for rate in (8000, 11025, 22050, 44100, 48000, 96000)), *((16000, c) for c in (1, 2, 5))],
)
def test_loudness_agrees_with_pyloudnorm(rate, channels):
    audio = babble(rate, channels)
    expected = pyloudnorm.Meter(rate).integrated_loudness(audio.T.astype(np.float64))
    assert meter(audio, rate).loudness == pytest.approx(expected, abs=0.1)


def test_a_full_scale_tone_has_the_loudness_the_standard_says():
    tone = np.sin(2 * np.pi * 997 * np.arange(48000 * 5) / 48000)[None].astype(np.float32)
    assert meter(tone).loudness == pytest.approx(-3.01, abs=0.1)


def test_a_pause_does_not_lower_loudness_or_active_level():
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(48000 * 5) / 48000)[None].astype(np.float32)
    with_pause = np.concatenate([tone, np.zeros_like(tone)], axis=1)
    assert meter(with_pause).loudness == pytest.approx(meter(tone).loudness, abs=0.2)
    for audio in (tone, with_pause):
        assert 20 * np.log10(meter(audio).active_levels[0]) == pytest.approx(-23.01, abs=0.26)


def test_every_channel_has_its_own_active_level():
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000).astype(np.float32)
    levels = meter(np.stack([tone, 0.25 * tone, 0 * tone])).active_levels
    assert levels[1] / levels[0] == pytest.approx(0.25, rel=1e-6) and levels[2] == 0


def test_noise_floor_is_the_level_of_the_pauses():
    rng = np.random.default_rng(0)
    audio = 0.001 * rng.standard_normal((1, 48000 * 4)).astype(np.float32)
    audio[:, : 48000 * 3] += 0.2 * np.sin(2 * np.pi * 300 * np.arange(48000 * 3) / 48000)
    assert meter(audio).noise_floor == pytest.approx(-60, abs=0.5)
    assert meter(np.zeros((1, 48000), np.float32)).noise_floor is None


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 333, 4800, 100_000])
def test_block_size_changes_nothing(size):
    audio = babble(22050, 2, seconds=0.5 if size == 1 else 12.3)
    whole, parts = meter(audio, 22050, true_peak=True), meter(audio, 22050, size, true_peak=True)
    for name in ("frames", "peak", "true_peak", "loudness", "active_levels"):
        exact = (
            1e-6 if name == "true_peak" else 1e-9
        )  # a product in fp32 rounds by the size of its matrices on some CPUs
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=exact), name


def test_true_peak_sees_what_lies_between_the_samples():
    audio = np.sin(2 * np.pi * np.arange(4800) / 4 + np.pi / 4)[None].astype(np.float32) * 0.5
    result = meter(audio, true_peak=True)
    assert result.peak == pytest.approx(0.5 * np.sqrt(0.5), rel=1e-6)
    assert result.true_peak == pytest.approx(0.5, rel=0.03)


def test_what_was_not_asked_for_or_cannot_be_known_is_not_made_up():
    tone = np.ones((1, 100))
    with pytest.raises(ValueError, match="true_peak=True"):
        _ = meter(tone).true_peak
    assert meter(tone, loudness=False).loudness is None and meter(tone).noise_floor is None  # less than a frame


@pytest.mark.parametrize("n", [0, 1, 100, 48000 * 2])
def test_silence_is_silent_and_its_loudness_undefined(n):
    result = meter(np.zeros((2, n), np.float32), true_peak=True)
    assert (result.frames, result.peak, result.true_peak, result.loudness, result.active_levels.max()) == (
        n,
        0,
        0,
        None,
        0,
    )


def test_less_than_400_ms_has_no_loudness():
    audio = babble(48000, 1)
    assert meter(audio[:, : 19200 - 1]).loudness is None
    assert meter(np.full((1, 19200), 0.1, np.float32) * np.array([1, -1] * 9600, np.float32)).loudness is not None


def seconds_of(result, audio):
    """Seconds of CPU that the quickest of ten pieces takes. The others may have waited for other programs."""
    times = []
    for piece in np.split(audio, 10, axis=1):
        begin = time.process_time()
        result.push(piece)
        times.append(time.process_time() - begin)
    return min(times)


def test_it_is_100_times_faster_than_real_time():
    assert seconds_of(Meter(48000, 2), babble(48000, 2, seconds=20)) < 2 / 100


def test_silence_after_sound_is_not_slower():
    """Filters that decay into denormal numbers become ten times as slow, unless told not to."""
    result = Meter(48000, 1)
    sound = seconds_of(result, babble(48000, 1, seconds=20))
    assert seconds_of(result, np.zeros((1, 48000 * 20), np.float32)) < 4 * sound


def test_a_float_file_far_above_full_scale_has_a_loudness():
    meter = Meter(48000, 1)
    meter.push(3e5 * np.sin(np.arange(48000) * 0.1)[None])
    assert meter.loudness > 70


def tones(rate, *parts):
    """1 kHz, (1, n): for each of `parts` (level in dBFS of the peak, seconds)."""
    levels = np.concatenate([np.full(round(rate * seconds), 10 ** (level / 20)) for level, seconds in parts])
    return (levels * np.sin(2 * np.pi * 1000 * np.arange(levels.size) / rate))[None].astype(np.float32)


@pytest.mark.parametrize(
    "parts",
    [
        [(-23, 5)],
        [(-36, 5), (-23, 30), (-36, 5)],
        [(-72, 5), (-36, 5), (-23, 30), (-36, 5), (-72, 5)],
        [(-26, 10), (-20, 10.05), (-26, 10)],
    ],
)
def test_the_signals_of_the_broadcasting_union_have_the_loudness_that_it_says(parts):
    """EBU Tech 3341, cases 1, 3, 4 and 5, half as long and in mono: gates are at -70 LUFS, and 10 below what passes that."""
    assert meter(tones(48000, *parts)).loudness == pytest.approx(-23 - 3.01, abs=0.1)


@pytest.mark.parametrize("frequency", [30, 60, 1000, 2500, 10000])
def test_tones_are_weighed_by_their_frequency_as_in_pyloudnorm(frequency):
    tone = 0.1 * np.sin(2 * np.pi * frequency * np.arange(48000 * 2) / 48000)[None]
    expected = pyloudnorm.Meter(48000).integrated_loudness(tone.T)
    assert meter(tone).loudness == pytest.approx(expected, abs=0.03)


def test_sound_below_70_lufs_has_no_loudness():
    assert meter(tones(48000, (-70 + 3.01 + 0.1, 1))).loudness == pytest.approx(-69.9, abs=0.06)
    assert meter(tones(48000, (-70 + 3.01 - 0.1, 1))).loudness is None


def test_surround_channels_count_more_and_low_frequency_effects_nothing():
    """EBU Tech 3341, case 6, with a loud LFE."""
    levels = {"FL": -28, "FR": -28, "FC": -24, "LFE": 0, "BL": -30, "BR": -30}
    audio = np.concatenate([tones(48000, (level, 3)) for level in levels.values()])
    assert meter(audio, layout=tuple(levels)).loudness == pytest.approx(-23, abs=0.1)
    assert meter(audio[[0, 1, 2, 4, 5]]).loudness == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize("cutoff", [0.1, 0.6])
def test_true_peak_is_that_of_the_signal_oversampled_by_another_program(cutoff):
    """Within 0.3 dB, also at both ends of the signal, which silence surrounds."""
    for seed in range(8):
        audio = np.random.default_rng(seed).standard_normal((2, 300))
        audio[0] = scipy.signal.sosfiltfilt(scipy.signal.butter(8, cutoff, output="sos"), audio[0])
        audio[1] *= 0.1
        audio[0, -2:] = audio[0, -4:-2] = 1.2 * np.abs(audio[0]).max() * (1 if seed % 2 else -1)
        if seed % 4 > 1:
            audio = audio[:, ::-1]
        dense = scipy.signal.resample_poly(np.pad(audio, ((0, 0), (40, 40))), 4, 1, axis=1, window=("kaiser", 7.0))
        for size in (None, 7):
            found = meter(audio, size=size, true_peak=True)
            assert found.peak == np.abs(audio).max()
            assert 20 * np.log10(found.true_peak / np.abs(dense).max()) == pytest.approx(0, abs=0.3)


def test_the_active_level_weighs_frames_by_their_energy():
    """Half a second at power P and half a second at Q: (P^2 + Q^2) / (P + Q)."""
    signs = np.where(np.arange(48000) % 2, 1.0, -1.0)
    audio = np.stack([signs * np.repeat([0.4, 0.1], 24000), signs * np.repeat([0.0, 0.3], 24000)])
    p, q = 0.16, 0.01
    assert meter(audio).active_levels == pytest.approx([((p**2 + q**2) / (p + q)) ** 0.5, 0.3])


@pytest.mark.parametrize("level", [-119.9, -100, -60.2, -3, 6, 19.9])
def test_the_noise_floor_is_right_to_an_eighth_of_a_decibel(level):
    signs = np.where(np.arange(16000) % 2, 1.0, -1.0)[None]
    assert meter(signs * 10 ** (level / 20), 16000).noise_floor == pytest.approx(level, abs=0.13)
    assert meter(np.concatenate([signs, signs]) * 10 ** (level / 20), 16000).noise_floor == pytest.approx(
        level, abs=0.13
    )


def test_a_tenth_of_the_frames_stays_below_the_noise_floor():
    signs = np.where(np.arange(2 * 16000) % 2, 1.0, -1.0)  # a hundred frames
    floors = [
        meter((signs * np.repeat([0.001, 0.1], [320 * quiet, 320 * (100 - quiet)]))[None], 16000).noise_floor
        for quiet in (9, 11)
    ]
    assert floors == pytest.approx([-20, -60], abs=0.13)
    assert meter((signs * 1e-7)[None], 16000).noise_floor is None


def test_the_deviation_is_that_of_the_mean_of_the_channels_without_its_offset():
    audio = np.random.default_rng(0).standard_normal((2, 5000)) + [[0.5], [1.0]]
    assert meter(audio, size=333).deviation == pytest.approx(audio.mean(axis=0).std(), rel=1e-9)
    assert meter(audio[:, :0]).deviation == 0 and meter(np.ones((1, 10))).deviation == 0


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 12345])
def test_a_slot_of_the_level_track_is_a_tenth_of_a_second_at_every_rate(rate):
    """Also where 20 ms are no whole number of samples: an hour later the level would belong to other words."""
    audio = babble(rate, 2, seconds=20)
    edges = np.arange(201) * rate // 10
    powers = np.add.reduceat(np.square(audio, dtype=np.float64), edges[:-1], axis=1) / np.diff(edges)
    found = meter(audio, rate, size=999, loudness=False)
    wanted = follow(powers, found.active_levels)
    assert found.track.slots.shape == (2, 200)
    np.testing.assert_allclose(found.track.slots, wanted.slots, atol=0.1)


def test_a_wave_is_brought_to_a_level_in_its_quiet_passages_as_in_loud_ones():
    rng, n = np.random.default_rng(0), 16000 * 4
    voice = (np.clip(np.sin(2 * np.pi * 4 * np.arange(n) / 16000), 0.03, None) * rng.standard_normal(n)).astype(
        np.float32
    )
    even = leveled(0.02 * voice, 16000, 0.14)
    assert even.dtype == np.float32 and meter(even[None], 16000).active_levels == pytest.approx([0.14], rel=1e-5)
    uneven = leveled(np.concatenate([0.3 * voice, 0.01 * voice, 0.3 * voice]), 16000, 0.14)
    parts = [meter(part[None, 8000:-8000], 16000).active_levels[0] for part in np.split(uneven, 3)]
    assert 20 * np.log10(parts) == pytest.approx([20 * np.log10(0.14)] * 3, abs=3)


@pytest.mark.parametrize("offset", [0.1, -0.5])
def test_a_constant_offset_does_not_count_as_sound(offset):
    voice = 0.01 * np.random.default_rng(0).standard_normal((2, 48000)) * np.repeat([1, 0.05, 1], 16000)
    voice[1] *= 0.1
    plain, shifted = Meter(16000, 2, loudness=False), Meter(16000, 2, loudness=False)
    plain.push(voice)
    for start in range(0, 48000, 1000):  # blocks do not matter
        shifted.push((voice + [[offset], [0]])[:, start : start + 1000])
    np.testing.assert_allclose(shifted.offsets, [offset, 0], atol=1e-4)
    np.testing.assert_allclose(shifted.active_levels, plain.active_levels, rtol=1e-3)
    levels = [meter.track.at(0, 48000, 16000) for meter in (plain, shifted)]
    np.testing.assert_allclose(*levels, rtol=0.05)


def test_an_offset_is_none_beside_sound_that_is_louder_and_alone_it_is_no_sound():
    sound = Meter(16000, 1, loudness=False)
    sound.push(0.1 * np.random.default_rng(0).standard_normal((1, 16000)) + 0.02)
    assert sound.offsets == [0]
    alone = Meter(16000, 1, loudness=False)
    alone.push(np.full((1, 16000), 0.25))
    assert alone.active_levels == [0]


@pytest.mark.filterwarnings("error")
def test_levels_near_the_end_of_single_precision_are_numbers():
    """Such files exist: floats of measuring instruments, and of broken programs."""
    audio = (3e38 * np.sin(np.arange(48000 * 4) / 20)).astype(np.float32)[None]
    found = meter(audio, 48000, loudness=True)
    assert found.peak == pytest.approx(3e38, rel=1e-3) and 700 < found.loudness < 800
    assert np.isfinite(found.track.at(0, 48000, 48000)).all()
