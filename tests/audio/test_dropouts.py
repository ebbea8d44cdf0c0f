"""Dropouts are found where samples stand still within sound, and nowhere else."""

import numpy as np
import pytest

from enhance_cli.audio.dropouts import DropoutFinder
from enhance_cli.audio.gaps import Gap

RATE = 16000


def found(audio: np.ndarray, *, block: int = 65536) -> list[Gap]:
    finder = DropoutFinder(RATE)
    for start in range(0, audio.shape[1], block):
        finder.push(audio[:, start : start + block])
    return finder.found(np.sqrt(np.square(audio).mean(axis=1)))


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


def test_memory_holds_little_of_a_long_recording(noise):
    finder = DropoutFinder(RATE)
    for _ in range(20):
        finder.push(noise)
    assert finder._held.shape[1] < 1.2 * RATE
