"""Dropouts are found where samples stand still within sound, and nowhere else."""

import numpy as np
import pytest

from enhance_cli.audio.gaps.dropouts import DropoutFinder, _equal_runs
from enhance_cli.audio.gaps.gap import Gap
from enhance_cli.audio.gaps.meter import GapMeter
from enhance_cli.audio.levels.level_track import LevelTrack

RATE = 16000


def found(audio: np.ndarray, *, block: int = 65536) -> list[Gap]:
    finder = DropoutFinder(RATE)
    for start in range(0, audio.shape[1], block):
        finder.push(audio[:, start : start + block])
    return finder.found(LevelTrack(np.sqrt(np.square(audio).mean(axis=1))))


@pytest.fixture
def noise() -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((2, 3 * RATE))


@pytest.mark.parametrize("block", [100, 1000, 65536])
def test_zeros_and_held_samples_are_found_in_blocks_of_any_size(noise, block):
    noise[:, 5000:5320] = 0
    noise[:, 9000:9800] = noise[:, 8999:9000]
    noise[1, 20000:20100] = 0
    assert found(noise, block=block) == [
        Gap(5000, 5320, kind="lost packet"),
        Gap(9000, 9800, kind="dropout"),
        Gap(20000, 20100, channel=1, kind="dropout"),
    ]


def test_the_level_of_a_recording_does_not_matter(noise):
    noise[:, 5000:5320] = 0
    assert found(0.003 * noise) == found(noise) == [Gap(5000, 5320, kind="lost packet")]  # the first one at -70 dBFS


def test_pauses_are_no_dropouts(noise):
    fade = np.linspace(1, 0, 2000) ** 2
    for begin, end in ((8000, 12000), (20000, 21000)):  # as a gate leaves them
        noise[:, begin - 2000 : begin] *= fade
        noise[:, begin:end] = 0
    noise[:, :1000] = noise[:, -1000:] = 0  # before and behind the sound
    noise[:, 25000 : 25000 + int(1.1 * RATE)] = 0  # between two pieces
    assert found(noise) == []
    assert found(np.zeros((1, RATE))) == []


def test_waveforms_with_flat_parts_are_no_dropouts():
    t = np.arange(2 * RATE) / RATE
    square = 0.3 * np.sign(np.sin(2 * np.pi * 60 * t))[None]
    pulses = np.where(np.sin(2 * np.pi * 150 * t) > 0, 0.3, 0.0)[None]
    clipped = np.clip(np.sin(2 * np.pi * 50 * t), -0.5, 0.5)[None]
    stairs = np.repeat(0.2 * np.random.default_rng(0).standard_normal((1, 400)), 80, axis=1)
    for wave in (square, pulses, clipped, stairs):
        assert found(wave) == []


def test_quiet_passages_of_few_bits_are_no_dropouts_and_loud_ones_have_some(noise):
    """In 8 bits, faint sound stands still on a step for milliseconds."""
    t = np.arange(noise.shape[1]) / RATE
    faint = 0.012 * np.sin(2 * np.pi * 90 * t) * (t % 1 < 0.7)
    eight = np.round(128 * (noise * (t % 1 >= 0.7) + faint)) / 128
    assert found(eight) == [] and _equal_runs(eight[0], 16)
    eight[:, 13000:13320] = 0
    assert {(gap.start, gap.end, gap.kind) for gap in found(eight)} == {(13000, 13320, "lost packet")}


def notes(rng: np.random.Generator, beat: int, rest: int) -> np.ndarray:
    """Thirty notes of a synthesizer (1, N) that end hard, with silence between them."""
    t = np.arange(beat - rest) / RATE
    tones = [0.3 * np.sign(np.sin(2 * np.pi * rng.uniform(200, 800) * t) + 0.1 * np.sin(900 * t)) for _ in range(30)]
    return np.concatenate([np.pad(tone, (0, rest)) for tone in tones])[None] + 0.0


def test_rests_between_hard_notes_are_told_and_left_alone_and_dropouts_between_them_are_not():
    rng = np.random.default_rng(0)
    tune = notes(rng, beat=2000, rest=711)
    tune += np.where(tune != 0, 0.01 * rng.standard_normal(tune.shape), 0)  # of more than two values
    meter = GapMeter(RATE)
    meter.push(tune)
    assert meter.found(LevelTrack(np.array([0.3]))) == []
    assert meter.doubts == ["29 silences at equal distances seem to be rests, and were not filled: --gaps fills them"]
    tune[:, 20300:20500] = 0
    meter = GapMeter(RATE)
    meter.push(tune)
    assert meter.found(LevelTrack(np.array([0.3]))) == [Gap(20300, 20500, kind="dropout")]


def test_beeps_with_pauses_of_a_quarter_of_a_second_have_no_lost_packets():
    t = np.arange(4 * RATE) / RATE
    beeps = 0.5 * np.sin(2 * np.pi * 1000 * t) * (np.floor(4 * t) % 2 == 0)
    meter = GapMeter(RATE)
    meter.push(beeps[None])
    assert meter.found(LevelTrack(np.array([0.25]))) == [] and meter.doubts[0].startswith("7 silences")


def test_sound_that_is_lost_at_any_time_or_in_packets_is_no_rhythm(noise):
    starts = np.random.default_rng(3).integers(RATE // 4, 11 * RATE // 4, 12) // 320 * 320
    whole = noise.copy()
    for start in np.unique(starts):
        noise[:, start : start + 320] = 0
    assert found(noise) and not any(gap.kind != "lost packet" for gap in found(noise) if gap.end - gap.start == 320)
    meter = GapMeter(RATE)
    for place in (5000, 9111, 14050, 22000, 30123, 40500):
        whole[:, place : place + 333] = 0
    meter.push(whole)
    assert len(meter.found(LevelTrack(np.full(2, 0.1)))) == 6 and meter.doubts == []


def test_memory_holds_little_of_a_long_recording(noise):
    finder = DropoutFinder(RATE)
    for _ in range(20):
        finder.push(noise)
    assert finder._held.shape[1] < 1.2 * RATE
