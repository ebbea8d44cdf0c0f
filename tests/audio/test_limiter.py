"""The limiter: no true peak above its threshold, the gain in time and without steps, and all other sound as it was."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from enhance_cli.audio.levels.limiter import LOOK_AHEAD, RELEASE_DB, Limiter

RATE = 48000
SPEECH = Path(__file__).parents[1] / "audio_files" / "noisy_speech_48k.flac"


def limited(audio: np.ndarray, threshold: float, *, rate: int = RATE, size: int = 65536) -> tuple[np.ndarray, Limiter]:
    limiter = Limiter(rate, len(audio), threshold)
    blocks = (audio[:, start : start + size] for start in range(0, audio.shape[1], size))
    return np.concatenate(list(limiter.run(blocks)), axis=1), limiter


def decibels(factor: np.ndarray) -> np.ndarray:
    return 20 * np.log10(np.maximum(factor, 1e-9))


def peak(audio: np.ndarray) -> float:
    return max(float(np.abs(resample_poly(row.astype(np.float64), 8, 1)).max()) for row in audio)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return soundfile.read(SPEECH, dtype="float32", always_2d=True)[0].T


@pytest.mark.parametrize("below", [3, 6, 12])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_no_true_peak_passes_the_threshold(speech, below, rate):
    audio = resample_poly(speech, rate, RATE, axis=1).astype(np.float32)
    threshold = peak(audio) / 10 ** (below / 20)
    result, limiter = limited(audio, threshold, rate=rate)
    assert decibels(peak(result) / threshold) < 0.1
    assert result.shape == audio.shape and limiter.most == pytest.approx(below, abs=0.2)


def test_peaks_between_the_samples_count():
    """The samples of this tone reach 0.71 of its peak."""
    tone = np.cos(np.pi * np.arange(RATE) / 2 + np.pi / 4)[None].astype(np.float32)
    tone *= np.hanning(RATE).astype(np.float32)
    result, limiter = limited(tone, 0.8)
    assert np.abs(tone).max() < 0.8 < peak(tone) and peak(result) < 0.805 and limiter.most > 1.8


def test_what_is_far_from_a_peak_stays_as_it_is_and_the_gain_has_no_steps():
    audio = 0.1 * np.random.default_rng(0).standard_normal((2, 2 * RATE)).astype(np.float32).clip(-4, 4)
    audio[0, RATE] = 1.0
    result, limiter = limited(audio, 0.5)
    gain = decibels(result / audio).mean(axis=0)
    ahead, after = round((LOOK_AHEAD + 0.001) * RATE), round((limiter.most / RELEASE_DB + LOOK_AHEAD + 0.001) * RATE)
    assert np.array_equal(result[:, : RATE - ahead], audio[:, : RATE - ahead])
    assert np.array_equal(result[:, RATE + after :], audio[:, RATE + after :])
    assert gain[RATE] == pytest.approx(-limiter.most, abs=0.01) and limiter.most == pytest.approx(6.2, abs=0.3)
    assert np.abs(np.diff(gain)).max() < 2.5 * limiter.most / (LOOK_AHEAD * RATE)
    assert limiter.share == pytest.approx(np.mean(gain < -0.1), abs=1e-3)
    assert np.allclose(result[0] / audio[0], result[1] / audio[1], rtol=1e-5), "channels share the gain"


def test_a_signal_without_such_peaks_is_not_touched(speech):
    result, limiter = limited(speech, 2.0)
    assert np.array_equal(result, speech) and (limiter.most, limiter.share) == (0, 0)


@pytest.mark.parametrize("size", [1000, 4801])
def test_blocks_do_not_matter(speech, size):
    audio, double = np.concatenate([speech, -0.5 * speech[:, ::-1]]), speech.astype(np.float64)
    np.testing.assert_allclose(limited(audio, 0.2, size=size)[0], limited(audio, 0.2)[0], atol=1e-6)
    assert limited(double, 0.2, size=size)[0].dtype == np.float64


@pytest.mark.parametrize("samples", [0, 1, 100, 500, 2000])
def test_short_signals_keep_their_length_and_are_limited_too(samples):
    audio = np.ones((1, samples), np.float32)
    result, _ = limited(audio, 0.5, size=77)
    assert result.shape == audio.shape and (not samples or 0.25 < result.max() <= 0.5001)


def test_memory_does_not_grow():
    def sound(blocks):
        rng = np.random.default_rng(0)
        return (rng.standard_normal((1, 10_000)).astype(np.float32) for _ in range(blocks))

    def most_memory(blocks):
        tracemalloc.start()
        for _ in Limiter(RATE, 1, 0.5).run(sound(blocks)):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    most_memory(2)  # imports
    assert most_memory(60) < 1.2 * most_memory(6)
