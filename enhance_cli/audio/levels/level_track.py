"""Follow the level of speech through a recording, so that a loud passage does not affect how a quiet one is processed.

The input is the power of every slot of 100 ms. Every passage of 2.5 s has a level, the 85th percentile of its slots. The
level of a slot is the lowest level among the passages that contain it and vary like speech. In steady noise, the level is
interpolated from its surroundings. The level of a slot is at most 6 dB below its own power. If all levels of a recording
are close to its active level, that one level is used for all of it. Powers are (C, K), levels in dB.

A quiet voice that alternates with a loud one every 2 s fills no passage. Passages of 1.5 s count as well if they vary as only
speech does, are far quieter than their surroundings, and contain no digital silence.
"""

from dataclasses import dataclass

import numpy as np

SLOT_SECONDS = 0.1
PASSAGE, TURN = 25, 15  # slots of a passage, and of a shorter one
LOW, MIDDLE, HIGH = 15, 65, 85  # percentiles of a passage: pauses, typical level, level of the passage
# Least difference of MIDDLE and LOW in speech. Steady noise varies less, even with the end of a word
SPEECH_RANGE_DB = 2.5
TURN_RANGE_DB = 6.0  # the same for shorter passages
TURN_BELOW_DB = 30.0  # a shorter passage counts if it is so far below the loudest slot around
OFFSET_DB = 2.0  # from the percentile HIGH to the active level of speech
AT_BORDERS = PASSAGE * (100 - HIGH) // 100  # slots of a loud passage that a passage with a low level may contain
HEADROOM_DB = 6.0  # by which a slot may exceed its level
MUSIC_HEADROOM_DB = 15.0  # the same for music, since drums are much louder than their passage
MUSIC_SAME_DB = 15.0  # as SAME_DB, for music
MUSIC_RANGE_DB = 60.0  # a passage that is quieter than the loudest one by more is noise between pieces
SAME_DB = 9.0  # if all levels differ less than this from the active level, the recording has one level
FLOOR_DB = -90.0  # lowest level, relative to full scale
SMOOTHING = 3  # slots


@dataclass(frozen=True)
class LevelTrack:
    """Hold the level of each channel: `overall` (C,), linear, or if it varies, one for every slot in `slots` (C, K), in dB."""

    overall: np.ndarray
    slots: np.ndarray | None = None

    def at(self, start: int, samples: int, rate: int, *, step: int = 1) -> np.ndarray:
        """Return the linear level (C, samples) from the sample `start` on at `rate`, or (C, 1) if it is constant.

        `step`: distance between two of the samples.
        """
        if self.slots is None:
            return self.overall[:, None]
        position = ((start + step * np.arange(samples)) / rate) / SLOT_SECONDS - 0.5
        return np.stack([10 ** (np.interp(position, np.arange(row.size), row) / 20) for row in self.slots])

    def of(self, channel: int, position: int, rate: int) -> float:
        """Return the linear level of a channel at the sample `position` at `rate`."""
        if self.slots is None:
            return float(self.overall[channel])
        place = position / rate / SLOT_SECONDS - 0.5
        first = max(int(place), 0)  # of the two slots that it is between
        near = self.slots[channel, first : first + 2] if first < self.slots.shape[1] else self.slots[channel, -1:]
        return float(10 ** (np.interp(place - first, np.arange(near.size), near) / 20))

    def of_all(self, heard: np.ndarray) -> "LevelTrack":
        """Return the level of the mean power of all channels, as one row. Those that are not `heard` (C,) have none."""
        overall = np.sqrt(np.mean(np.square(heard * self.overall), keepdims=True))
        if self.slots is None:
            return LevelTrack(overall)
        return LevelTrack(overall, 10 * np.log10(np.mean(heard[:, None] * 10 ** (self.slots / 10), axis=0)[None]))


def follow(powers: np.ndarray, active: np.ndarray) -> LevelTrack:
    """Return the levels of a recording from the powers of its slots (C, K) and its active levels (C,), linear.

    Channels without sound have the level 1.
    """
    overall = np.where(active > 0, active, 1.0)
    rows = [_levels(row, level) for row, level in zip(powers, overall, strict=True)]
    if all(row is None for row in rows):
        return LevelTrack(overall)
    constant = lambda level: np.full(powers.shape[1], 20 * np.log10(level))  # noqa: E731
    return LevelTrack(overall, np.stack([constant(o) if row is None else row for row, o in zip(rows, overall)]))


