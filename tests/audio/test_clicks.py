"""Clicks are found where they are, in blocks of any size, and neither pulses, drums nor voices are taken for them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.gaps.clicks import ClickFinder
from enhance_cli.audio.gaps.gap import Gap
from enhance_cli.audio.gaps.meter import GapMeter
from enhance_cli.audio.levels.level_track import LevelTrack

RATE = 16000
SPEECH = Path(__file__).parents[1] / "audio_files" / "pairs_48k" / "clean"


def found(audio: np.ndarray, *, rate: int = RATE, block: int = 65536) -> list[Gap]:
    finder = ClickFinder(rate)
    for start in range(0, audio.shape[1], block):
        finder.push(audio[:, start : start + block])
    return finder.found(LevelTrack(np.sqrt(np.square(audio).mean(axis=1))))


@pytest.fixture
def tones() -> np.ndarray:
    t = np.arange(3 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal((2, len(t)))
    return 0.2 * np.sin(2 * np.pi * np.array([[300], [470]]) * t) + 0.002 * noise


@pytest.mark.parametrize("block", [100, 3000, 65536])
def test_clicks_are_found_where_they_are(tones, block):
    for place, channel, width in ((5, 0, 1), (8000, 0, 1), (20011, 1, 8), (40000, 0, 20), (47000, 1, 2)):
        tones[channel, place : place + width] += 0.7 * np.random.default_rng(place).choice([-1, 1], width)
    gaps = found(tones, block=block)
    assert [(gap.channel, gap.kind) for gap in gaps] == [
        (0, "click"),
        (0, "click"),
        (1, "click"),
        (0, "click"),
        (1, "click"),
    ]
    for gap, (place, width) in zip(gaps, ((5, 1), (8000, 1), (20011, 8), (40000, 20), (47000, 2)), strict=True):
        assert gap.start <= place and place + width <= gap.end and gap.end - gap.start <= width + 14


def test_sound_that_is_whole_has_none(tones):
    rng = np.random.default_rng(0)
    t = np.arange(3 * RATE) / RATE
    drums = rng.standard_normal((1, len(t))) * np.exp(-20 * (t % 0.5))
    pulses = np.convolve(np.arange(len(t)) % 133 == 0, np.exp(-np.arange(100) / 20), "same")[None]
    steps = np.where(t % 1 < 0.5, 0.1, -0.1)[None] + 0.01 * rng.standard_normal((1, len(t)))
    for wave in (tones, 0.1 * rng.standard_normal((1, len(t))), 0.3 * drums, 0.3 * pulses, np.zeros((1, RATE)), steps):
        assert found(wave) == []


def test_pulses_in_silence_are_none():
    """Such as those of a metronome."""
    rng = np.random.default_rng(0)
    metronome = np.zeros((1, 3 * RATE))
    for place in (4000, 12345, 30000):
        metronome[0, place : place + 8] = 0.7 * rng.choice([-1, 1], 8)
    assert found(metronome) == []


@pytest.mark.parametrize("path", sorted(SPEECH.glob("*.flac")), ids=lambda path: path.stem)
def test_clean_speech_has_none(path):
    audio, rate = soundfile.read(path, always_2d=True)
    assert found(audio.T, rate=rate) == []


def test_the_edges_of_a_dropout_are_no_clicks(tones):
    tones[:, 9000:9500] = 0
    meter = GapMeter(RATE)
    meter.push(tones)
    gaps = meter.found(LevelTrack(np.full(2, 0.14)))
    assert gaps == [Gap(9000, 9500, kind="dropout")] and meter.text(gaps) == "0.5625-0.59375"
