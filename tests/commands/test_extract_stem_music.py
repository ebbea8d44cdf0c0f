"""`enhance extract-stem` by RoFormers: stems of songs whose two channels are heard together, in windows as published."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.models.weights import load_network, save_model
from tests import audio_zoo as zoo
from tests import films
from tests.golden_numbers import rel_l2
from tests.models.convert.foreign import bs_roformer, mel_band_roformer, scnet, tiger_dnr

pytestmark = pytest.mark.slow

STEMS = ["drums", "bass", "other", "vocals"]
RATE = 44100


def music(seconds: float, channels: int = 2) -> np.ndarray:
    """A tone on one side, noise on both."""
    rng = np.random.default_rng(0)
    tone = 0.2 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * RATE)) / RATE)
    places = np.array([[1.0], [0.2]])[:channels]
    return (tone * places + 0.05 * rng.standard_normal((channels, tone.size))).astype(np.float32)


def sound(path) -> np.ndarray:
    """(C, N) float64."""
    return soundfile.read(path, always_2d=True)[0].T


def separated(model, mix: np.ndarray) -> np.ndarray:
    """(K, C, N) of the network alone, on the whole of mix (2, N)."""
    network = load_network(model)[1]
    with torch.inference_mode():
        return network.extract_all(torch.from_numpy(mix)[None])[0].numpy()


@pytest.fixture
def model(enhance, tmp_path):
    torch.save(bs_roformer(), tmp_path / "model_bs_roformer.ckpt")
    result = enhance("models", "convert", "model_bs_roformer.ckpt", "-o", "music.safetensors")
    assert result.lines == ["music.safetensors"], result.stderr
    return tmp_path / "music.safetensors"


def test_every_stem_of_a_stereo_song_and_together_the_song(enhance, model, tmp_path):
    zoo.save(tmp_path / "song.wav", music(1.0), RATE)
    result = enhance("extract-stem", "song.wav", "-m", model)
    assert result.code == 0 and result.lines == [f"song_{stem}.wav" for stem in STEMS]
    stems = [sound(tmp_path / name) for name in result.lines]
    np.testing.assert_allclose(sum(stems), sound(tmp_path / "song.wav"), atol=4 / 2**15)
    assert np.abs(stems[0] - stems[3]).max() > 0.01


@pytest.fixture
def fading_model(model):
    """The model with windows that fade into each other, as the Lightning files of its network and our own have."""
    spec, network = load_network(model)
    save_model(model, replace(spec, overlap={}, frames_multiple=441), network)
    return model


@pytest.mark.parametrize("channels", [1, 2])
def test_both_channels_are_heard_at_once_and_mono_as_two_equal_ones(enhance, fading_model, tmp_path, channels):
    mix = music(1.0, channels)  # 100 hops, so that nothing is filled up
    zoo.save(tmp_path / "song.wav", mix, RATE, subtype="FLOAT")
    assert enhance("extract-stem", "song.wav", "-m", fading_model, "-s", "vocals", "-o", "v.wav").code == 0
    expected = separated(fading_model, np.broadcast_to(mix, (2, mix.shape[1])).copy())[3]
    expected = expected if channels == 2 else expected.mean(axis=0, keepdims=True)
    np.testing.assert_allclose(sound(tmp_path / "v.wav"), expected, atol=1e-5)


def test_a_long_song_is_done_in_windows_of_11_seconds_that_fade_into_each_other(enhance, fading_model, tmp_path):
    mix = music(14.0)
    zoo.save(tmp_path / "song.wav", mix, RATE, subtype="FLOAT")
    assert enhance("extract-stem", "song.wav", "-m", fading_model, "-s", "vocals", "-o", "v.wav").code == 0
    found = sound(tmp_path / "v.wav")
    parts = mix[:, : 10 * RATE], mix[:, 8 * RATE :]
    first, second = (separated(fading_model, part)[3] for part in parts)
    border, half = 9 * RATE, RATE // 2
    np.testing.assert_allclose(found[:, : border - half], first[:, : border - half], atol=1e-5)
    np.testing.assert_allclose(found[:, border + half :], second[:, RATE + half :], atol=1e-5)
    np.testing.assert_allclose(found[:, border], (first[:, border] + second[:, RATE]) / 2, atol=1e-4)


def test_there_is_nothing_to_refine_and_no_guitar(enhance, model, tmp_path):
    zoo.save(tmp_path / "song.wav", music(0.01), RATE)
    result = enhance("extract-stem", "song.wav", "-m", model, "-n", "1")
    assert result.code == 2 and "music has nothing that refines" in result.errors[0]
    result = enhance("extract-stem", "song.wav", "-m", model, "-s", "guitar")
    assert result.code == 2 and "choose from drums, bass, other, vocals, all" in result.errors[0]
    result = enhance("extract-stem", "song.wav", "-m", model, "-s", "vocals")  # a song of 441 samples
    assert result.code == 0 and sound(tmp_path / "song_vocals.wav").shape == (2, 441)


@pytest.fixture
def vocal_model(enhance, tmp_path):
    torch.save(mel_band_roformer(), tmp_path / "MelBandRoformer.ckpt")
    result = enhance("models", "convert", "MelBandRoformer.ckpt", "-o", "vocal.safetensors")
    assert result.lines == ["vocal.safetensors"], result.stderr
    return tmp_path / "vocal.safetensors"


@pytest.mark.parametrize("seconds", [5.0, 9.0])
def test_vocals_come_from_windows_of_8_seconds_over_each_other_as_published(enhance, vocal_model, tmp_path, seconds):
    """The published loop, spelled out: longer than 8 seconds both ends are mirrored, shorter ones are filled up."""
    mix = music(seconds)
    zoo.save(tmp_path / "song.wav", mix, RATE, subtype="FLOAT")
    assert enhance("extract-stem", "song.wav", "-m", vocal_model, "-s", "vocals", "-o", "v.wav").code == 0
    window, step, border = 8 * RATE, 4 * RATE, 4 * RATE if seconds > 8 else 0
    padded = np.pad(mix, ((0, 0), (border, border)), mode="reflect")
    total, count = np.zeros_like(padded), np.zeros(padded.shape[1], np.float32)
    for start in range(0, padded.shape[1], step):
        part = padded[:, start : start + window]
        length = part.shape[1]
        mode = "reflect" if length > window // 2 + 1 else "constant"
        found = separated(vocal_model, np.pad(part, ((0, 0), (0, window - length)), mode=mode))[0]
        weights, fade = np.ones(window, np.float32), window // 10
        if start:
            weights[:fade] = np.linspace(0, 1, fade)
        if not start or start + window < padded.shape[1]:
            weights[-fade:] = np.linspace(1, 0, fade)
        total[:, start : start + length] += (found * weights)[:, :length]
        count[start : start + length] += weights[:length]
    expected = (total / count)[:, border : padded.shape[1] - border]
    np.testing.assert_allclose(sound(tmp_path / "v.wav"), expected, atol=1e-5)


@pytest.mark.parametrize(
    "rate, channels, samples", [(48000, 2, 30000), (44100, 1, 20000), (8000, 6, 4000), (44100, 2, 1)]
)
def test_vocals_and_the_rest_are_the_song_at_any_rate_and_length(
    enhance, vocal_model, tmp_path, rate, channels, samples
):
    mix = np.random.default_rng(0).normal(0, 0.1, (channels, samples)).astype(np.float32)
    zoo.save(tmp_path / "song.wav", mix, rate, subtype="FLOAT")
    result = enhance("extract-stem", "song.wav", "-m", vocal_model)
    assert result.lines == ["song_vocals.wav", "song_rest.wav"], result.stderr
    vocals, rest = (sound(tmp_path / name) for name in result.lines)
    assert vocals.shape == mix.shape and np.abs(vocals).max() > 0
    np.testing.assert_allclose(vocals + rest, mix, atol=1e-5)


def test_a_silent_song_stays_silent(enhance, vocal_model, tmp_path):
    zoo.save(tmp_path / "song.wav", np.zeros((2, 4000), np.float32), RATE)
    assert enhance("extract-stem", "song.wav", "-m", vocal_model, "--residual").code == 0
    assert not any(sound(tmp_path / f"song_{stem}.wav").any() for stem in ("vocals", "rest", "residual"))


@pytest.fixture
def film_model(enhance, tmp_path):
    torch.save(tiger_dnr(), tmp_path / "tiger.ckpt")
    result = enhance("models", "convert", "tiger.ckpt", "-o", "film.safetensors")
    assert result.lines == ["film.safetensors"], result.stderr
    return tmp_path / "film.safetensors"


def test_dialogue_is_the_mean_of_three_windows_for_each_channel_by_itself(enhance, film_model, tmp_path):
    """The published program takes the first channel for both. Windows begin every third of a window, silence lies around."""
    spec, network = load_network(film_model)
    window, step = round(0.3 * RATE), round(0.1 * RATE)  # 12 seconds as published, which take long
    save_model(film_model, replace(spec, window_seconds=0.3), network)
    mix = music(0.25)
    zoo.save(tmp_path / "film.wav", mix, RATE, subtype="FLOAT")
    result = enhance("extract-stem", "film.wav", "-m", film_model, "--stem", "dialogue", "--residual")
    assert result.lines == ["film_dialogue.wav", "film_residual.wav"], result.stderr
    dialogue, rest = (sound(tmp_path / name) for name in result.lines)
    network, label = load_network(film_model)[1], torch.tensor([[1, 0, 0]])
    padded = np.pad(mix, ((0, 0), (2 * step, 2 * window)))
    expected = np.zeros((2, padded.shape[1]))
    with torch.inference_mode():
        for start in range(0, 2 * step + mix.shape[1], step):
            part = torch.from_numpy(padded[:, start : start + window])
            found = [network.extract(channel[None, None], label)[0][0, 0].numpy() for channel in part]
            expected[:, start : start + window] += np.stack(found) / 3
    assert rel_l2(dialogue, expected[:, 2 * step :][:, : mix.shape[1]]) < 1e-5
    np.testing.assert_allclose(dialogue + rest, mix, atol=1e-6 * np.abs(dialogue).max())
    assert np.abs(dialogue[0] - dialogue[1]).max() > 0.01


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs the programs of FFmpeg")
def test_the_dialogue_of_a_film_is_a_film(enhance, film_model, tmp_path):
    spec, network = load_network(film_model)
    save_model(film_model, replace(spec, window_seconds=0.3), network)
    film = films.simple(tmp_path / "film.mkv", "pcm_f32le", 0.25, "-t", "0.6", rate=RATE, channels=2)
    result = enhance(
        "extract-stem", "film.mkv", "-m", film_model, "--stem", "dialogue", "--residual", "--keep-original"
    )
    assert result.lines == ["film_dialogue.mkv", "film_residual.mkv"], result.stderr
    before = films.packets(film)
    for name in result.lines:
        after = films.packets(tmp_path / name)
        assert (after[0], after[2]) == (before[0], before[1])
        assert films.streams(tmp_path / name)[1]["start_time"] == films.streams(film)[1]["start_time"]
    dialogue, rest = (films.decoded(tmp_path / name, 0, RATE) for name in result.lines)
    mix = films.decoded(film, 0, RATE)
    assert dialogue.any() and np.abs(dialogue + rest - mix).max() < 1e-6 * max(1, np.abs(dialogue).max())


def test_a_standardized_model_hears_every_file_at_one_level_as_published(enhance, tmp_path):
    """The deviation is that of the mean of both channels, over the whole file."""
    settings = "model: {band_SR: [0.175, 0.392, 0.433]}\ninference: {normalize: true, chunk_size: 22050}\n"
    torch.save(scnet(), tmp_path / "scnet.ckpt")
    (tmp_path / "scnet.yaml").write_text(settings)
    assert enhance("models", "convert", "scnet.ckpt", "-o", "four.safetensors").code == 0
    mix = 0.1 * music(0.5)
    zoo.save(tmp_path / "song.wav", mix, RATE, subtype="FLOAT")
    assert enhance("extract-stem", "song.wav", "-m", "four.safetensors", "-s", "bass", "-o", "b.wav").code == 0
    deviation = mix.mean(axis=0, dtype=np.float64).std()
    window, step, found = 22050, 22050 // 4, []
    weights = np.concatenate([np.ones(window - window // 10), np.linspace(1, 0, window // 10)])
    for start in range(0, window, step):
        part = mix[:, start:] / deviation
        mode = "reflect" if part.shape[1] > window // 2 + 1 else "constant"
        part = np.pad(part, ((0, 0), (0, window - part.shape[1])), mode=mode).astype(np.float32)
        stem = separated(tmp_path / "four.safetensors", part)[1][:, : window - start] * deviation
        weight = (
            weights[:] if not start else np.concatenate([weights[::-1][: window // 10], np.ones(window - window // 10)])
        )
        found.append((start, stem, weight[: window - start]))
    total, count = np.zeros_like(mix), np.zeros(window)
    for start, stem, weight in found:
        total[:, start:] += stem * weight
        count[start:] += weight
    assert rel_l2(sound(tmp_path / "b.wav"), total / count) < 1e-4
