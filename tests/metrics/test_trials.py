"""Error rates of trials against values counted by hand and known in closed form."""

import numpy as np
import pytest
from scipy.stats import norm

from enhance_cli.errors import UsageError
from enhance_cli.metrics import det, eer, min_dcf
from enhance_cli.metrics.trials import SortedTrials, bootstrap, interval, speakers, too_few, uncertain_range


def gaussian(distance: float, targets: int = 20000, others: int = 100000, seed: int = 0):
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.standard_normal(targets) + distance, rng.standard_normal(others)])
    return scores, np.arange(targets + others) < targets


def test_a_list_counted_by_hand():
    """Above 0.5 lie two of three targets and one of four others: misses 1/3, false alarms 1/4."""
    scores = np.array([0.9, 0.8, 0.3, 0.6, 0.4, 0.2, 0.1])
    targets = np.array([1, 1, 0, 0, 1, 0, 0], bool)
    rate, threshold = eer.score(scores, targets)
    assert rate == pytest.approx(1 / 3) and 0.4 < threshold < 0.6
    # Two targets and no false alarm: 0.05 / 3 of a possible 0.05.
    assert min_dcf.score(scores, targets) == pytest.approx(1 / 3)
    # Where nine of ten are targets the fourth score is best, with a quarter of the others and no miss: 0.1 / 4 of 0.1.
    assert min_dcf.score(scores, targets, p_target=0.9) == pytest.approx(1 / 4)


@pytest.mark.parametrize("distance", [1.0, 2.0, 3.0])
def test_two_normal_distributions_have_the_eer_of_half_their_distance(distance):
    rate, threshold = eer.score(*gaussian(distance))
    assert rate == pytest.approx(norm.cdf(-distance / 2), rel=0.05)
    assert threshold == pytest.approx(distance / 2, abs=0.05)
    places = np.linspace(-3, 6, 2000)
    cost = 0.05 * norm.cdf(places - distance) + 0.95 * norm.sf(places)
    assert min_dcf.score(*gaussian(distance)) == pytest.approx(cost.min() / 0.05, rel=0.05)


def test_perfect_useless_and_reversed_scores():
    targets = np.array([1, 1, 0, 0], bool)
    assert eer.score(np.array([0.9, 0.8, 0.2, 0.1]), targets) == (0, pytest.approx(0.5))
    assert min_dcf.score(np.array([0.9, 0.8, 0.2, 0.1]), targets) == 0
    assert eer.score(np.full(4, 0.5), targets)[0] == 1 and min_dcf.score(np.full(4, 0.5), targets) == 1
    assert eer.score(np.array([0.1, 0.2, 0.8, 0.9]), targets)[0] == 1


def test_neither_order_nor_ties_nor_scale_matter():
    scores, targets = gaussian(1.5, 300, 700)
    scores = scores.round(1)
    shuffled = np.random.default_rng(1).permutation(len(scores))
    assert eer.score(scores, targets)[0] == eer.score(scores[shuffled], targets[shuffled])[0]
    assert eer.score(np.exp(scores), targets)[0] == eer.score(scores, targets)[0]


def test_trials_of_one_kind_are_refused():
    for targets in (np.zeros(3, bool), np.ones(3, bool)):
        with pytest.raises(UsageError, match="all of one kind"):
            eer.score(np.arange(3.0), targets)


def test_recordings_that_target_trials_join_are_one_speaker():
    pairs = [(0, 1), (1, 2), (3, 4), (0, 3), (2, 4), (5, 0)]
    sides = speakers(pairs, np.array([1, 1, 1, 0, 0, 0], bool))
    assert len({*sides[0], *sides[1]}) == 1 and len({*sides[2]}) == 1
    assert sides[0, 0] != sides[2, 0] and sides[5, 0] not in sides[:3]
    assert np.array_equal(speakers(pairs, np.array([1, 1, 1, 0, 0, 0])), sides)  # as a file of numbers has them


def voices(count: int, seed: int, utterances: int = 4, spread: float = 1.0):
    """Trials between all utterances of `count` voices on a line, whose places differ: those of a voice fare alike."""
    rng = np.random.default_rng(seed)
    voice = np.repeat(np.arange(count), utterances)
    place = rng.standard_normal((count, 8))[voice] + spread * rng.standard_normal((count * utterances, 8))
    one, other = np.triu_indices(len(voice), 1)
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    cosine = np.einsum("id,id->i", place[one], place[other])
    return cosine, voice[one] == voice[other], speakers(np.stack([one, other], 1), voice[one] == voice[other])


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth = np.mean([eer.score(*voices(40, 1000 + seed)[:2])[0] for seed in range(20)])
    inside = []
    for seed in range(16):
        scores, targets, sides = voices(40, seed)
        low, high = interval(bootstrap([SortedTrials(scores, targets)], eer.rate, sides, 60)[:, 0])
        assert low < eer.score(scores, targets)[0] < high
        inside.append(low < truth < high)
    assert np.mean(inside) >= 0.8


def test_systems_share_draws_so_that_a_small_difference_is_seen():
    scores, targets, sides = voices(40, 0)
    better = scores + 0.05 * targets
    drawn = bootstrap([SortedTrials(scores, targets), SortedTrials(better, targets)], eer.rate, sides, 100, seed=3)
    one, other = (interval(drawn[:, i]) for i in (0, 1))
    assert other[1] > one[0] and interval(drawn[:, 1] - drawn[:, 0])[1] < 0
    again = bootstrap([SortedTrials(scores, targets)], eer.rate, sides, 100, seed=3)
    np.testing.assert_array_equal(again[:, 0], drawn[:, 0])


def test_the_det_curve_is_drawn(tmp_path):
    det.draw(
        {"raw": SortedTrials(*gaussian(1.0, 200, 200)), "perfect": SortedTrials(*gaussian(30.0, 200, 200))},
        tmp_path / "det.png",
    )
    assert (tmp_path / "det.png").read_bytes().startswith(b"\x89PNG")


def test_a_decision_is_uncertain_between_the_lowest_targets_and_the_highest_others():
    others, targets = np.linspace(0, 1, 101), np.linspace(0.5, 1.5, 101)
    scores, kind = np.concatenate([others, targets]), np.arange(202) >= 101
    assert uncertain_range(scores, kind) == pytest.approx((0.55, 0.95))
    assert uncertain_range(scores, kind, 0.1) == pytest.approx((0.6, 0.9))
    assert uncertain_range(np.concatenate([others, targets + 1]), kind) is None
    assert uncertain_range(np.concatenate([others, others + 0.9]), kind) is None  # both quantiles are 0.95


def test_intervals_take_ten_speakers():
    assert too_few(10) == "" and too_few(9) == "no intervals: they take 10 speakers, and these trials tell of 9"


def test_an_interval_is_the_middle_of_the_draws():
    assert interval(np.linspace(0, 1, 1001)) == pytest.approx((0.025, 0.975))
    assert interval(np.linspace(0, 1, 1001), 0.5) == pytest.approx((0.25, 0.75))


def test_a_threshold_lies_halfway_between_the_last_score_accepted_and_the_first_refused():
    trials = SortedTrials(np.array([0.9, 0.5, 0.7, 0.2, 0.7]), np.array([1, 0, 1, 0, 0], bool))
    assert [trials.threshold(index) for index in range(5)] == pytest.approx([0.9, 0.8, 0.6, 0.35, 0.2])
