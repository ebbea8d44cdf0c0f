"""Error rates of trials by condition: right on cases with a known answer, and not fooled by what merely raises cosines."""

import numpy as np
import pytest

from enhance_cli.data.degraded import CONDITIONS
from enhance_cli.metrics.condition_eer import error_rates, intervals, pairs, target_cosines, thresholds

COUNT = len(CONDITIONS)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def voices(spread: float, count: int = 12, each: int = 4):
    """Vectors (count * each, conditions, 32) around a center per speaker, and their speakers."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((count, 1, 1, 32))
    vectors = centers + spread * rng.standard_normal((count, each, COUNT, 32))
    return unit(vectors.reshape(-1, COUNT, 32)), [f"corpus/{n}" for n in range(count) for _ in range(each)]


def test_only_recordings_of_one_corpus_are_compared():
    one, other, same = pairs(["a/x", "a/x", "a/y", "b/x", "b/x"])
    assert list(zip(one, other)) == [(0, 1), (0, 2), (1, 2), (3, 4)]
    assert list(same) == [True, False, False, True]


def test_more_spread_is_more_error_and_moving_all_voices_together_does_not_help():
    (near, speakers), (far, _) = voices(0.3), voices(1.5)
    good, bad = error_rates(near, speakers, CONDITIONS), error_rates(far, speakers, CONDITIONS)
    assert good["degraded"] < 1 < 10 < bad["degraded"] < 50
    together = unit(far + 3 * unit(far).mean(axis=(0, 1)))
    before, after = target_cosines(far, speakers, CONDITIONS), target_cosines(together, speakers, CONDITIONS)
    assert after["degraded"] > before["degraded"] + 0.1
    assert error_rates(together, speakers, CONDITIONS)["degraded"] > bad["degraded"] - 1


def test_target_cosines_are_of_one_speaker_only():
    vectors = np.zeros((3, COUNT, 2))
    vectors[:2, :, 0] = vectors[2, :, 1] = 1
    vectors[1, 1] = 0.6, 0.8  # the second utterance, noisy
    found = target_cosines(vectors, ["a/x", "a/x", "a/y"], CONDITIONS)
    assert (found["clean"], found["noise"], found["clean-noise"], found["codec"]) == (1, 0.6, 0.8, 1)
    vectors[1, 1] = 1 / 3, np.sqrt(8) / 3
    assert target_cosines(vectors, ["a/x", "a/x", "a/y"], CONDITIONS)["noise"] == 0.3333


def test_intervals_hold_the_rate_and_pair_the_draws():
    vectors, speakers = voices(1.2)
    rates, drawn = (
        error_rates(vectors, speakers, CONDITIONS),
        intervals({"raw": vectors, "same": vectors}, speakers, CONDITIONS),
    )
    assert rates.keys() == drawn["raw"].keys() == drawn["same"].keys() >= set(CONDITIONS) | {"degraded"}
    for condition, rate in rates.items():
        low, high = np.percentile(drawn["raw"][condition], [2.5, 97.5])
        assert low <= rate <= high and low < high
        assert np.array_equal(drawn["raw"][condition], drawn["same"][condition])


def test_the_threshold_is_over_the_pairs_of_all_conditions_and_told_apart_it_leaves_no_uncertainty():
    """Cosines of one speaker are 1, but .6 where the second utterance is in noise, and of two speakers 0, but .8 or 0 there."""
    vectors = np.zeros((3, COUNT, 2))
    vectors[:2, :, 0] = vectors[2, :, 1] = 1
    speakers = ["a/x", "a/x", "a/y"]
    assert thresholds(vectors, speakers, CONDITIONS) == (pytest.approx(0.5), None)
    vectors[1, 1] = 0.6, 0.8
    limit, uncertain = thresholds(vectors, speakers, CONDITIONS)
    assert 0.6 <= limit <= 0.8 and uncertain[0] == pytest.approx(0.6) and uncertain[1] == pytest.approx(0.8)
