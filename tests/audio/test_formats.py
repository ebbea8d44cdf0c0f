"""Choosing the output format: what came in goes out, and what a format cannot hold is refused before any
work.
"""

from pathlib import Path

import pytest

from enhance_cli.audio.formats import can_write, output_format
from enhance_cli.audio.info import AudioInfo
from enhance_cli.errors import UsageError


def info(container="WAV", subtype="PCM_16", rate=48000, channels=2, bitrate=None):
    return AudioInfo(Path("in"), container, subtype, rate, channels, 1000, "libsndfile", bitrate)


def choose(source, *args, **kwargs):
    chosen = output_format(source, *args, **kwargs)
    return chosen.container, chosen.subtype, chosen.rate, chosen.extension


SAME = [
    ("WAV", "PCM_16", ".wav"), ("WAV", "PCM_24", ".WAV"), ("WAV", "FLOAT", ".wav"), ("WAV", "ULAW", ".wav"),
    ("WAVEX", "PCM_24", ".wav"), ("RF64", "PCM_24", ".wav"), ("FLAC", "PCM_24", ".flac"),
    ("AIFF", "PCM_16", ".aif"),
    ("CAF", "ALAC_24", ".caf"), ("W64", "PCM_16", ".w64"), ("AU", "PCM_16", ".au"), ("OGG", "VORBIS", ".ogg"),
    ("OGG", "OPUS", ".opus"), ("OGG", "OPUS", ".ogg"), ("MP3", "MPEG_LAYER_III", ".mp3"),
    ("M4A", "AAC", ".m4a"),
    ("M4A", "ALAC_24", ".m4a"),
]  # fmt: skip


@pytest.mark.parametrize(("container", "subtype", "extension"), SAME)
def test_what_came_in_goes_out(container, subtype, extension):
    assert choose(info(container, subtype), extension) == (container, subtype, 48000, extension)


@pytest.mark.parametrize(
    ("source", "extension", "expected"),
    [
        (info("FLAC", "PCM_24"), ".wav", ("WAV", "PCM_24", 48000)),
        (info("WAV", "FLOAT"), ".flac", ("FLAC", "PCM_24", 48000)),
        (info("WAV", "PCM_U8"), ".flac", ("FLAC", "PCM_S8", 48000)),
        (info("MP3", "MPEG_LAYER_III"), ".wav", ("WAV", "PCM_16", 48000)),
        (info("MKV", "AAC"), ".wav", ("WAV", "PCM_16", 48000)),
        (info("M4A", "ALAC_24"), ".flac", ("FLAC", "PCM_24", 48000)),
        (info(rate=96000), ".mp3", ("MP3", "MPEG_LAYER_III", 48000)),
        (info(rate=44100), ".opus", ("OGG", "OPUS", 48000)),
        (info(rate=22050), ".opus", ("OGG", "OPUS", 24000)),
        (info(rate=44100), ".m4a", ("M4A", "AAC", 44100)),
        (info(), ".ogg", ("OGG", "VORBIS", 48000)),
        (info(rate=384_000), ".ogg", ("OGG", "VORBIS", 200_000)),
    ],
)
def test_another_extension_takes_the_nearest_the_format_has(source, extension, expected):
    assert choose(source, extension)[:3] == expected


@pytest.mark.parametrize(
    ("name", "film", "said"),
    [
        ("a.mka", False, ("MKA cannot be written: the result is WAV",)),
        ("a.mkv", False, ()),
        ("a.mkv", True, ("the sound alone is written, as WAV",)),
    ],
)
def test_sound_without_pictures_is_not_called_the_sound_alone(name, film, said):
    source = AudioInfo(Path(name), "MKV", "PCM_16", 48000, 2, 1000, "ffmpeg", film=film)
    assert output_format(source, ".wav").notes == said


def test_a_rate_that_the_format_does_not_have_is_told_where_treble_is_lost():
    lost = "96000 Hz are not kept: the result has 48000"
    assert lost in output_format(info(rate=96000), ".mp3").notes
    assert not any("Hz" in note for note in output_format(info(rate=44100), ".opus").notes)
    assert lost not in output_format(info(rate=96000), ".mp3", rate=48000).notes


def test_flags_win_over_the_input():
    assert choose(info(), None, "flac", "24", 16000) == ("FLAC", "PCM_24", 16000, ".flac")
    assert choose(info("OGG", "OPUS"), None, "wav", "float") == ("WAV", "FLOAT", 48000, ".wav")
    assert choose(info(), None, "opus") == ("OGG", "OPUS", 48000, ".opus")
    assert choose(info(), ".wav", "rf64") == ("RF64", "PCM_16", 48000, ".wav")
    assert choose(info(), None, "m4a", "24") == ("M4A", "ALAC_24", 48000, ".m4a")


def test_lossy_outputs_keep_the_bit_rate_and_get_a_sensible_one_else():
    assert output_format(info("MP3", "MPEG_LAYER_III", bitrate=192_000), ".mp3").bitrate == 192_000
    assert output_format(info(), ".mp3").bitrate == 160_000
    assert output_format(info(channels=1), ".mp3").bitrate == 80_000
    assert output_format(info(), ".flac").bitrate is None


@pytest.mark.parametrize(
    ("source", "args", "message"),
    [
        (info(), (None, "flac", "float"), "FLAC cannot hold floats"),
        (info(), (None, "flac", "32"), "FLAC cannot hold 32 bits"),
        (info(), (None, "mp3", "24"), "MP3 has no bit depth"),
        (info(), (None, "opus", "16"), "OPUS has no bit depth"),
        (info(), (None, "m4a", "float"), "M4A cannot hold float"),
        (info(), (None, "mp3", None, 96000), "MP3 cannot be written at 96000 Hz: choose one of 8000"),
        (info(), (None, "opus", None, 44100), "Opus cannot be written at 44100 Hz"),
        (info(channels=6), (".mp3",), "MP3 holds at most 2 channels, not 6"),
        (info(channels=9), (".flac",), "FLAC holds at most 8 channels"),
        (info(), (".wma",), r"\.wma files cannot be written"),
        (info(), (".wav", "mp3"), "does not fit"),
        (info(), (None, "wma"), "--format wma cannot be written: choose one of wav"),
        (info(), (None, None, "12"), "--bit-depth 12 is unknown"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_with_a_remedy(source, args, message):
    with pytest.raises(UsageError, match=message) as error:
        output_format(source, *args)
    assert error.value.hint


def test_which_extensions_can_be_written():
    assert can_write(".WAV") and can_write(".m4a") and not can_write(".mkv") and not can_write("")


def test_what_cannot_be_written_again_becomes_wav_and_rf64_is_taken_at_its_word():
    assert output_format(info("MKV", "AAC"), None).container == "WAV"
    assert output_format(info(), ".rf64").container == "RF64"
