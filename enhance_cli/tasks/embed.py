"""Turn a recording into one speaker embedding: mono, at the network's rate, in overlapping segments that are averaged.

Silence can be left out. Each batch of segments is computed by one CPU thread, so a result is the same to the bit whatever the
number of threads, and whatever other recordings are embedded at the same time.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from enhance_cli.audio.channels import to_mono
from enhance_cli.audio.levels.energy_gate import loud
from enhance_cli.audio.levels.level import leveled, without_offset
from enhance_cli.audio.resample import resample
from enhance_cli.errors import AudioError
from enhance_cli.models.device import pool_settings
from enhance_cli.models.extractor import Extractor, mean_embedding
from enhance_cli.models.graphs.speakers import GraphExtractor
from enhance_cli.tasks.options import EmbedOptions

MIN_SECONDS = 0.5  # seconds of sound, or of speech with `vad`
MAX_SECONDS = 20.0  # length of a segment, for networks that take any length
LEVEL = 0.14  # active level (-17 dBFS, an RMS of about -22) given to networks that are sensitive to loudness
SILENT = 1e-4  # RMS, -80 dBFS
BATCH_SECONDS = 40.0  # of segments that are embedded at a time
SPARE_LANES = 2  # recordings that are read while others are embedded


class Embedder:
    """Embed recordings, from several threads at once. `lanes`: number of recordings that keep it busy."""

    def __init__(self, extractor: Extractor | GraphExtractor, options: EmbedOptions = EmbedOptions()):
        self.extractor, self.options = extractor, options
        seconds = options.segment or extractor.spec.window_seconds or MAX_SECONDS
        self.segment = round(seconds * extractor.sample_rate)
        count, setting = pool_settings(extractor)
        self.lanes = count + SPARE_LANES
        self._threads = ThreadPoolExecutor(count, "embedding", **setting)

    def embed(self, audio: np.ndarray, rate: int) -> np.ndarray:
        """Return the embedding (D,) float32 of `audio` (C, N) at `rate`.

        Raises AudioError if it is too short or silent.
        """
        wave = self.prepare(audio, rate)
        length = min(len(wave), self.segment)
        rows = max(1, int(BATCH_SECONDS * self.extractor.sample_rate) // length)
        starts = self.starts(len(wave))
        groups = [starts[first : first + rows] for first in range(0, len(starts), rows)]
        embed_group = lambda group: self.extractor.embed_segments(np.stack([wave[s : s + length] for s in group]))
        found = np.concatenate(list(self._threads.map(embed_group, groups)))
        return mean_embedding(found, unit=self.options.normalize)

    def prepare(self, audio: np.ndarray, rate: int) -> np.ndarray:
        """Return (n,) mono at the network's rate for (C, N) at `rate`, without silence if the option `vad` is set.

        Networks that are sensitive to loudness get all recordings at one level. Their authors' program only raises quiet
        recordings, so that the same voice 18 dB louder would get a different embedding. Raises AudioError.
        """
        own = self.extractor.sample_rate
        wave = resample(to_mono([audio])[None], rate, own)[0]
        if not np.isfinite(wave).all():
            raise AudioError("holds numbers that are not finite", "repair the file, or leave it out")
        if wave.size < MIN_SECONDS * own:
            raise AudioError(
                f"only {wave.size / own:.2f} s long, too short for a speaker", f"use at least {MIN_SECONDS:g} s"
            )
        wave = without_offset(wave, own)
        rms = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))
        if rms < SILENT:
            raise AudioError("silent", "check the recording")
        if self.extractor.spec.normalise == "raise":
            wave = leveled(wave, own, LEVEL)
        if self.options.vad:
            wave = wave[loud(wave, own)]
            if wave.size < MIN_SECONDS * own:
                raise AudioError(
                    f"only {wave.size / own:.2f} s of it is speech",
                    f"use at least {MIN_SECONDS:g} s, or leave --vad out",
                )
        return wave

    def starts(self, samples: int) -> list[int]:
        """Return the starts of the segments, evenly spread from the first sample to the last.

        Neighbors overlap by at least half. A recording that is no longer than a segment has one.
        """
        if samples <= self.segment:
            return [0]
        count = -(-2 * (samples - self.segment) // self.segment) + 1
        return np.linspace(0, samples - self.segment, count).round().astype(int).tolist()
