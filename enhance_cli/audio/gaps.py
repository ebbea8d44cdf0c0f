"""Describe a gap: samples of a recording that are to be filled."""

from dataclasses import dataclass

GIVEN = "given"


@dataclass(frozen=True, order=True)
class Gap:
    """Hold the samples [start, end) that are to be filled, of one `channel` (from 0), or of all (-1), and how it came about."""

    start: int
    end: int
    channel: int = -1
    kind: str = GIVEN
