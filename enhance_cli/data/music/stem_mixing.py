"""Mix stems on the fly from rendered songs: of one song as they were played, or of different songs.

Every batch is a function of (seed, batch number) alone, so a resumed run gets the same data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from enhance_cli.data import STEMS
from enhance_cli.data.mixing import active_level, equalize, fast_length, stretch
from enhance_cli.ranges import in_range


@dataclass(frozen=True)
class StemMix:
    """Set how stems are mixed. Probabilities are 0 to 1, ranges are (lowest, highest).

    Args:
        seconds: length of a mix.
        coherent: probability that all stems of a mix are of one song.
        drop: probability that a stem is left out.
        other: probability that a stem that the model does not extract is added.
        gain: standard deviation in dB of a stem's gain around its value in `balance`.
        balance: mean gain of each stem in dB.
        speed: factor on pitch and tempo.
        equaliser: probability of a random frequency response.
        level: level of the mix in dB, around that of the model.
    """

    seconds: float = 4.0
    coherent: float = 0.5
    drop: float = 0.12
    other: float = 0.12
    gain: float = 4.0
    balance: dict[str, float] | None = None
    speed: tuple[float, float] = (0.92, 1.09)
    equaliser: float = 0.3
    level: tuple[float, float] = (-6.0, 6.0)

    def __post_init__(self) -> None:
        in_range(self, **dict.fromkeys(("coherent", "drop", "other", "equaliser"), (0, 1)))
        in_range(self, seconds=(0.1, 600), gain=(0, 100), speed=(0.5, 2), level=(-100, 100))


class StemMixer:
    """Draw mixes from the `files` of data.music.rendering. `stems`: those sought, in the order of a batch."""

    def __init__(
        self, files: Sequence[Path], stems: Sequence[str], *, mix: StemMix, rate: int, level: float, seed: int
    ):
        self.songs = [np.load(path, mmap_mode="r") for path in files]
        self.lengths = np.array([song.shape[1] for song in self.songs])
        self.playing = [np.flatnonzero([song[row].any() for row in range(len(STEMS))]) for song in self.songs]
        self.by_stem = {row: [n for n, rows in enumerate(self.playing) if row in rows] for row in range(len(STEMS))}
        self.stems, self.mix, self.rate, self.level, self.seed = tuple(stems), mix, rate, level, seed
        self.samples = int(mix.seconds * rate)

    @property
    def hours(self) -> float:
        return self.lengths.sum() / self.rate / 3600

    def batch(self, number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (mixes (size, 1, N), stems (size, K, N)), float32."""
        rng = np.random.default_rng((self.seed, number))
        items = [self.item(rng) for _ in range(size)]
        mixes, stems = (np.stack(side).astype(np.float32) for side in zip(*items))
        return mixes, stems

    def item(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        mix = self.mix
        wanted = [STEMS.index(stem) for stem in self.stems]
        rows = wanted + [row for row in range(len(STEMS)) if row not in wanted]
        one = self.draw_position(rng, range(len(self.songs))) if rng.random() < mix.coherent else None
        parts = {}
        for row in rows:
            if rng.random() < (mix.drop if row in wanted else 1 - mix.other):
                continue
            audio = self.excerpt(rng, row, one)
            gain = 10 ** ((rng.normal(0, mix.gain) + (mix.balance or {}).get(STEMS[row], 0.0)) / 20)
            if rng.random() < mix.equaliser:
                audio = equalize(audio, rng, 2.5)
            parts[row] = audio * gain * rng.choice([-1, 1])
        mixed = sum(parts.values(), np.zeros(self.samples))
        level = active_level(mixed, self.rate // 50)
        scale = self.level * 10 ** (rng.uniform(*mix.level) / 20) / max(level, 1e-3)
        silence = np.zeros(self.samples)
        return mixed[None] * scale, np.stack([parts.get(row, silence) for row in wanted]) * scale

    def draw_position(self, rng: np.random.Generator, among: Sequence[int]) -> tuple[int, int, int]:
        """Return a song (long ones more often), the start of an excerpt in it, and the number of samples to take."""
        number = int(rng.choice(among, p=self.lengths[among] / self.lengths[among].sum()))
        length = self.songs[number].shape[1]
        taken = min(length, fast_length(self.samples * rng.uniform(*self.mix.speed)))
        return number, int(rng.integers(length - taken + 1)), taken

    def excerpt(self, rng: np.random.Generator, row: int, position: tuple[int, int, int] | None) -> np.ndarray:
        """Return (N,) of one stem, from `position` or from anywhere that it plays."""
        if position is None:
            if not self.by_stem[row]:
                return np.zeros(self.samples)
            position = self.draw_position(rng, self.by_stem[row])
        number, start, taken = position
        return stretch(self.songs[number][row, start : start + taken] / 32768.0, self.samples)
