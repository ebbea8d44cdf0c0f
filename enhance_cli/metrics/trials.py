"""Evaluate verification trials: scores of pairs, some of one speaker (targets), at every threshold.

Intervals come from drawing whole speakers again and again (bootstrap), because the trials of one speaker are not
independent. Speakers need no names: recordings joined by target trials belong to one speaker.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from enhance_cli.errors import UsageError

MIN_SPEAKERS = 10  # speakers from which an interval means something
UNCERTAIN_SHARE = 0.05  # share of wrong decisions on either side that leaves a score uncertain

Measure = Callable[[np.ndarray, np.ndarray], "float | tuple[float, ...]"]
"""`measure(miss, false_alarm)`: a number or several from the two rates at all thresholds."""


class SortedTrials:
    """Hold the trials of one system by falling score, ready for many weightings. `scores` (K,), `targets` (K,) bool."""

    def __init__(self, scores: np.ndarray, targets: np.ndarray):
        scores, targets = np.asarray(scores, np.float64), np.asarray(targets, bool)
        if not (targets.any() and not targets.all()):
            raise UsageError("the trials are all of one kind", "list pairs of one speaker and of two")
        self.order = np.argsort(-scores, kind="stable")
        self.scores, self.targets = scores[self.order], targets[self.order]
        self.ends = np.append(np.flatnonzero(np.diff(self.scores)), len(scores) - 1)  # equal scores pass together

    def rates(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return (miss, false alarm), each (T + 1,), where the best 0, 1, ..., T distinct scores are accepted."""
        weights = np.ones(len(self.scores)) if weights is None else weights[self.order]
        accepted = [np.append(0, np.cumsum(weights * side)[self.ends]) for side in (self.targets, ~self.targets)]
        targets, others = (side / side[-1] for side in accepted)
        return 1 - targets, others

    def threshold(self, index: int) -> float:
        """Return the value halfway between the last score accepted at that index of `rates` and the first refused."""
        last = self.scores[self.ends[min(max(index - 1, 0), len(self.ends) - 1)]]
        first = self.scores[self.ends[min(index, len(self.ends) - 1)]]
        return float((last + first) / 2)


def speakers(pairs: Sequence[tuple[int, int]] | np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the speaker numbers (K, 2) of both sides of every trial in `pairs` (K, 2).

    Target trials join recordings.
    """
    numbers = np.asarray(pairs)
    count = int(numbers.max()) + 1
    one, other = numbers[np.asarray(targets, bool)].T
    joined = coo_matrix((np.ones(len(one)), (one, other)), shape=(count, count))
    return connected_components(joined, directed=False)[1][numbers]


def bootstrap(
    systems: Sequence[SortedTrials], measure: Measure, sides: np.ndarray, draws: int = 1000, seed: int = 0
) -> np.ndarray:
    """Return `measure` of every system in every draw of speakers, (draws, systems, ...).

    All systems see the same draws. `sides` (K, 2): speakers of the trials in the order of the scores. A draw without
    both target and non-target trials is drawn again.
    """
    rng = np.random.default_rng(seed)
    names, numbers = np.unique(sides, return_inverse=True)
    one, other = numbers.reshape(sides.shape).T
    targets = np.empty(len(one), bool)
    targets[systems[0].order] = systems[0].targets
    found = []
    for _ in range(20 * draws):
        counts = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = np.where(one == other, counts[one], counts[one] * counts[other])
        if weights[targets].any() and weights[~targets].any():
            found.append([measure(*system.rates(weights)) for system in systems])
        if len(found) == draws:
            return np.array(found)
    raise UsageError("the trials have too few speakers for an interval", "list more, or use --bootstrap 0")


def too_few(count: int) -> str:
    """Return the reason why `count` speakers give no intervals, or "" if they do.

    The trials of a few speakers have few errors, often none in any draw.
    """
    if count >= MIN_SPEAKERS:
        return ""
    return f"no intervals: they take {MIN_SPEAKERS} speakers, and these trials tell of {count}"


def uncertain_range(
    scores: np.ndarray, targets: np.ndarray, share: float = UNCERTAIN_SHARE
) -> tuple[float, float] | None:
    """Return the range of scores in which a decision is uncertain, or None if the range is empty.

    It reaches from the quantile `share` (5 %) of the target scores to the quantile 1 - `share` (95 %) of the non-target
    scores. Outside of it no more than that share of either kind is taken for the other. `scores` (K,), `targets` (K,)
    bool, of both kinds.
    """
    low, high = np.quantile(scores[targets], share), np.quantile(scores[~targets], 1 - share)
    return (float(low), float(high)) if low < high else None


def interval(values: np.ndarray, share: float = 0.95) -> tuple[float, float]:
    """Return the limits of the middle `share` of bootstrap values (draws,)."""
    low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
