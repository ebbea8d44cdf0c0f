"""Quantiles that are followed value by value."""

import numpy as np
import pytest

from enhance_cli.audio.levels.quantiles import UNKNOWN, Quantiles


def follow(values, quantiles, weights=1.0):
    followed = Quantiles(np.array(quantiles), np.full(len(quantiles), 0.05), 1)
    return np.array(
        [followed.push(np.full((1, len(quantiles)), v), np.full((1, len(quantiles)), weights))[0] for v in values]
    )


@pytest.mark.parametrize("quantile, expected", [(0.1, -1.28), (0.3, -0.52), (0.5, 0.0), (0.8, 0.84)])
def test_quantiles_of_a_normal_distribution(quantile, expected):
    values = np.random.default_rng(0).standard_normal(4000)
    assert follow(values, [quantile])[1000:].mean() == pytest.approx(expected, abs=0.1)


def test_a_level_far_away_is_reached_within_seconds_of_frames():
    values = np.r_[np.zeros(100), np.full(600, -20.0)]
    assert follow(values, [0.3])[-1, 0] == pytest.approx(-20, abs=0.2)


def test_values_of_no_weight_teach_nothing():
    assert (follow(np.arange(10.0), [0.5], weights=0.0) == UNKNOWN).all()
    followed = Quantiles(np.array([0.5]), np.array([0.1]), 1)
    before = followed.push(np.array([[3.0]]), np.ones((1, 1)))
    np.testing.assert_array_equal(followed.push(np.array([[90.0]]), np.zeros((1, 1))), before)
    assert before == 3.0
