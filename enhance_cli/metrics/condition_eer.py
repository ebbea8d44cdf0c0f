"""Compute the equal error rate of speaker verification by condition: the same recordings clean and degraded.

Vectors (utterances, conditions, D) have length one. `conditions`: their names, "clean" first. `speakers`: the speaker
("corpus/speaker") of each utterance. Error rates are used because the cosine to the clean embedding would also rise if all
voices moved to one point.
"""

from collections.abc import Sequence

import numpy as np

from enhance_cli.metrics.eer import rate
from enhance_cli.metrics.eer import score as eer
from enhance_cli.metrics.trials import SortedTrials, bootstrap, uncertain_range

DRAWS = 400  # of the bootstrap


def error_rates(vectors: np.ndarray, speakers: list[str], conditions: Sequence[str]) -> dict[str, float]:
    """Return equal error rates in percent by condition.

    "noise" or another condition: both sides have it. "clean-noise": one side has it. "crossed": both sides are
    degraded, in different ways. "degraded": the mean of all of these except "clean". Pairs are formed within a corpus,
    since voices of different corpora would be told apart too easily.
    """
    one, other, same = pairs(speakers)
    rates = {}
    for condition, values in scores(vectors, one, other, conditions).items():
        rates[condition] = 100 * rate(*SortedTrials(values, np.tile(same, len(values) // len(same))).rates())
    return {name: round(float(value), 3) for name, value in _with_mean(rates).items()}


def target_cosines(vectors: np.ndarray, speakers: list[str], conditions: Sequence[str]) -> dict[str, float]:
    """Return the mean cosine of target pairs by condition (see error_rates).

    It rises too if all voices move together.
    """
    one, other, same = pairs(speakers)
    means = {
        condition: np.mean(values[np.tile(same, len(values) // len(same))])
        for condition, values in scores(vectors, one, other, conditions).items()
    }
    return {name: round(float(value), 4) for name, value in _with_mean(means).items()}


def thresholds(
    vectors: np.ndarray, speakers: list[str], conditions: Sequence[str]
) -> tuple[float, tuple[float, float] | None]:
    """Return the threshold of equal error over the pairs of all conditions together, and its range of uncertainty.

    The threshold is the cosine at which misses and false alarms are equal. The range is that of trials.uncertain_range.
    """
    one, other, same = pairs(speakers)
    values = np.concatenate(list(scores(vectors, one, other, conditions).values()))
    targets = np.tile(same, len(values) // len(same))
    return eer(values, targets)[1], uncertain_range(values, targets)


def intervals(
    systems: dict[str, np.ndarray], speakers: list[str], conditions: Sequence[str], seed: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """Return error rates in percent for every draw of speakers, {system: {condition: (DRAWS,)}}.

    All systems and conditions see the same draws, so that differences can be taken draw by draw.
    """
    one, other, same = pairs(speakers)
    sides = np.array(speakers)[np.stack([one, other], axis=1)]
    values = {system: scores(vectors, one, other, conditions) for system, vectors in systems.items()}
    found: dict[str, dict] = {system: {} for system in systems}
    for condition, first in next(iter(values.values())).items():
        times = len(first) // len(same)
        ordered = [SortedTrials(values[system][condition], np.tile(same, times)) for system in systems]
        drawn = 100 * bootstrap(ordered, rate, np.tile(sides, (times, 1)), DRAWS, seed)
        for system, column in zip(systems, drawn.T):
            found[system][condition] = column
    return {system: _with_mean(rates) for system, rates in found.items()}


def scores(vectors: np.ndarray, one: np.ndarray, other: np.ndarray, conditions: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the cosines of the pairs by condition, (pairs,) or several times as many."""
    cosine = lambda a, b: np.einsum("id,id->i", vectors[one, a], vectors[other, b])
    count = len(conditions)
    matched = {name: cosine(i, i) for i, name in enumerate(conditions)}
    half = {f"clean-{name}": np.concatenate([cosine(0, i), cosine(i, 0)]) for i, name in enumerate(conditions) if i}
    crossed = [cosine(i, j) for i in range(1, count) for j in range(1, count) if i != j]
    return matched | half | {"crossed": np.concatenate(crossed)}


def pairs(speakers: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the indices of all pairs of utterances of one corpus ("corpus/speaker"), and whether the speaker is the same."""
    names = np.array(speakers)
    corpora = np.array([name.rpartition("/")[0] for name in speakers])
    one, other = np.triu_indices(len(names), 1)
    kept = corpora[one] == corpora[other]
    one, other = one[kept], other[kept]
    return one, other, names[one] == names[other]


def _with_mean(rates: dict) -> dict:
    return rates | {"degraded": np.mean([value for name, value in rates.items() if name != "clean"], axis=0)}
