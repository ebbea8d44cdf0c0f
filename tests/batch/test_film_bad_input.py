"""Videos that cannot be worked on are told in one line: encrypted ones, pictures that Matroska does not know."""

import shutil
from pathlib import Path

import pytest

from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.job import Job
from enhance_cli.errors import AudioError
from tests import films
from tests.batch.test_films import clean, unchanged

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
    assert "Matroska cannot hold this film (The Matroska muxer does not yet support muxing rv20)" in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_pieces_whose_sound_overlaps_stay_in_step_with_their_pictures(tmp_path, name):
    """As those of a stream on the web that were joined: AAC fills its last packet up, so each sound is longer."""
    films.ffmpeg(
        "-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i", films.sound(), "-c:v", "libx264", "-c:a", "aac",
        tmp_path / "one.mp4",
    )  # fmt: skip
    films.ffmpeg("-stream_loop", 9, "-i", tmp_path / "one.mp4", "-c", "copy", tmp_path / name)
    notes = clean(tmp_path / name, tmp_path / f"b_{name}")["notes"]
    assert len(notes) == 1 and "overlaps in the time stamps" in notes[0]
    clicks, flashes = films.sound_clicks(tmp_path / f"b_{name}"), films.flashes(tmp_path / f"b_{name}")
    assert len(clicks) == len(flashes) == 20
    assert clicks == pytest.approx(flashes, abs=0.035)  # 0.19 s at the end if none were cut


@pytest.mark.parametrize("name, beside, kept", [("a.ts", True, "a.mkv"), ("a.3gp", True, "a.mp4"), ("a.ts", False, "")])
def test_pictures_that_are_not_written_are_told_unless_that_was_asked_for(tmp_path, name, beside, kept):
    films.ffmpeg(
        "-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i", films.sound(), "-c:v", "libx264", "-c:a", "aac",
        tmp_path / name,
    )  # fmt: skip
    job = Job(tmp_path / name, Path(name), tmp_path / "a_denoised.wav", beside=beside)
    notes = enhance_file(job, unchanged, FileOptions(command="denoise"))["notes"]
    said = f"only the sound of this {Path(name).suffix} is written: -o {kept} makes a video of it"
    assert [note for note in notes if "only the sound" in note] == ([said] if beside else [])
