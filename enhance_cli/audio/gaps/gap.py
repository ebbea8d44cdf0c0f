"""Describe a gap: samples of a recording that are to be filled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GIVEN = "given"
BEATS = 3  # of six beats around a gap, at which others begin
SHORTEST_BEAT, LONGEST_BEAT, EARLY = 0.06, 2.0, 0.001  # seconds of a beat, and that a gap may begin too early or late


@dataclass(frozen=True, order=True)
class Gap:
    """Hold the samples [start, end) that are to be filled, of one `channel` (from 0), or of all (-1), and how it came about."""

    start: int
    end: int
    channel: int = -1
    kind: str = GIVEN


def smallest_step(block: np.ndarray) -> float:
    """Return the smallest difference of a sample of (C, n) to the next that is not zero: in 8 bits, at least 1/128."""
    steps = np.abs(np.diff(block))
    return float(np.min(steps, where=steps > 0, initial=np.inf))


def in_rhythm(starts: Sequence[int], rate: int) -> list[bool]:
    """Tell for each of the `starts` of gaps, in samples and in order, whether others lie at equal distances around it.

    These are rests between the notes of a machine: sound is lost at any time.
    """
    places = np.asarray(starts)
    beats = np.array([-3, -2, -1, 1, 2, 3])

    def is_beat(place: int, beat: int) -> bool:
        if not SHORTEST_BEAT * rate <= beat <= LONGEST_BEAT * rate:
            return False
        wanted = place + beat * beats
        nearest = np.clip(np.searchsorted(places, wanted), 1, len(places) - 1)
        away = np.minimum(np.abs(places[nearest] - wanted), np.abs(places[nearest - 1] - wanted))
        return int((away <= EARLY * rate).sum()) >= BEATS

    beside = [
        [int(abs(places[n + side] - places[n])) for side in (-1, 1) if 0 <= n + side < len(places)]
        for n in range(len(places))
    ]
    return [any(is_beat(int(place), beat) for beat in near) for place, near in zip(places, beside)]
