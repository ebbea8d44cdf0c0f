"""The picture: there, readable, and of both files on one scale."""

import numpy as np
import pytest

from enhance_cli.audio.plot import spectrograms
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


@pytest.mark.parametrize("frames", [1, 50])
def test_the_shortest_and_the_silent_can_be_drawn(frames, tmp_path):
    path = zoo.save(tmp_path / "x.wav", np.zeros((1, frames), np.float32))
    spectrograms(path, path, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"


def test_a_broken_file_is_an_error_and_leaves_no_picture(tmp_path):
    with pytest.raises(AudioError):
        spectrograms(zoo.one_sample(tmp_path), zoo.zero_bytes(tmp_path), tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
