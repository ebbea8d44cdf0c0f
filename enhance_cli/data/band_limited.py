"""Draw crops of recordings, each with a frequency (the edge) above which a model has to make the band.

The end of each recording's own band is measured, so that no model learns from bands that a codec or a sample rate has cut.
"""

from dataclasses import dataclass
from math import inf

import numpy as np

from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.spectra.band_edge import FULL_BAND, WIDE_RATE, BandMeter
from enhance_cli.data.corpus import Clip, Corpus
from enhance_cli.ranges import in_range

MEASURED_SECONDS = 60
# Hz, of rates and codecs in use
USUAL_EDGES = (3400.0, 3750.0, 3900.0, 5400.0, 7500.0, 7800.0, 10700.0, 11600.0, 15600.0)
QUIETEST = 1e-4  # recordings with a lower active level are left out


@dataclass(frozen=True)
class BandLimits:
    """Set how crops are drawn.

    Args:
        seconds: length of a crop.
        gain: range in dB around the level of the model.
        edge: range in Hz from which an edge is drawn, uniformly on a logarithmic scale.
        usual: probability that the edge is one of common sample rates and codecs instead.
        least: number of octaves by which the edge lies below the end of the recording's own band, at least.
    """

    seconds: float = 4.0
    gain: tuple[float, float] = (-6.0, 6.0)
    edge: tuple[float, float] = (3300.0, 16000.0)
    usual: float = 0.5
    least: float = 0.3

    def __post_init__(self) -> None:
        in_range(self, seconds=(0.5, inf), gain=(-40, 40), edge=(1000, 20000), usual=(0, 1), least=(0, 4))


@dataclass(frozen=True)
class Recording:
    """Locate a clip, with the frequency in Hz that its band ends at and its active level."""

    clip: Clip
    limit: float
    level: float


def measure(audio: np.ndarray, clip: Clip) -> Recording:
    """Measure the first minute of a clip in `audio` int16."""
    band = BandMeter(WIDE_RATE)
    meter = Meter(WIDE_RATE, 1, loudness=False, extra=band)
    meter.push(_samples(audio, clip.start, min(clip.length, MEASURED_SECONDS * WIDE_RATE))[None])
    return Recording(clip, min(band.edge or FULL_BAND, FULL_BAND), float(meter.active_levels[0]))


class BandLimited:
    """Draw batches of crops of one side of a corpus, as a function of (seed, number) alone."""

    def __init__(self, corpus: Corpus, clips: list[Clip], *, limits: BandLimits, level: float, seed: int):
        self.audio, self.limits, self.level, self.seed = corpus.audio, limits, level, seed
        found = [measure(corpus.audio, clip) for clip in clips]
        lowest = limits.edge[0] * 2**limits.least
        self.recordings = [r for r in found if r.limit >= lowest and r.level > QUIETEST]
        shares = [sum(r.clip.length for r in self.recordings if r.clip.source == i) for i in range(len(corpus.sources))]
        weights = [
            corpus.sources[r.clip.source].weight * r.clip.length / shares[r.clip.source] for r in self.recordings
        ]
        self.chances = np.array(weights) / sum(weights)

    @property
    def hours(self) -> float:
        return sum(r.clip.length for r in self.recordings) / WIDE_RATE / 3600

    def batch(self, number: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return crops (size, N), and for each the edge (size,) and the end of its own band (size,) in Hz, float32."""
        rng = np.random.default_rng((self.seed, number))
        chosen = [self.recordings[i] for i in rng.choice(len(self.recordings), size=size, p=self.chances)]
        crops = np.stack([self._crop(rng, recording) for recording in chosen])
        limits = np.array([recording.limit for recording in chosen], np.float32)
        return crops, np.array([self._edge(rng, limit) for limit in limits], np.float32), limits

    def _crop(self, rng: np.random.Generator, recording: Recording) -> np.ndarray:
        wanted, clip = int(self.limits.seconds * WIDE_RATE), recording.clip
        start = clip.start + int(rng.integers(max(clip.length - wanted, 0) + 1))
        crop = _samples(self.audio, start, min(wanted, clip.length))
        crop = np.pad(crop, (0, wanted - crop.size))
        gain = self.level / recording.level * 10 ** (rng.uniform(*self.limits.gain) / 20)
        return (gain * crop).astype(np.float32)

    def _edge(self, rng: np.random.Generator, limit: float) -> float:
        low, high = self.limits.edge
        high = min(high, limit * 2**-self.limits.least)
        usual = [edge for edge in USUAL_EDGES if low <= edge <= high]
        if usual and rng.random() < self.limits.usual:
            return float(rng.choice(usual))
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _samples(audio: np.ndarray, start: int, length: int) -> np.ndarray:
    return audio[start : start + length].astype(np.float32) / 32767
