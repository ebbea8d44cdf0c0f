"""Resampling: exact lengths, no delay, no difference between a stream and the whole, and the tone keeps its
pitch.
"""

import numpy as np
import pytest
import soxr

from enhance_cli.audio.resample import Resampler, resample, resampled_length

RATES = [
    (48000, 16000),
    (16000, 48000),
    (44100, 16000),
    (16000, 44100),
    (8000, 192_000),
    (96000, 44100),
    (11025, 16000),
]


def tone(rate, seconds=1.0, frequency=440.0):
    t = np.arange(round(rate * seconds)) / rate
    window = np.minimum(1, np.minimum(t, seconds - t) / 0.1)
    return (np.stack([np.sin(2 * np.pi * frequency * t), np.cos(2 * np.pi * frequency * t)]) * window).astype(
        np.float32
    )


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("n", [0, 1, 2, 7, 999, 48001])
def test_length_is_exact(rate_in, rate_out, n):
    out = resample(np.zeros((2, n), np.float32), rate_in, rate_out)
    assert out.shape == (2, resampled_length(n, rate_in, rate_out)) and out.dtype == np.float32


@pytest.mark.parametrize("more", [-1, 1])
def test_a_resampler_that_rounds_its_length_otherwise_does_not_change_ours(more, monkeypatch):
    """As another version of soxr may: its total length is one sample off."""

    class Otherwise(soxr.ResampleStream):
        def resample_chunk(self, x, last=False):
            ready = super().resample_chunk(x, last=last)
            if not last:
                return ready
            return ready[:more] if more < 0 else np.concatenate([ready, np.ones((more, x.shape[1]), np.float32)])

    audio = tone(48000, 0.5)
    exact = resample(audio, 48000, 16000)
    monkeypatch.setattr(soxr, "ResampleStream", Otherwise)
    found = resample(audio, 48000, 16000)
    assert found.shape == exact.shape == (2, 8000)
    assert np.array_equal(found[:, :-1], exact[:, :-1])
    stream = Resampler(48000, 16000, 2)
    parts = [stream.push(audio[:, :5000]), stream.push(audio[:, 5000:], last=True)]
    assert np.concatenate(parts, axis=1).shape == exact.shape


def test_half_a_sample_rounds_up():
    assert [resampled_length(n, 2, 1) for n in (0, 1, 2, 3)] == [0, 1, 1, 2]
    assert resampled_length(10**12 + 1, 48000, 16000) == 333333333334


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_a_tone_stays_in_time_and_at_level(rate_in, rate_out):
    error = resample(tone(rate_in), rate_in, rate_out) - tone(rate_out)
    assert np.abs(error[:, rate_out // 20 : -rate_out // 20]).max() < 1e-3


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("size", [1, 480, 65536])
def test_a_stream_gives_what_the_whole_gives(rate_in, rate_out, size):
    audio = tone(rate_in, 0.05 if size == 1 else 1.0)
    stream = Resampler(rate_in, rate_out, 2)
    parts = [stream.push(audio[:, i : i + size]) for i in range(0, audio.shape[1], size)]
    parts.append(stream.push(audio[:, :0], last=True))
    assert np.abs(np.concatenate(parts, axis=1) - resample(audio, rate_in, rate_out)).max() < 1e-5


def test_there_and_back_gives_the_same_samples():
    audio = tone(48000)
    back = resample(resample(audio, 48000, 96000), 96000, 48000)
    assert back.shape == audio.shape and np.abs(back - audio).max() < 1e-4


def test_equal_rates_change_nothing():
    audio = tone(16000)
    assert np.array_equal(resample(audio, 16000, 16000), audio)