def follow_music(powers: np.ndarray, active: np.ndarray) -> LevelTrack:
    """Return the level of music, one for all channels (1,) or (1, K), from powers (C, K) and active levels (C,).

    Unlike in speech, steady passages are not treated as noise. If the passages differ only as much as in most music, the
    recording has one level, the active one.
    """
    heard = active[active > 0]
    overall = np.array([np.sqrt(np.mean(np.square(heard))) if heard.size else 1.0])
    decibels = _decibels(powers.mean(axis=0))
    if decibels.size < PASSAGE:
        return LevelTrack(overall)
    high = _percentiles(decibels, PASSAGE)[2] + OFFSET_DB
    level = np.maximum(_lowest(high, PASSAGE), high.max() - MUSIC_RANGE_DB)
    level = np.maximum(_highest(level, AT_BORDERS), _highest(decibels, 1) - MUSIC_HEADROOM_DB)
    if np.abs(level - 20 * np.log10(overall[0])).max() < MUSIC_SAME_DB:
        return LevelTrack(overall)
    return LevelTrack(overall, _smooth(level)[None])


def _levels(powers: np.ndarray, overall: float) -> np.ndarray | None:
    """Return the level of every slot (K,), or None if `overall` is right for all of them."""
    decibels = _decibels(powers)
    if decibels.size < PASSAGE:
        return None
    level = _lowest_speech(decibels, PASSAGE, SPEECH_RANGE_DB)
    turn = _lowest_speech(decibels, TURN, TURN_RANGE_DB, least_db=FLOOR_DB)
    level = np.where(turn < _highest(decibels, PASSAGE) - TURN_BELOW_DB, np.minimum(turn, level), level)
    known = np.flatnonzero(np.isfinite(level))
    if not known.size:
        return None
    level = np.interp(np.arange(level.size), known, level[known])
    level = np.maximum(_highest(level, AT_BORDERS), _highest(decibels, 1) - HEADROOM_DB)
    heard = level[decibels > FLOOR_DB]
    if np.abs(heard - 20 * np.log10(overall)).max() < SAME_DB:
        return None
    return _smooth(level)


def _lowest_speech(decibels: np.ndarray, size: int, range_db: float, least_db: float = -np.inf) -> np.ndarray:
    """Return for every slot (K,) the lowest level of the passages of `size` slots that hold it and vary by `range_db`.

    Infinite where there is none. The pauses of a passage are louder than `least_db`.
    """
    low, middle, high = _percentiles(decibels, size)
    speech = (low > least_db) & (middle - low > range_db) & (high > FLOOR_DB + 10)
    return _lowest(np.where(speech, high + OFFSET_DB, np.inf), size)


def _decibels(powers: np.ndarray) -> np.ndarray:
    """Return powers in dB, at least FLOOR_DB."""
    return np.maximum(10 * np.log10(np.maximum(powers, 1e-30)), FLOOR_DB)


def _percentiles(decibels: np.ndarray, size: int) -> np.ndarray:
    """Return the three percentiles (3, K - size + 1) of every passage of `size` slots (K,), some passages at a time."""
    passages = np.lib.stride_tricks.sliding_window_view(decibels, size)
    pieces = [_percentiles_of_rows(passages[i : i + 4096]) for i in range(0, len(passages), 4096)]
    return np.concatenate(pieces, axis=1)


def _percentiles_of_rows(passages: np.ndarray) -> np.ndarray:
    """Return the three percentiles (3, P) of passages (P, size) like np.percentile, which is slow on its first call."""
    places = np.array([LOW, MIDDLE, HIGH]) / 100 * (passages.shape[1] - 1)
    below = places.astype(int)
    ranked = np.partition(passages, [*below, *(below + 1)], axis=1)
    low, high, share = ranked[:, below].T, ranked[:, below + 1].T, (places - below)[:, None]
    return np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share))


def _lowest(levels: np.ndarray, size: int) -> np.ndarray:
    """Return for every slot (K,) the lowest of the levels (K - size + 1,) of the passages of `size` slots that hold it."""
    edge = np.full(size - 1, np.inf)
    return np.lib.stride_tricks.sliding_window_view(np.concatenate([edge, levels, edge]), size).min(axis=1)


def _highest(values: np.ndarray, around: int) -> np.ndarray:
    """Return for every value of (K,) the largest of it and the `around` values on either side."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, around, mode="edge"), 2 * around + 1).max(axis=1)


def _smooth(level: np.ndarray) -> np.ndarray:
    """Return the weighted mean (K,) of every value and its neighbors."""
    weights = np.hanning(SMOOTHING + 2)[1:-1]
    padded = np.pad(level, SMOOTHING // 2, mode="edge")
    return np.convolve(padded, weights / weights.sum(), "valid")
