"""From a recording to one embedding, with the network that ships: what must not change it, and what is refused."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.audio.resample import resample
from enhance_cli.errors import AudioError
from enhance_cli.models.extractor import load_extractor
from enhance_cli.tasks.embed import Embedder, EmbedOptions
from tests.golden_numbers import load

AUDIO = Path(__file__).parents[1] / "audio_files"


@cache
def embedder(**options) -> Embedder:
    return Embedder(load_extractor(), EmbedOptions(**options))


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return soundfile.read(AUDIO / "noisy_speech.flac", dtype="float32", always_2d=True)[0].T


def test_a_recording_is_embedded_much_as_the_package_does(speech):
    expected, _ = load("resemblyzer_ge2e")
    found = embedder().embed(speech, 16000)
    assert found.shape == (256,) and found.dtype == np.float32
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
    assert float(found @ expected["published_file"]) > 0.99


@pytest.mark.parametrize("decibels", [-40, -10, 18, 40])
def test_level_does_not_matter(decibels, speech):
    found = embedder().embed((speech * 10 ** (decibels / 20)).astype(np.float32), 16000)
    assert float(found @ embedder().embed(speech, 16000)) > 0.9999


def test_one_loud_moment_does_not_make_another_voice(speech):
    """A clap 50 dB above the speech, and half a recording 30 dB below the rest, as of one who goes away."""
    before, rng = embedder().embed(speech, 16000), np.random.default_rng(0)
    clap = speech.copy()
    clap[:, 40000:40800] += rng.standard_normal(800) * np.exp(-np.arange(800) / 200) * speech.std() * 10**2.5
    assert float(before @ embedder().embed(clap, 16000)) > 0.95
    away = speech.copy()
    away[:, speech.shape[1] // 2 :] *= 10**-1.5
    assert float(before @ embedder().embed(away, 16000)) > 0.97


def test_the_offset_of_a_cheap_sound_card_does_not_make_another_voice(speech):
    plain = embedder().embed(speech, 16000)
    assert plain @ embedder().embed((0.1 * speech + 0.4).astype(np.float32), 16000) > 0.99
    with pytest.raises(AudioError, match="silent"):
        embedder().embed(np.full((1, 16000), 0.4, np.float32), 16000)


def test_channels_of_opposite_polarity_are_a_voice(speech):
    found = embedder().embed(np.concatenate([speech, -speech]), 16000)
    assert float(found @ embedder().embed(speech, 16000)) > 0.99999


def test_rate_and_channels_do_not_matter(speech):
    found = embedder().embed(speech, 16000)
    assert float(found @ embedder().embed(np.concatenate([speech, speech]), 16000)) > 0.99999
    assert float(found @ embedder().embed(resample(speech, 16000, 44100), 44100)) > 0.99


@pytest.mark.slow
def test_neither_threads_nor_company_change_a_bit(speech):
    """Long enough for several groups of segments."""
    parts = [np.tile(speech, (1, 4)), speech[:, 20000:], speech[:, :70000]]
    alone = [embedder().embed(part, 16000) for part in parts]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    several = Embedder(load_extractor())
    torch.set_num_threads(before)
    with ThreadPoolExecutor(several.lanes) as lanes:
        found = list(lanes.map(lambda part: several.embed(part, 16000), parts * 2))
    assert np.array_equal(found, alone * 2)


def test_silence_between_words_is_dropped_if_asked_for(speech):
    gap = np.zeros((1, 16000 * 8), np.float32)
    interrupted = np.concatenate([gap, speech[:, :80000], gap, speech[:, 80000:], gap], axis=1)
    with_vad, without = embedder(vad=True), embedder()
    before = with_vad.embed(speech, 16000)
    assert float(before @ with_vad.embed(interrupted, 16000)) > 0.97
    assert float(without.embed(speech, 16000) @ without.embed(interrupted, 16000)) < 0.95


def test_segments_cover_the_recording_evenly(speech):
    short = embedder(segment=1.0)
    starts = short.starts(40000)
    assert starts[0] == 0 and starts[-1] == 40000 - 16000
    assert np.diff(starts).max() <= 8000
    assert short.starts(9000) == [0]
    assert float(short.embed(speech, 16000) @ embedder().embed(speech, 16000)) > 0.9


def test_without_normalisation_the_mean_of_the_segments_is_given(speech):
    raw = embedder(normalize=False).embed(speech, 16000)
    assert np.linalg.norm(raw) < 0.999
    assert np.allclose(raw / np.linalg.norm(raw), embedder().embed(speech, 16000), atol=1e-5)


@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (np.ones((1, 1600), np.float32), 16000, "only 0.10 s long.*at least 0.5 s"),
        (np.zeros((1, 0), np.float32), 8000, "only 0.00 s long"),
        (np.zeros((2, 48000), np.float32), 48000, "silent"),
        (np.full((1, 48000), np.nan, np.float32), 16000, "not finite"),
    ],
)
def test_what_cannot_be_a_speaker_is_refused(audio, rate, message):
    with pytest.raises(AudioError, match=message):
        embedder().embed(audio, rate)


def test_a_click_in_silence_is_not_a_speaker():
    audio = np.zeros((1, 48000), np.float32)
    audio[0, 24000:24100] = 0.5
    with pytest.raises(AudioError, match="is speech.*--vad"):
        embedder(vad=True).embed(audio, 16000)
