"""Find the frequency that the band of a recording ends at, from its long-term spectrum, in a stream and fixed memory.

The spectrum is the mean over the active frames, smoothed over 5 bins of 23 Hz. Bins that are empty in more than 30 % of
them, as MP3 leaves holes above its shelf, count as silent. From the top down, the edge is the first bin whose 12 bins below
exceed everything from 6 bins above on by 10 dB. A steep slope has such a step, and the natural fall of a spectrum has none.
"""

import numpy as np

from enhance_cli.errors import UsageError

FRAME_SECONDS = 2048 / 48000
CLASS_DB, CLASSES = 3.0, 48  # frames are counted in classes of their level, from 0 dBFS down
ACTIVE_DB = 30.0  # below the loudest class that holds a hundredth of the energy
SMOOTHING, BELOW, ABOVE, STEP_DB = 5, 12, 6, 10.0
FLOOR_DB = 120.0  # below the maximum of the spectrum
HOLE_DB, HOLE_SHARE = 80.0, 0.3  # a bin so far below the mean of its frame is empty
SLOPE_DB, DEEPEST = (
    5.0,
    0.65,
)  # a fall by that much in a tenth of an octave belongs to the edge, as far as that share of it
LOWEST = 2000.0  # Hz: what ends below it is a bass, not a band
WIDE_RATE = 48000  # Hz, of what is extended
FULL_BAND = 20000.0  # Hz: nobody misses what lies above


class BandMeter:
    """Measure where the band of (C, n) blocks at `rate` Hz ends.

    `given`: the frequency that it is known to end at. `made_power` is where a task leaves the mean power of what it made above.
    """

    def __init__(self, rate: int, given: float | None = None):
        """Start with no samples. Raises UsageError for a frequency that a band at this rate cannot end at."""
        if given is not None and not LOWEST / 2 <= given <= rate / 2:
            raise UsageError(
                f"--input-cutoff {given:g}: a recording at {rate} Hz has a band that ends at {LOWEST / 2:g} to {rate / 2:g} Hz",
                "leave it away to have it found",
            )
        self.rate, self.given, self.made_power = rate, given, 0.0
        self._length = 2 * max(round(rate * FRAME_SECONDS / 2), 16)
        self._window = np.hanning(self._length + 1)[:-1].astype(np.float32)
        self._rest: np.ndarray | None = None
        bins = self._length // 2 + 1
        self._power, self._holes = np.zeros((CLASSES, bins)), np.zeros((CLASSES, bins))
        self._counts = np.zeros(CLASSES)

    def push(self, block: np.ndarray) -> None:
        """Take the next (C, n) samples."""
        held = block if self._rest is None else np.concatenate([self._rest, block], axis=1)
        whole = held.shape[1] // self._length * self._length
        self._rest = held[:, whole:]
        if whole:
            self._count(held[:, :whole].reshape(len(held), -1, self._length))

    def _count(self, frames: np.ndarray) -> None:
        """Count frames (C, K, length). Channels are added up, so that none hides the band of another."""
        spectra = np.fft.rfft(frames.astype(np.float32) * self._window, axis=2)
        power = (np.square(spectra.real) + np.square(spectra.imag)).sum(axis=0, dtype=np.float64)
        power /= np.square(self._window).sum() * self._length
        level = power.mean(axis=1)
        heard = level > 1e-18
        classes = np.clip(-10 * np.log10(np.maximum(level, 1e-18)) / CLASS_DB, 0, CLASSES - 1).astype(int)
        empty = power < level[:, None] * 10 ** (-HOLE_DB / 10)
        for number in np.unique(classes[heard]):
            chosen = heard & (classes == number)
            self._power[number] += power[chosen].sum(axis=0)
            self._holes[number] += empty[chosen].sum(axis=0)
            self._counts[number] += chosen.sum()

    @property
    def edge(self) -> float | None:
        """Return the frequency in Hz that the band ends at, or None where nothing is missing: for a full band, for sound
        without treble such as a bass, and for silence.
        """
        if self.given is not None:
            return self.given if self.given < FULL_BAND else None
        found = find_edge(self.spectrum(), self.rate, self._length)
        return None if found is None or not LOWEST <= found < FULL_BAND else found

    @property
    def wide_rate(self) -> int:
        """Return the rate in Hz that the extended recording has: its own if nothing is missing."""
        return self.rate if self.edge is None else max(self.rate, WIDE_RATE)

    @property
    def notes(self) -> list[str]:
        """Return the reason why nothing is missing, if so."""
        return ["left as it is: nothing is missing that ends at a frequency"] if self.edge is None else []

    def spectrum(self) -> np.ndarray | None:
        """Return the long-term power of the active frames in dB (F,), holes as silence. None for silence."""
        energies = self._power.sum(axis=1)
        if not energies.any():
            return None
        loudest = int(np.argmax(energies > 0.01 * energies.sum()))
        active = slice(loudest, loudest + round(ACTIVE_DB / CLASS_DB) + 1)
        power, count = self._power[: active.stop].sum(axis=0), self._counts[: active.stop].sum()
        holes = self._holes[: active.stop].sum(axis=0) > HOLE_SHARE * count
        return 10 * np.log10(np.where(holes, 0, power / count) + 1e-30)


def find_edge(spectrum: np.ndarray | None, rate: int, length: int) -> float | None:
    """Return the frequency in Hz that a spectrum in dB (F,) of frames of `length` samples ends at, or None.

    A spectrum that goes on to half the `rate` ends there, since a signal at that rate can hold no more. So None is for
    silence alone, and for a spectrum that falls without a step.
    """
    if spectrum is None:
        return None
    power = 10 ** (np.maximum(spectrum, spectrum.max() - FLOOR_DB) / 10)
    smooth = np.convolve(np.pad(power, SMOOTHING // 2, mode="edge"), np.full(SMOOTHING, 1 / SMOOTHING), "valid")
    level = np.concatenate([10 * np.log10(smooth), np.full(BELOW + ABOVE, spectrum.max() - FLOOR_DB)])
    bins = smooth.size
    above = np.maximum.accumulate(level[::-1])[::-1]  # the highest level from each bin on
    below = np.lib.stride_tricks.sliding_window_view(level, BELOW).min(axis=1)  # of each bin and the 11 after it
    places = np.arange(BELOW, bins + 1)
    steps = places[below[places - BELOW] > above[np.minimum(places + ABOVE, level.size - 1)] + STEP_DB]
    if not steps.size:
        return None
    edge = int(steps[-1])
    return min(_shoulder(level, edge) * rate / length, rate / 2)


def _shoulder(level: np.ndarray, edge: int) -> int:
    """Return the bin below `edge` that a slope down to it begins at: from there down a tenth of an octave rises less."""
    lowest = edge * DEEPEST
    while edge > lowest:
        span = max(BELOW, round(0.07 * edge))
        upper, lower = (
            level[max(edge - span, 0) : edge].mean(),
            level[max(edge - 2 * span, 0) : max(edge - span, 1)].mean(),
        )
        if lower - upper < SLOPE_DB:
            break
        edge -= 1
    return edge
