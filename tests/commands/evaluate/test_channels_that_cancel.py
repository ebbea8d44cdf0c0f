"""Scores of stereo whose channels cancel in their mean, as those of a wrongly wired cable: it is sound, not silence."""

from pathlib import PurePath

import numpy as np
import pytest

from enhance_cli.commands.evaluate import bandwidth, inpainting
from enhance_cli.commands.evaluate.measures import read_original, score_file
from enhance_cli.metrics import load
from tests import audio_zoo as zoo


@pytest.fixture
def stereo(tmp_path):
    left = zoo.noise(1, 96000)
    return zoo.save(tmp_path / "a.wav", np.concatenate([left, -left]), 48000)


def test_speech_is_scored_by_the_first_channel_of_both(stereo):
    original = read_original(PurePath("a"), stereo)
    left, hiss = zoo.noise(1, 96000), zoo.noise(2, 96000, seed=1) / 10
    scores = score_file({"si_sdr": load("si_sdr")}, original, np.concatenate([left, -left]) + hiss, 48000)
    assert scores["si_sdr"] == pytest.approx(20, abs=0.5)


def test_gaps_and_bands_are_made_in_sound(stereo):
    assert np.square(inpainting.read(stereo, 20).whole).mean() > 1e-3
    assert np.square(bandwidth.read(stereo, 8000).whole).mean() > 1e-3
