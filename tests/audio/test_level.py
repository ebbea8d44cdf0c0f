"""Levels: loudness as pyloudnorm has it, peaks as they are, whatever the block size, and at a speed that
costs nothing.
"""

import time

import numpy as np
import pyloudnorm
import pytest

from enhance_cli.audio.level import Meter


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


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 5])
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


@pytest.mark.parametrize("size", [1, 333, 4800, 100_000])
def test_block_size_changes_nothing(size):
    audio = babble(22050, 2, seconds=0.9 if size == 1 else 12.3)
    whole, parts = meter(audio, 22050, true_peak=True), meter(audio, 22050, size, true_peak=True)
    for name in ("frames", "peak", "true_peak", "loudness", "active_levels"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-9), name


def test_true_peak_sees_what_lies_between_the_samples():
    audio = np.sin(2 * np.pi * np.arange(4800) / 4 + np.pi / 4)[None].astype(np.float32) * 0.5
    result = meter(audio, true_peak=True)
    assert result.peak == pytest.approx(0.5 * np.sqrt(0.5), rel=1e-6)
    assert result.true_peak == pytest.approx(0.5, rel=0.03)


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


def test_it_is_100_times_faster_than_real_time():
    audio = babble(48000, 2, seconds=60)
    result = Meter(48000, 2)
    begin = time.process_time()
    result.push(audio)
    assert time.process_time() - begin < 0.6


def test_silence_after_sound_is_not_slower():
    """Filters that decay into denormal numbers become ten times as slow, unless told not to."""
    sound, silence = babble(48000, 1, seconds=60), np.zeros((1, 48000 * 60), np.float32)
    result, times = Meter(48000, 1), []
    for audio in (sound, silence):
        begin = time.process_time()
        result.push(audio)
        times.append(time.process_time() - begin)
    assert times[1] < 4 * times[0] + 0.05


def test_a_float_file_far_above_full_scale_has_a_loudness():
    meter = Meter(48000, 1)
    meter.push(3e5 * np.sin(np.arange(48000) * 0.1)[None])
    assert meter.loudness > 70
