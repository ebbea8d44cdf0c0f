"""What browsers play, and copies of what they do not: of the same length, at the same place, at a known gain."""

import numpy as np
import pytest

from enhance_cli.audio.drawing.browser_copy import browsers_play, copy_suffix, write_browser_copy
from enhance_cli.audio.read import open_audio
from tests import audio_zoo as zoo
from tests.audio_zoo import read


@pytest.mark.parametrize(
    "container, subtype, plays",
    [("WAV", "PCM_16", True), ("WAV", "PCM_24", True), ("WAV", "FLOAT", True), ("FLAC", "PCM_24", True),
     ("OGG", "VORBIS", True), ("OGG", "OPUS", True), ("MP3", "MPEG_LAYER_III", True), ("AIFF", "PCM_16", False),
     ("CAF", "PCM_16", False), ("WAV", "MS_ADPCM", False), ("RF64", "PCM_16", False), ("W64", "PCM_16", False)],
)  # fmt: skip
def test_what_every_browser_plays(container, subtype, plays, tmp_path):
    with open_audio(zoo.save(tmp_path / "x", zoo.noise(frames=48000), 48000, container, subtype)) as audio:
        assert browsers_play(audio.info) is plays


def test_a_file_whose_header_is_wrong_is_not_left_to_the_browser():
    with open_audio("tests/audio_files/field/header_says_1s_holds_3s.wav") as audio:
        assert not browsers_play(audio.info)


@pytest.mark.parametrize("rate, channels", [(16000, 2), (44100, 1), (192000, 2), (384000, 1), (2000, 1), (16000, 12)])
def test_a_copy_is_as_long_and_sounds_the_same(rate, channels, tmp_path):
    seconds = np.arange(rate) / rate
    tone = np.tile(0.3 * np.sin(2 * np.pi * 200 * seconds), (channels, 1)).astype(np.float32)
    path = zoo.save(tmp_path / "x.aiff", tone, rate, "AIFF", "PCM_24")
    with open_audio(path) as audio:
        copy = tmp_path / f"copy{copy_suffix(audio.info)}"
        assert write_browser_copy(audio, copy) == 0
    with open_audio(copy) as audio:
        assert audio.info.container == "FLAC" and browsers_play(audio.info)
        result = np.concatenate(list(audio.blocks()), axis=1)
        assert result.shape[1] / audio.info.rate == pytest.approx(1, abs=1e-3)
        expected = 0.3 * np.sin(2 * np.pi * 200 * np.arange(result.shape[1]) / audio.info.rate)
        inner = slice(len(expected) // 10, -len(expected) // 10)
        np.testing.assert_allclose(result[0, inner], expected[inner], atol=2e-3)


def test_a_copy_begins_where_it_is_told_and_does_not_clip(tmp_path):
    audio = np.linspace(0, 4, 32000, dtype=np.float32)[None]
    path = zoo.save(tmp_path / "x.caf", audio, 16000, "CAF", "FLOAT")
    with open_audio(path) as opened:
        gain = write_browser_copy(opened, tmp_path / "copy.flac", peak=4.0, start=1.0, duration=0.5)
    assert gain == pytest.approx(-12.04, abs=0.01)
    np.testing.assert_allclose(read(tmp_path / "copy.flac")[0], audio[:, 16000:24000] / 4, atol=1e-3)


def test_lossy_sound_is_copied_as_opus(tmp_path):
    with open_audio("tests/audio_files/field/chapters.m4a") as audio:
        assert copy_suffix(audio.info) == ".opus" and not browsers_play(audio.info)
        write_browser_copy(audio, tmp_path / "copy.opus")
        seconds = sum(block.shape[1] for block in audio.blocks()) / audio.info.rate
    with open_audio(tmp_path / "copy.opus") as copy:
        assert copy.info.subtype == "OPUS" and browsers_play(copy.info)
        assert sum(block.shape[1] for block in copy.blocks()) / 48000 == pytest.approx(seconds, abs=0.001)
