"""A gap that a model fills: at its place in time, of the model's rate, faded into what continues the sound at both ends."""

from types import SimpleNamespace

import numpy as np
import pytest

from enhance_cli.tasks.gap_model import GapModel

RATE = 16000
GRID = 128


def tone(rate: int, seconds: float) -> np.ndarray:
    """(2, N) of 440 Hz, the second channel at another phase."""
    time = np.arange(round(rate * seconds)) / rate
    return 0.1 * np.stack([np.sin(2 * np.pi * 440 * time), np.cos(2 * np.pi * 440 * time)])


class Knowing:
    """In place of a model: puts the tone that belongs there into the gap, and writes down what it was given."""

    steps, rate, grid = 3, RATE, GRID

    def __init__(self, normalise="none", steps=3):
        self.spec = SimpleNamespace(name="knowing", normalise=normalise, level=0.07)
        self.steps = steps

    def filled(self, windows, missing, starts, scales):
        self.given = windows[0], missing[0], starts[0], scales[0]
        truth = tone(RATE, windows[0].shape[1] / RATE)
        return [np.where(missing[0], truth, windows[0]).astype(np.float32)]


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_filling_lies_at_its_time_at_every_rate_and_fades_into_the_first_one(rate):
    whole, begin, end = tone(rate, 1.2), round(0.5 * rate), round(0.7 * rate)
    before, behind = whole[:, :begin], whole[:, end:]
    first, model = np.full((2, end - begin), 0.05), Knowing()
    made = GapModel(model).fill(before, first, behind, rate=rate, start=3 * rate, scale=2.5)
    edge = rate // 100
    truth = whole[:, begin:end]
    np.testing.assert_allclose(made[:, edge:-edge], truth[:, edge:-edge], atol=2e-3)
    share = np.sin(np.pi / 2 * (np.arange(edge) + 0.5) / edge) ** 2  # from 0 to 1
    np.testing.assert_allclose(made[:, :edge], share * truth[:, :edge] + (1 - share) * 0.05, atol=5e-3)
    np.testing.assert_allclose(made[:, -edge:], share[::-1] * truth[:, -edge:] + (1 - share[::-1]) * 0.05, atol=5e-3)

    window, missing, start, scale = model.given
    assert scale == 2.5 and start == 3 * RATE // GRID * GRID and window.shape == (2, round(1.2 * RATE))
    inside = np.flatnonzero(missing)
    assert np.array_equal(inside, np.arange(inside[0], inside[-1] + 1)), "one gap"
    assert 0.5 * RATE - 2 <= inside[0] <= 0.5 * RATE and 0.7 * RATE - 1 <= inside[-1] <= 0.7 * RATE + 1


@pytest.mark.parametrize("at_begin", [True, False])
def test_a_gap_at_either_end_of_the_recording_is_filled_to_its_last_sample(at_begin):
    whole, none, model = tone(RATE, 0.5), np.zeros((2, 0)), Knowing()
    first, known = np.zeros((2, 3200)), whole[:, 3200:] if at_begin else whole[:, :-3200]
    sides = (none, first, known) if at_begin else (known, first, none)
    made = GapModel(model).fill(*sides, rate=RATE, start=0, scale=1.0)
    truth = whole[:, :3200] if at_begin else whole[:, -3200:]
    np.testing.assert_allclose(made[:, 160:-160], truth[:, 160:-160], atol=1e-4)
    assert model.given[1][0 if at_begin else -1] and not model.given[1][-1 if at_begin else 0]


def test_short_gaps_fade_over_half_of_themselves():
    whole = tone(RATE, 0.2)
    made = GapModel(Knowing()).fill(
        whole[:, :1600], np.zeros((2, 5)), whole[:, 1605:], rate=RATE, start=0, scale=1.0
    )  # fmt: skip
    weights = np.sin(np.pi / 2 * np.array([0.25, 0.75, 1, 0.75, 0.25])) ** 2
    np.testing.assert_allclose(made, weights * whole[:, 1600:1605], atol=1e-5)


def test_without_steps_the_first_filling_is_the_last():
    first = np.random.default_rng(0).standard_normal((1, 10))
    found = GapModel(Knowing(steps=0)).fill(np.ones((1, 5)), first, np.ones((1, 5)), rate=RATE, start=0, scale=1.0)
    assert np.array_equal(found, first)


@pytest.mark.parametrize("normalise, scale", [("level", 0.07 / 0.2), ("peak", 1 / 0.9), ("none", 1)])
def test_the_model_hears_the_recording_at_the_level_that_it_was_trained_at(normalise, scale):
    assert GapModel(Knowing(normalise)).scale(0.2, 0.9) == pytest.approx(scale)
