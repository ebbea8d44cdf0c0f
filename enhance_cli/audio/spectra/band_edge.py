"""Find the frequency at which the band of a recording ends, from its long-term spectrum, in a stream and fixed memory.

The spectrum is the mean, in dB, over the active frames, so that temporary holes count, such as those that MP3 leaves at high
frequencies. It is smoothed over 5 bins of 23 Hz. The edge is the highest bin with a step of 10 dB: each of the 12 bins below
it exceeds everything from 6 bins above it on. At high frequencies, the number of bins grows with the frequency. Steep filters
cause such a step, natural spectra have none. Neither has a lone tone high above the band, such as the whistle of a television
set or the pilot of a radio station.
"""

import numpy as np

from enhance_cli.errors import UsageError

FRAME_SECONDS = 2048 / 48000
CLASS_DB, CLASSES = 3.0, 48  # frames are grouped in classes of 3 dB by their level, from 0 dBFS down
ACTIVE_DB = 30.0  # active frames are at most this far below the loudest class with a hundredth of the energy
SMOOTHING, BELOW, ABOVE, STEP_DB = 5, 12, 6, 10.0  # bins of smoothing, bins below and above the step, its height
# Most bins of a lone tone and its skirts, and distance to the sound below it, both relative to its frequency
TONE, ALONE = 0.12, 0.15
HOLE_DB = 85.0  # lower limit of the level of a bin, relative to the mean of its frame
BASS_DB = 50.0  # treble that is fainter than this, relative to the bass, is not worth extending
SLOPE_DB = 5.0  # a slope of at least this in a tenth of an octave belongs to the edge
DEEPEST = 0.65  # a slope begins at this share of the edge or above
LOWEST = 2000.0  # Hz: a recording that ends lower is treated as a bass without treble
WIDE_RATE = 48000  # Hz, rate of extended recordings
FULL_BAND = 20000.0  # Hz: a band that reaches this frequency is complete
PASSED = 0.965  # of half the rate: resampling removes all sound above, which would leave a dark line


class BandMeter:
    """Measure where the band of (C, n) blocks at `rate` Hz ends.

    `given`: the end of the band, if the user has given it. The task puts the mean power of the new band into `made_power`.
    """

    def __init__(self, rate: int, given: float | None = None):
        """Start without samples. Raises UsageError if a band at this rate cannot end at the given frequency."""
        if given is not None and not LOWEST / 2 <= given <= rate / 2:
            raise UsageError(
                f"--input-cutoff {given:g}: a recording at {rate} Hz has a band that ends at {LOWEST / 2:g} to {rate / 2:g} Hz",
                "leave it out to have it found",
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
        """Add frames (C, K, length). The powers of channels are added, so that a narrow channel does not hide a wide one."""
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
        """Return the frequency in Hz at which the band ends, or None if nothing is missing.

        Nothing is missing from a full band, from sound without treble such as a bass, and from silence.
        """
        if self.given is not None:
            return min(self.given, PASSED * self.rate / 2) if self.given < FULL_BAND else None
        found = find_edge(self.spectrum(), self.rate, self._length)
        return None if found is None or not LOWEST <= found < FULL_BAND else found

    @property
    def wide_rate(self) -> int:
        """Return the rate in Hz of the extended recording. It is that of the input if nothing is missing."""
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
    """Return the frequency in Hz at which a spectrum in dB (F,) ends, or None. `length`: samples of a frame.

    A spectrum without a step ends where resampling from this `rate` would end it. `spectrum` is None for silence.
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
    return min(_shoulder(level, edge) * rate / length, PASSED * rate / 2)


def _highest_step(level: np.ndarray, lowest: int) -> int | None:
    """Return the highest bin from `lowest` on with a step, within 18 bins or within a tenth of its frequency."""
    level = level.copy()
    while True:
        highest = np.maximum.accumulate(level[::-1])[::-1]  # from each bin on
        found = _step(level, highest, lowest)
        if found is None:
            return None
        edge, floor = found
        quiet = np.flatnonzero(level[:edge] <= floor)
        first = int(quiet[-1]) + 1 if quiet.size else 0
        below = level[round(first * (1 - ALONE)) : first]
        if edge - first > TONE * edge or not below.size or below.max() > floor:
            return edge
        level[first : edge + ABOVE] = min(level[first - 1], floor - STEP_DB)  # a lone tone


def _step(level: np.ndarray, highest: np.ndarray, lowest: int) -> tuple[int, float] | None:
    """Return the highest bin with a step, and the level in dB that all bins just below it exceed."""
    for edge in range(level.size - ABOVE - 1, max(lowest, BELOW), -1):
        for below, above in ((BELOW, ABOVE), (max(BELOW, edge // 25), max(ABOVE, edge // 15))):
            if edge + above < level.size and level[edge - below : edge].min() > highest[edge + above] + STEP_DB:
                return edge, float(highest[edge + above] + STEP_DB)
    return None


def _shoulder(level: np.ndarray, edge: int) -> int:
    """Return the bin below `edge` at which the slope towards it begins: below this bin, the spectrum is flatter."""
    lowest = edge * DEEPEST
    while edge > lowest:
        span = max(BELOW, round(0.07 * edge))
        upper = level[max(edge - span, 0) : edge].mean()
        lower = level[max(edge - 2 * span, 0) : max(edge - span, 1)].mean()
        if lower - upper < SLOPE_DB:
            break
        edge -= 1
    return edge
