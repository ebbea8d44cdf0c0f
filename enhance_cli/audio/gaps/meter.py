"""Collect the gaps of a recording: those that the user has given, or those that are found in a stream of blocks."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from enhance_cli.audio.gaps.clicks import ClickFinder
from enhance_cli.audio.gaps.coded_dropouts import CodedDropoutFinder
from enhance_cli.audio.gaps.dropouts import DROPOUT, DropoutFinder
from enhance_cli.audio.gaps.gap import Gap, in_rhythm
from enhance_cli.audio.gaps.repeats import RepeatFinder
from enhance_cli.audio.levels.level_track import LevelTrack
from enhance_cli.errors import UsageError

BEYOND = 0.01  # seconds by which the end of a gap may exceed the end of the recording, since players round times
# Seconds from a gap within which other finders are ignored, since the edge of a dropout looks like a click
APART = 0.005
PAIRS = "write them like [(12.3, 12.42), (57.1, 57.15)]"
Spans = Sequence[tuple[float, float]]
Finder = DropoutFinder | RepeatFinder | CodedDropoutFinder | ClickFinder


class GapMeter:
    """Find the gaps of a recording at `rate` Hz, after all of its (C, n) blocks have been pushed.

    `given`: (begin, end) of each gap in seconds of the file, in which the recording begins at `offset`. With None, gaps are
    searched for. The task puts the gaps that it has filled into `filled`, with the name of the method, and messages
    for the user into `notes`. Raises UsageError for the gaps that `in_order` refuses.
    """

    def __init__(self, rate: int, given: Spans | None = None, offset: float = 0.0):
        self.rate, self.offset, self.frames = rate, offset, 0
        self.given = None if given is None else in_order(given)
        self.filled: list[tuple[Gap, str | None]] = []
        self.notes: list[str] = []
        self._dropouts, self._coded = DropoutFinder(rate), CodedDropoutFinder(rate)
        self._clicks, self._repeats = ClickFinder(rate), RepeatFinder(rate)
        self._gaps: list[Gap] | None = None
        self._rests = 0  # dropouts that are considered to be rests

    def push(self, block: np.ndarray) -> None:
        """Take the next (C, n) samples."""
        self.frames += block.shape[1]
        if self.given is None:
            for finder in self._finders:
                finder.push(block)

    @property
    def _finders(self) -> tuple[Finder, ...]:
        """Return all finders. If several find the same gap, the first one counts."""
        return self._dropouts, self._repeats, self._coded, self._clicks

    def found(self, levels: LevelTrack) -> list[Gap]:
        """Return the gaps in order. `levels`: those of its channels.

        Raises UsageError for a given gap outside of the recording, and for one that covers it completely.
        """
        if self._gaps is None:
            self._gaps = self._all_found(levels) if self.given is None else self._all_given(self.given)
        return self._gaps

    def _all_given(self, spans: Spans) -> list[Gap]:
        gaps: list[Gap] = []
        for span in spans:
            gap = self._given(*span)
            if gaps and gap.start <= gaps[-1].end:  # they touch once they are rounded to samples
                gap = Gap(gaps.pop().start, gap.end)
            gaps.append(gap)
        if len(gaps) == 1 and (gaps[0].start, gaps[0].end) == (0, self.frames):
            raise UsageError(
                f"--gaps {self.text(gaps)}: this is the whole recording", "leave something to fill it from"
            )
        return gaps

    def _all_found(self, levels: LevelTrack) -> list[Gap]:
        """Return dropouts, repeated packets and clicks in order, without those at the edges of another gap."""
        gaps: list[Gap] = []
        for finder in self._finders:
            starts, ends = (np.array([getattr(gap, side) for gap in gaps]) for side in ("start", "end"))
            near = int(APART * self.rate)
            found = finder.found(levels)
            gaps += [gap for gap in found if not ((starts - near < gap.end) & (gap.start < ends + near)).any()]
        gaps = self._without_rests(gaps)
        return sorted(replace(gap, start=max(gap.start, 0), end=min(gap.end, self.frames)) for gap in gaps)

    def _without_rests(self, gaps: Sequence[Gap]) -> list[Gap]:
        """Return the gaps without dropouts at equal distances, which are rests in a rhythm."""
        kept = [gap for gap in gaps if gap.kind != DROPOUT]
        for channel in {gap.channel for gap in gaps}:
            of_channel = sorted(gap for gap in gaps if gap.kind == DROPOUT and gap.channel == channel)
            rests = in_rhythm([gap.start for gap in of_channel], self.rate)
            kept += [gap for gap, rest in zip(of_channel, rests) if not rest]
        self._rests = len(gaps) - len(kept)
        return kept

    @property
    def doubts(self) -> list[str]:
        """Return the reasons why some candidates were not considered to be gaps."""
        finders: dict[str, Finder] = {
            "runs of equal samples": self._dropouts,
            "holes": self._coded,
            "repetitions": self._repeats,
            "clicks": self._clicks,
        }
        many = [name for name, finder in finders.items() if finder.too_many]
        told = [f"so many {name} belong to the sound: they were left as they are" for name in many]
        if self._rests:
            told.append(
                f"{self._rests} silences at equal distances seem to be rests, and were not filled: --gaps fills them"
            )
        return told

    def _given(self, begin: float, end: float) -> Gap:
        start, stop = (round((time - self.offset) * self.rate) for time in (begin, end))
        if start < 0 or start >= self.frames or stop > self.frames + BEYOND * self.rate:
            first, last = self.offset, self.offset + self.frames / self.rate
            raise UsageError(
                f"--gaps {span_text(begin, end)}: outside of the recording, which goes from {first:.3f} to {last:.3f} s",
                "give times within it",
            )
        return Gap(start, min(max(stop, start + 1), self.frames))

    def record(self) -> list[dict[str, Any]]:
        """Return the filled gaps for a record, in seconds of the file."""
        return [
            {
                "start": round(gap.start / self.rate + self.offset, 6),
                "end": round(gap.end / self.rate + self.offset, 6),
                "kind": gap.kind,
                "channel": None if gap.channel < 0 else gap.channel + 1,
                "by": by,
            }
            for gap, by in self.filled
        ]

    def text(self, gaps: Sequence[Gap]) -> str:
        """Return the gaps in the format of --gaps, without duplicates."""
        spans = dict.fromkeys((gap.start / self.rate + self.offset, gap.end / self.rate + self.offset) for gap in gaps)
        return ",".join(span_text(begin, end) for begin, end in spans)


def in_order(spans: Spans) -> list[tuple[float, float]]:
    """Return (begin, end) of each gap in seconds, sorted. Raises UsageError for empty, reversed and overlapping gaps."""
    try:
        ordered = sorted((float(begin), float(end)) for begin, end in spans)
    except (TypeError, ValueError) as error:
        raise UsageError(f"gaps {spans!r}: must be pairs of a beginning and an end in seconds", PAIRS) from error
    for begin, end in ordered:
        if not (math.isfinite(begin) and math.isfinite(end)):
            raise UsageError(f"gaps {spans!r}: must be finite", PAIRS)
        if end == begin:
            raise UsageError(f"--gaps {span_text(begin, end)}: this gap is empty", "give an end after the beginning")
        if end < begin:
            raise UsageError(
                f"--gaps {span_text(begin, end)}: ends before it begins", f"did you mean {span_text(end, begin)}?"
            )
    for (begin, end), (following, last) in pairwise(ordered):
        if following < end:
            raise UsageError(
                f"--gaps {span_text(begin, end)} and {span_text(following, last)} overlap",
                f"join them: {span_text(begin, max(end, last))}",
            )
    return ordered


def span_text(begin: float, end: float) -> str:
    """Return a gap as text such as "12.3-12.42", precise to a microsecond."""
    return "-".join(f"{time:.6f}".rstrip("0").rstrip(".") for time in (begin, end))
