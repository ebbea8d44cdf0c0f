"""Find the frequency that the band of a recording ends at, from its long-term spectrum, in a stream and fixed memory.

The spectrum is the mean of the levels in dB of the active frames, in which holes count, as MP3 leaves them above its shelf. It
is smoothed over 5 bins of 23 Hz. From the top down, the edge is the first bin whose 12 bins below exceed everything from 6 bins
above on by 10 dB, or more bins in proportion to the frequency. Steep slopes have such a step, natural spectra have none.
"""

import numpy as np

from enhance_cli.errors import UsageError

FRAME_SECONDS = 2048 / 48000
CLASS_DB, CLASSES = 3.0, 48  # frames are counted in classes of their level, from 0 dBFS down
ACTIVE_DB = 30.0  # below the loudest class that holds a hundredth of the energy
SMOOTHING, BELOW, ABOVE, STEP_DB = 5, 12, 6, 10.0
HOLE_DB = 85.0  # below the mean of its frame, a bin is empty
BASS_DB = 50.0  # below the level of the bass: a treble so faint is not worth making
SLOPE_DB = 5.0  # a fall by that much in a tenth of an octave belongs to the edge
DEEPEST = 0.65  # of the edge, where it begins at the lowest
LOWEST = 2000.0  # Hz: a recording that ends below it has a bass and no band
WIDE_RATE = 48000  # Hz, of extended recordings
FULL_BAND = 20000.0  # Hz: nobody misses the band above


class BandMeter:
    """Measure where the band of (C, n) blocks at `rate` Hz ends.

    `given`: the frequency that it is known to end at. A task leaves the mean power of the band that it made in `made_power`.
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
        self._levels = np.zeros((CLASSES, bins))  # sums of levels in dB
        self._energies, self._counts = np.zeros(CLASSES), np.zeros(CLASSES)

    def push(self, block: np.ndarray) -> None:
        """Take the next (C, n) samples."""
        held = block if self._rest is None else np.concatenate([self._rest, block], axis=1)
        whole = held.shape[1] // self._length * self._length
        self._rest = held[:, whole:].copy()  # the caller may write to its block
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
        levels = 10 * np.log10(np.maximum(power, level[:, None] * 10 ** (-HOLE_DB / 10) + 1e-30))
        for number in np.unique(classes[heard]):
            chosen = heard & (classes == number)
            self._levels[number] += levels[chosen].sum(axis=0)
            self._energies[number] += level[chosen].sum()
            self._counts[number] += chosen.sum()

    @property
    def edge(self) -> float | None:
        """Return the frequency in Hz that the band ends at, or None where nothing is missing.

        That is a full band, sound without treble such as a bass, and silence.
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
        if self.edge is not None:
            return []
        if self.given is not None:
            return [f"left as it is: a band that reaches {FULL_BAND:.0f} Hz is full"]
        return ["left as it is: nothing is missing that ends at a frequency"]

    def spectrum(self) -> np.ndarray | None:
        """Return the mean level of the active frames in dB (F,), or None for silence."""
        if not self._counts.any():
            return None
        loudest = int(np.argmax(self._energies > 0.01 * self._energies.sum()))
        last = loudest + round(ACTIVE_DB / CLASS_DB) + 1
        return self._levels[:last].sum(axis=0) / self._counts[:last].sum()


def find_edge(spectrum: np.ndarray | None, rate: int, length: int) -> float | None:
    """Return the frequency in Hz that a spectrum in dB (F,) of frames of `length` samples ends at, or None.

    A spectrum without a step ends at half the `rate`, since a signal at that rate can hold no more. None is for silence.
    """
    if spectrum is None:
        return None
    padded = np.pad(spectrum, SMOOTHING // 2, mode="edge")
    level = np.convolve(padded, np.full(SMOOTHING, 1 / SMOOTHING), "valid")
    lowest = int(LOWEST * length / rate)
    edge = _highest_step(level, lowest)
    if edge is None:
        if level[lowest:].max(initial=-np.inf) < level.max() - BASS_DB:
            return None
        edge = level.size
    return min(_shoulder(level, edge) * rate / length, rate / 2)


def _highest_step(level: np.ndarray, lowest: int) -> int | None:
    """Return the highest bin from `lowest` on that a step lies at: within 18 bins, or within a tenth of its frequency."""
    highest = np.maximum.accumulate(level[::-1])[::-1]  # from each bin on
    for edge in range(level.size - ABOVE - 1, max(lowest, BELOW), -1):
        for below, above in ((BELOW, ABOVE), (max(BELOW, edge // 25), max(ABOVE, edge // 15))):
            if edge + above < level.size and level[edge - below : edge].min() > highest[edge + above] + STEP_DB:
                return edge
    return None


def _shoulder(level: np.ndarray, edge: int) -> int:
    """Return the bin below `edge` that a slope down to it begins at: from there down a tenth of an octave rises less."""
    lowest = edge * DEEPEST
    while edge > lowest:
        span = max(BELOW, round(0.07 * edge))
        upper = level[max(edge - span, 0) : edge].mean()
        lower = level[max(edge - 2 * span, 0) : max(edge - span, 1)].mean()
        if lower - upper < SLOPE_DB:
            break
        edge -= 1
    return edge
