"""Follow the level of speech through a recording, so that one loud moment does not decide how a quiet one is heard.

The powers of slots of 100 ms are known of the whole recording. Every passage of 2.5 s has a level, the 85th percentile of
its slots. A slot has the lowest level of the passages that hold it and that vary as speech does. Steady noise takes the
level of its neighbors, and no slot has a level more than 6 dB below its own power. A recording whose levels all lie near
its active level has that one level. Powers are (C, K), levels in dB.
"""

from dataclasses import dataclass

import numpy as np

SLOT_SECONDS = 0.1
PASSAGE = 25  # slots
LOW, MIDDLE, HIGH = 15, 65, 85  # percentiles of a passage: its pauses, most of it, its level
SPEECH_RANGE_DB = 2.5  # between pauses and most of it: steady noise varies less, also if a word ends in it
OFFSET_DB = 2.0  # from the percentile to the active level of speech
AT_BORDERS = PASSAGE * (100 - HIGH) // 100  # slots of a loud passage that those of a quiet one before it may hold
HEADROOM_DB = 6.0  # above the level of a passage, at most
MUSIC_HEADROOM_DB = 15.0  # drums rise far above their passage
MUSIC_SAME_DB = 15.0
MUSIC_RANGE_DB = 60.0  # quieter than the loudest passage by more is noise between pieces
SAME_DB = 9.0  # levels that differ by less are one level
FLOOR_DB = -90.0  # full scale is 0
SMOOTHING = 3  # slots


@dataclass(frozen=True)
class LevelTrack:
    """Hold the level of each channel for a model: `overall` (C,), linear, or one for every slot in `slots` (C, K), in dB."""

    overall: np.ndarray
    slots: np.ndarray | None = None

    def at(self, start: int, samples: int, rate: int) -> np.ndarray:
        """Return the linear level (C, samples) from the sample `start` on at `rate`, or (C, 1) if it is one for all."""
        if self.slots is None:
            return self.overall[:, None]
        position = ((start + np.arange(samples)) / rate) / SLOT_SECONDS - 0.5
        return np.stack([10 ** (np.interp(position, np.arange(row.size), row) / 20) for row in self.slots])


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

    No passage is taken for noise because it is steady. A recording whose passages differ as those of most music do has
    one level, the active one.
    """
    heard = active[active > 0]
    overall = np.array([np.sqrt(np.mean(np.square(heard))) if heard.size else 1.0])
    decibels = _decibels(powers.mean(axis=0))
    if decibels.size < PASSAGE:
        return LevelTrack(overall)
    high = _percentiles(decibels)[2] + OFFSET_DB
    level = np.maximum(_lowest(high), high.max() - MUSIC_RANGE_DB)
    level = np.maximum(_highest(level, AT_BORDERS), _highest(decibels, 1) - MUSIC_HEADROOM_DB)
    if np.abs(level - 20 * np.log10(overall[0])).max() < MUSIC_SAME_DB:
        return LevelTrack(overall)
    return LevelTrack(overall, _smooth(level)[None])


def _levels(powers: np.ndarray, overall: float) -> np.ndarray | None:
    """Return the level of every slot (K,), or None where `overall` does for all of them."""
    decibels = _decibels(powers)
    if decibels.size < PASSAGE:
        return None
    low, middle, high = _percentiles(decibels)
    speech = (middle - low > SPEECH_RANGE_DB) & (high > FLOOR_DB + 10)
    level = _lowest(np.where(speech, high + OFFSET_DB, np.inf))
    known = np.flatnonzero(np.isfinite(level))
    if not known.size:
        return None
    level = np.interp(np.arange(level.size), known, level[known])
    level = np.maximum(_highest(level, AT_BORDERS), _highest(decibels, 1) - HEADROOM_DB)
    heard = level[decibels > FLOOR_DB]
    if np.abs(heard - 20 * np.log10(overall)).max() < SAME_DB:
        return None
    return _smooth(level)


def _decibels(powers: np.ndarray) -> np.ndarray:
    """Return powers in dB, at least FLOOR_DB."""
    return np.maximum(10 * np.log10(np.maximum(powers, 1e-30)), FLOOR_DB)


def _percentiles(decibels: np.ndarray) -> np.ndarray:
    """Return the three percentiles (3, K - PASSAGE + 1) of every passage of slots (K,), some passages at a time."""
    passages = np.lib.stride_tricks.sliding_window_view(decibels, PASSAGE)
    pieces = [_percentiles_of_rows(passages[i : i + 4096]) for i in range(0, len(passages), 4096)]
    return np.concatenate(pieces, axis=1)


def _percentiles_of_rows(passages: np.ndarray) -> np.ndarray:
    """Return the three percentiles (3, P) of passages (P, PASSAGE), as np.percentile, which imports a tenth of NumPy first."""
    places = np.array([LOW, MIDDLE, HIGH]) / 100 * (PASSAGE - 1)
    below = places.astype(int)
    ranked = np.partition(passages, [*below, *(below + 1)], axis=1)
    low, high, share = ranked[:, below].T, ranked[:, below + 1].T, (places - below)[:, None]
    return np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share))


def _lowest(levels: np.ndarray) -> np.ndarray:
    """Return for every slot (K,) the lowest of the levels (K - PASSAGE + 1,) of the passages that hold it."""
    edge = np.full(PASSAGE - 1, np.inf)
    return np.lib.stride_tricks.sliding_window_view(np.concatenate([edge, levels, edge]), PASSAGE).min(axis=1)


def _highest(values: np.ndarray, around: int) -> np.ndarray:
    """Return for every value of (K,) the largest of it and the `around` values on either side."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, around, mode="edge"), 2 * around + 1).max(axis=1)


def _smooth(level: np.ndarray) -> np.ndarray:
    """Return the weighted mean (K,) of every value and its neighbors."""
    weights = np.hanning(SMOOTHING + 2)[1:-1]
    padded = np.pad(level, SMOOTHING // 2, mode="edge")
    return np.convolve(padded, weights / weights.sum(), "valid")
