"""Continue the change that a denoising model makes in its own band above that band."""

from collections.abc import Iterable, Iterator

import numpy as np

from enhance_cli.audio.spectra.upper_band import UpperBand
from enhance_cli.tasks.stream import Pair, Waiting


def keep(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield the input (C, n) and its change, for pairs of the input and the parts that tasks.band_changes made for it.

    The signal above the band stays as it is.
    """
    for x, (change, *_) in pairs:
        yield x, change


def cut(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield the input (C, n) and its whole change (see `keep`). The signal above the band is taken away."""
    for x, (change, band, *_) in pairs:
        yield x, change - (x - band)


def follow_gain(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield the input (C, n) and its whole change (see `keep`). The signal above the band has the gain just below its end."""
    for x, (change, band, rise) in pairs:
        yield x, change + rise * (x - band)


def suppress_noise(pairs: Iterable[Pair], upper: UpperBand) -> Iterator[Pair]:
    """Yield the input (C, n) and its whole change (see `keep`). Noise above the band is suppressed by `upper`."""
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
