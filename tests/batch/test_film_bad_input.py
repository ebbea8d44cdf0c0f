"""Videos that cannot be worked on are told in one line: encrypted ones, pictures that Matroska does not know."""

import shutil

import pytest

from enhance_cli.errors import AudioError
from tests import films
from tests.batch.test_films import clean

pytestmark = pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs the programs of FFmpeg")


def test_an_encrypted_video_is_told_as_such(tmp_path):
    films.simple(
        tmp_path / "a.mp4", "aac", 0.0, "-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "0" * 31 + "1",
        "-encryption_kid", "0" * 32,
    )  # fmt: skip
    with pytest.raises(AudioError, match=r"a.mp4 is not audio that can be read \(its sound is encrypted\)"):
        clean(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_film_whose_header_the_container_refuses_is_told_in_its_words(tmp_path):
    films.ffmpeg(
        "-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i", films.sound(), "-c:v", "rv20", "-c:a", "ac3",
        tmp_path / "a.rm",
    )  # fmt: skip
    with pytest.raises(AudioError) as refused:
        clean(tmp_path / "a.rm", tmp_path / "b.mkv")
    assert str(refused.value).splitlines() == [str(refused.value)]
    assert "Matroska does not hold this film (The Matroska muxer does not yet support muxing rv20)" in str(
        refused.value
    )
