"""Continue the change that a denoising model makes in its own band into the band above it.

Each function takes pairs: a block (C, n) of the input, and the parts (P, C, n) that tasks.band_changes computed for it. It
yields pairs of the block and the whole change (C, n).
"""

from collections.abc import Iterable, Iterator

import numpy as np

from enhance_cli.audio.spectra.upper_band import UpperBand
from enhance_cli.tasks.stream import Pair, Waiting


def keep(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Keep the signal above the band unchanged."""
    for x, (change, *_) in pairs:
        yield x, change


def cut(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Remove the signal above the band."""
    for x, (change, band, *_) in pairs:
        yield x, change - (x - band)


def follow_gain(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Apply the gain just below the end of the band to the signal above it."""
    for x, (change, band, rise) in pairs:
        yield x, change + rise * (x - band)


def suppress_noise(pairs: Iterable[Pair], upper: UpperBand) -> Iterator[Pair]:
    """Suppress noise above the band by `upper`, which has a delay."""
    inputs, changes = Waiting(), Waiting()
    for x, (change, band) in pairs:
        inputs.add(x)
        changes.add(change)
        yield from _ready(inputs, changes, upper.push(x - band, band, change))
    if inputs.held:
        nothing = np.zeros((len(inputs.held[0]), 0), np.float32)
        yield from _ready(inputs, changes, upper.push(nothing, nothing, nothing, last=True))


def _ready(inputs: Waiting, changes: Waiting, above: np.ndarray) -> Iterator[Pair]:
    count = above.shape[1]
    if count:
        yield inputs.take(count), changes.take(count) + above
