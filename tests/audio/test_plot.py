"""The picture: there, readable, and of both files on one scale."""

import os
import subprocess
import sys

import numpy as np
import pytest

from enhance_cli.audio.drawing.plot import spectrograms
from enhance_cli.errors import AudioError
from tests import audio_zoo as zoo


def test_a_cleaner_file_gives_a_darker_lower_half(tmp_path):
    from matplotlib import image

    before = zoo.save(tmp_path / "noisy.wav", zoo.noise(2, 48000))
    after = zoo.save(tmp_path / "clean [1] $x$.flac", zoo.noise(2, 48000) / 64, container="FLAC")
    spectrograms(before, after, tmp_path / "x.png.part")
    picture = image.imread(tmp_path / "x.png.part", format="png")[:, :, :3].mean(axis=2)
    height, width = picture.shape
    assert width > 800 and height > 500
    upper, lower = (
        picture[height // 4, width // 4 : width // 2],
        picture[3 * height // 4, width // 4 : width // 2],
    )
    assert upper.mean() > lower.mean() + 0.1


def test_a_home_that_cannot_be_written_says_nothing_on_stderr(tmp_path):
    """A cron job with --quiet would send mail, as of `building the font cache`."""
    (tmp_path / "home").touch()
    sound = zoo.save(tmp_path / "x.wav", zoo.noise(1, 4800))
    code = f"""
from pathlib import Path
from enhance_cli.audio.drawing.plot import spectrograms
spectrograms(Path({str(sound)!r}), Path({str(sound)!r}), Path({str(tmp_path / "x.png")!r}))
import matplotlib; print(matplotlib.get_cachedir())
"""
    given = os.environ | {"MPLCONFIGDIR": str(tmp_path / "home" / "x"), "TMPDIR": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=given)
    assert result.stdout.startswith(str(tmp_path)) and result.stderr == ""


def drawn(picture):
    """Return the two spectrograms (2, H, W) of a picture as brightness from 0 to 1, a small border left out."""
    from matplotlib import image

    light = image.imread(picture)[:, :, :3].mean(axis=2)
    return light[35:345, 70:1040], light[400:710, 70:1040]


@pytest.mark.parametrize("frames", [1, 50, 48000])
def test_the_shortest_and_the_silent_can_be_drawn_and_silence_is_black(frames, tmp_path):
    path = zoo.save(tmp_path / "x.wav", np.zeros((1, frames), np.float32))
    spectrograms(path, path, tmp_path / "x.png")
    assert all(half.max() < 0.05 for half in drawn(tmp_path / "x.png"))


def test_the_end_of_a_long_recording_is_in_the_picture(tmp_path):
    sound = np.concatenate([np.zeros((1, 70 * 8000), np.float32), zoo.noise(1, 20 * 8000)], axis=1)
    path = zoo.save(tmp_path / "x.wav", sound, rate=8000)
    spectrograms(path, path, tmp_path / "x.png")
    for half in drawn(tmp_path / "x.png"):
        assert half[:, :600].mean() < 0.05 < 0.3 < half[:, 800:].mean()


def test_before_and_after_are_of_the_same_part(tmp_path):
    sound = np.concatenate([np.zeros((2, 2 * 8000), np.float32), zoo.noise(2, 8000)], axis=1)
    sound[1] = 0
    before = zoo.save(tmp_path / "x.wav", sound, rate=8000)
    after = zoo.save(tmp_path / "y.wav", sound[:1, 2 * 8000 :], rate=8000)
    spectrograms(before, after, tmp_path / "x.png", start=2, duration=1, channels="1")
    upper, lower = drawn(tmp_path / "x.png")
    np.testing.assert_allclose(upper.mean(axis=0), lower.mean(axis=0), atol=0.05)
    spectrograms(before, after, tmp_path / "x.png", start=2, duration=1, channels="2")
    assert drawn(tmp_path / "x.png")[0].max() < 0.05


def test_channels_that_cancel_out_are_still_seen(tmp_path):
    sound = zoo.noise(1, 8000)
    path = zoo.save(tmp_path / "x.wav", np.concatenate([sound, -sound]), rate=8000)
    spectrograms(path, path, tmp_path / "x.png")
    assert min(half.mean() for half in drawn(tmp_path / "x.png")) > 0.3


def test_any_name_can_be_shown_and_nothing_is_said_about_its_letters(tmp_path, recwarn):
    path = zoo.save(tmp_path / "録音 $\\x$.wav", zoo.noise(1, 8000), rate=8000)
    spectrograms(path, path, tmp_path / "x.png")
    assert (tmp_path / "x.png").exists() and not [str(warning.message) for warning in recwarn]


def test_a_broken_file_is_an_error_and_leaves_no_picture(tmp_path):
    with pytest.raises(AudioError):
        spectrograms(zoo.one_sample(tmp_path), zoo.zero_bytes(tmp_path), tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
