"""The arithmetic around a speaker network: which samples it hears, at which level, and the mean of what it says."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from enhance_cli.audio.levels.level import Meter
from enhance_cli.errors import AudioError
from enhance_cli.tasks.embed import Embedder, EmbedOptions

RATE = 16000


class Listener:
    """In place of a speaker network: says the first two samples of each segment and its length, and remembers batches."""

    runtime, threads, sample_rate = "onnx", 2, RATE

    def __init__(self, normalise="none", window_seconds=None):
        self.spec = SimpleNamespace(normalise=normalise, window_seconds=window_seconds)
        self.batches, self.lock = [], threading.Lock()

    def embed_segments(self, waves: np.ndarray) -> np.ndarray:
        with self.lock:
            self.batches.append(waves.shape)
        return np.concatenate([waves[:, :2], np.full((len(waves), 1), waves.shape[1])], axis=1)


def voice(seconds: float, level: float = 0.1) -> np.ndarray:
    """(1, N) of +-level, whose RMS and active level are exactly this."""
    return level * np.where(np.random.default_rng(0).random((1, round(seconds * RATE))) < 0.5, -1.0, 1.0)


@pytest.mark.parametrize("option, own, length", [(None, None, 20), (None, 3.0, 3), (1.5, 3.0, 1.5)])
def test_the_result_is_the_mean_of_segments_that_begin_and_end_with_the_recording(option, own, length):
    audio, segment = voice(61.0).astype(np.float32), round(length * RATE)
    embedder = Embedder(Listener(window_seconds=own), EmbedOptions(segment=option, normalize=False))
    starts = embedder.starts(audio.shape[1])
    assert starts[0] == 0 and starts[-1] == audio.shape[1] - segment
    assert np.diff(starts).max() <= -(-segment // 2) and len(starts) <= 2 * 61 / length
    wanted = np.mean([[*audio[0, s : s + 2], segment] for s in starts], axis=0)
    np.testing.assert_allclose(embedder.embed(audio, RATE), wanted, rtol=1e-5, atol=1e-7)
    batches = embedder.extractor.batches
    assert sum(count for count, _ in batches) == len(starts) and {samples for _, samples in batches} == {segment}
    assert max(count for count, _ in batches) == min(40 * RATE // segment, len(starts)), "forty seconds at once"


def test_of_unit_length_the_directions_of_the_segments_are_averaged():
    tone = np.tile([1.0, -1.0], RATE // 2)  # without an offset, which would be removed
    audio = np.concatenate([0.5 * tone, 0.02 * tone])[None].astype(np.float32)
    listener = Listener()
    listener.embed_segments = lambda waves: np.stack([waves.max(axis=1), 0.01 * np.ones(len(waves))], axis=1)
    embedder = Embedder(listener, EmbedOptions(segment=1.0))
    rows = np.array([[0.5, 0.01], [0.5, 0.01], [0.02, 0.01]])
    wanted = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(embedder.embed(audio, RATE), wanted / np.linalg.norm(wanted), rtol=1e-5)


@pytest.mark.parametrize("seconds, level, enough", [(0.5, 1.05e-4, True), (0.4999, 0.1, False), (1.0, 0.95e-4, False)])
def test_half_a_second_above_80_dbfs_below_full_scale_is_enough(seconds, level, enough):
    embedder = Embedder(Listener())
    if enough:
        assert embedder.embed(voice(seconds, level), RATE).shape == (3,)
    else:
        with pytest.raises(AudioError, match="too short|silent"):
            embedder.embed(voice(seconds, level), RATE)


def test_the_network_hears_the_mean_of_the_channels_at_its_own_rate():
    time = np.arange(2 * 44100) / 44100
    left, right = 0.2 * np.sin(2 * np.pi * 300 * time), 0.1 * np.sin(2 * np.pi * 1000 * time)
    heard = Embedder(Listener()).prepare(np.stack([left, right]), 44100)
    time = np.arange(2 * RATE) / RATE
    wanted = 0.1 * np.sin(2 * np.pi * 300 * time) + 0.05 * np.sin(2 * np.pi * 1000 * time)
    assert heard.shape == wanted.shape and np.abs(heard - wanted)[500:-500].max() < 1e-3


@pytest.mark.parametrize("level", [0.001, 0.1, 0.9])
def test_only_networks_that_hear_loudness_are_given_one_level(level):
    audio = voice(4.0, level) * np.clip(np.sin(np.arange(4 * RATE) * 2 * np.pi * 4 / RATE), 0.03, None)
    np.testing.assert_array_equal(Embedder(Listener()).prepare(audio, RATE), audio[0].astype(np.float32))
    meter = Meter(RATE, 1, loudness=False)
    meter.push(Embedder(Listener("raise")).prepare(audio, RATE)[None])
    assert meter.active_levels == pytest.approx([0.14], rel=1e-4)


def test_silence_is_dropped_if_asked_for_and_half_a_second_of_speech_must_be_left():
    gap = np.zeros((1, 3 * RATE))
    audio = np.concatenate([gap, voice(1.0), gap], axis=1)
    heard = Embedder(Listener(), EmbedOptions(vad=True)).prepare(audio, RATE)
    assert RATE <= len(heard) <= 1.3 * RATE and np.count_nonzero(heard) == RATE
    with pytest.raises(AudioError, match=r"only 0\.\d+ s of it is speech"):
        Embedder(Listener(), EmbedOptions(vad=True)).prepare(np.concatenate([gap, voice(0.2), gap], axis=1), RATE)
