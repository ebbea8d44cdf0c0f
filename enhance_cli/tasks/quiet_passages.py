"""Clean the quiet passages of a recording at a level of their own, without harm to the speech around them.

A network with memory that hears a quiet voice at its own level beside a loud one takes it for noise. If instead the level that
it hears follows all passages, then it hears the noise of pauses raised, and cleans the speech behind them worse. Therefore one
stream hears the whole recording at its overall level. Where a quiet passage begins, a copy of the stream goes on to hear the
level that follows the passage, and ends with it. Between 9 and 15 dB below the overall level, the result fades from the one to
the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import takewhile

import numpy as np

from enhance_cli.audio.levels.level_track import SAME_DB, SLOT_SECONDS, LevelTrack
from enhance_cli.models.streams import Stream

QUIET_DB = 15.0  # below the overall level: from there on, only the copy is heard


class QuietPassages:
    """Clean C channels like a stream of models.streams, with input and results at the overall level of the recording."""

    def __init__(self, open_stream: Callable[[], Stream], track: LevelTrack, rate: int):
        """Open the streams. `open_stream` opens one of a single channel. `track`: the levels of the recording, which vary."""
        assert track.slots is not None
        levels = zip(track.overall[:, None], track.slots[:, None])
        self._channels = [_Channel(open_stream(), LevelTrack(*level), rate) for level in levels]

    def push(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """Take the next samples (C, n). Returns the results that are ready, (P, C, m), with `last` all the rest."""
        return np.concatenate([c.push(row[None], last) for c, row in zip(self._channels, block)], axis=1)


class _Channel:
    """Clean one channel."""

    def __init__(self, stream: Stream, track: LevelTrack, rate: int):
        self._stream, self._track, self._rate = stream, track, rate
        self._copy: Stream | None = None
        self._passages, self._end = deque(_passages(track, rate)), 0  # those to come, and the end of the present one
        self._heard = self._done = 0  # samples

    def push(self, block: np.ndarray, last: bool) -> np.ndarray:
        """Take the next samples (1, n). Returns the results that are ready, (P, 1, m), with `last` all the rest."""
        end = self._heard + block.shape[1]
        begins = (begin for begin, _ in takewhile(lambda passage: passage[0] < end, self._passages))
        borders = sorted({*begins, *range(self._heard, end, self._rate)})  # a copy ends within a second
        *pieces, rest = np.split(block, [border - self._heard for border in borders], axis=1)
        return np.concatenate([*(self._push(piece, False) for piece in pieces), self._push(rest, last)], axis=-1)

    def _push(self, piece: np.ndarray, last: bool) -> np.ndarray:
        """Take samples (1, n). A passage may begin with the first of them, and none later."""
        if self._passages and self._passages[0][0] == self._heard:
            if self._done >= self._end:  # else the copy is still busy with the last passage, and goes on with this one
                self._copy = self._stream.fork()
            _, self._end = self._passages.popleft()
        result = self._stream.push(piece, last)
        if self._copy:
            raised = (piece / self._levels(self._heard, piece.shape[1])).astype(np.float32)
            quiet = self._copy.push(raised, last)
            levels = self._levels(self._done, quiet.shape[2])
            quiet[0] *= levels
            share = np.clip((-20 * np.log10(levels) - SAME_DB) / (QUIET_DB - SAME_DB), 0, 1)
            result = (result + share * (quiet - result)).astype(np.float32)
        self._heard += piece.shape[1]
        self._done += result.shape[2]
        if self._done >= self._end:
            self._copy = None
        return result

    def _levels(self, start: int, samples: int) -> np.ndarray:
        """Return the levels (1, samples) from the sample `start` on, relative to the overall level."""
        return self._track.at(start, samples, self._rate) / self._track.overall[0]


def _passages(track: LevelTrack, rate: int) -> list[tuple[int, int]]:
    """Return the sample that the copy for each passage begins with, and the one behind its last, in order."""
    assert track.slots is not None
    quiet = np.flatnonzero(20 * np.log10(track.overall[0]) - track.slots[0] > SAME_DB)
    begins, ends = (quiet - 0.5) * SLOT_SECONDS, (quiet + 1.5) * SLOT_SECONDS  # the middles of the slots around
    apart = begins[1:] > ends[:-1]
    first, last = np.append(True, apart)[: quiet.size], np.append(apart, True)[: quiet.size]
    return [(max(round(b * rate), 0), round(e * rate)) for b, e in zip(begins[first], ends[last])]
