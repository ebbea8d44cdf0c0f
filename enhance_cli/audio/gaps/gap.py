"""Define a gap: samples of a recording that will be filled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GIVEN = "given"
BEATS = 3  # a gap is in rhythm if there are gaps at three or more of the six beats around it
SHORTEST_BEAT, LONGEST_BEAT, EARLY = 0.06, 2.0, 0.001  # seconds: length of a beat, and tolerance for the start of a gap


@dataclass(frozen=True, order=True)
class Gap:
    """Hold the samples [start, end) to fill, their `channel` (from 0, or -1 for all), and the `kind` of the gap."""

    start: int
    end: int
    channel: int = -1
    kind: str = GIVEN


def smallest_step(block: np.ndarray) -> float:
    """Return the smallest nonzero difference between consecutive samples of (C, n). For 8 bits it is at least 1/128."""
    steps = np.abs(np.diff(block))
    return float(np.min(steps, where=steps > 0, initial=np.inf))


def in_rhythm(starts: Sequence[int], rate: int) -> list[bool]:
    """Return for each gap whether other gaps lie at equal distances around it. `starts`: sorted, in samples.

    Such gaps are rests in the rhythm of electronic music. Lost sound has no rhythm.
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
