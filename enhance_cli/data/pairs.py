"""Read noisy and clean recordings in pairs, from folders `noisy/` and `clean/` with the same names, or from shards.

Nothing is copied or packed: the headers are read and compared once, and every batch reads its excerpts. Each pair is
used once before any is used again. A batch is a function of (seed, number) alone, and its items are those of smaller
batches one after the other: batch 0 of four items is batches 0 and 1 of two.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from enhance_cli.audio.resample import resample
from enhance_cli.data import shards
from enhance_cli.data.corpus import SUFFIXES
from enhance_cli.data.mixing import Mix, active_level
from enhance_cli.data.shards import SIDES, Location
from enhance_cli.errors import AudioError, UsageError

TOLERANCE = 0.05  # seconds by which the two of a pair may differ in length, as lossy codecs leave them


@dataclass(frozen=True)
class Pair:
    """Locate one recording twice, at `rate` Hz. `frames` is the length of the shorter."""

    noisy: Location
    clean: Location
    rate: int
    frames: int


def from_folder(folder: Path) -> list[Pair]:
    """Return the pairs of `folder`/noisy and `folder`/clean.

    Raises UsageError for missing, empty or unmatched folders.
    """
    found = {side: _files(folder / side) for side in SIDES}
    names = {name: {side: found[side][name] for side in SIDES if name in found[side]} for name in _union(found)}
    return _matched(names, str(folder), "every file of noisy/ needs one of the same name in clean/, and the reverse")


def from_shards(pattern: str, root: Path) -> list[Pair]:
    """Return the pairs of all shards that match `pattern` (see shards.expand). Raises UsageError."""
    names = {
        f"{path}:{key}": sides for path in shards.expand(pattern, root) for key, sides in shards.index(path).items()
    }
    return _matched(names, pattern, "every KEY.noisy.EXT needs a KEY.clean.EXT in the same shard, and the reverse")


class Pairs:
    """Draw excerpts in batches as mixing.Mixer does. `mix.level` is the range of levels in dB, as there."""

    def __init__(self, pairs: list[Pair], mix: Mix, rate: int, seed: int):
        self.pairs, self.mix, self.rate, self.seed = pairs, mix, rate, seed
        self.samples = int(mix.seconds * rate)

    def batch(self, number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (noisy, clean), each float32 (size, samples), with an active level of about 0.1 RMS.

        Raises AudioError.
        """
        items = [self.item(number * size + k) for k in range(size)]
        return tuple(np.stack(side).astype(np.float32) for side in zip(*items))

    def item(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, rank = divmod(index, len(self.pairs))
        pair = self.pairs[_order(self.seed, epoch, len(self.pairs))[rank]]
        rng = np.random.default_rng((self.seed, index))
        frames = min(pair.frames, -(-self.samples * pair.rate // self.rate))
        start = int(rng.integers(pair.frames - frames + 1))
        noisy, clean = (self._excerpt(side, pair.rate, start, frames) for side in (pair.noisy, pair.clean))
        scale = 0.1 * 10 ** (rng.uniform(*self.mix.level) / 20) / max(active_level(noisy), 1e-4)
        return noisy * scale, clean * scale

    def _excerpt(self, location: Location, rate: int, start: int, frames: int) -> np.ndarray:
        """Return (samples,) at our rate, padded with zeros where the recording is too short."""
        audio = read_excerpt(location, start, frames)
        audio = resample(audio[None], rate, self.rate)[0][: self.samples]
        return np.pad(audio, (0, self.samples - audio.size))


def read_excerpt(location: Location, start: int, frames: int) -> np.ndarray:
    """Return (frames,) float32, channels averaged. Raises AudioError."""
    try:
        with soundfile.SoundFile(location.open()) as file:
            file.seek(start)
            return file.read(frames, dtype="float32", always_2d=True).mean(axis=1)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{location}: cannot be read ({error})", "mend it or take the pair out") from error


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, count)).permutation(count)


def _files(folder: Path) -> dict[str, Location]:
    """Return audio files by their path without its suffix."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", "pairs lie in train/noisy, train/clean, valid/noisy, valid/clean")
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not files:
        raise UsageError(f"{folder}: no audio in it", "pairs lie in train/noisy, train/clean, valid/noisy, valid/clean")
    return {path.relative_to(folder).with_suffix("").as_posix(): Location(str(path)) for path in files}


def _union(found: dict[str, dict]) -> list[str]:
    return sorted(set().union(*found.values()))


def _matched(names: dict[str, dict[str, Location]], where: str, hint: str) -> list[Pair]:
    """Return a pair for every name whose two headers agree. Raises UsageError for those that do not."""
    alone = [str(location) for sides in names.values() if len(sides) < 2 for location in sides.values()]
    if alone:
        raise UsageError(
            f"{where}: {len(alone)} of {len(names)} recordings have no counterpart ({_first(alone)})", hint
        )
    pairs, unlike = [], {"rates": [], "lengths": []}
    for sides in names.values():
        noisy, clean = (_header(sides[side]) for side in SIDES)
        if noisy.samplerate != clean.samplerate:
            unlike["rates"].append(f"{sides['noisy']} {noisy.samplerate} Hz, clean {clean.samplerate} Hz")
        elif abs(noisy.frames - clean.frames) > TOLERANCE * noisy.samplerate:
            unlike["lengths"].append(f"{sides['noisy']} {noisy.duration:.2f} s, clean {clean.duration:.2f} s")
        elif frames := min(noisy.frames, clean.frames):
            pairs.append(Pair(sides["noisy"], sides["clean"], noisy.samplerate, frames))
    for quantity, cases in unlike.items():
        if cases:
            message = f"{where}: {quantity} differ between noisy and clean in {len(cases)} of {len(names)} pairs"
            raise UsageError(f"{message} ({cases[0]})", "a pair is the same recording twice, sample for sample")
    if not pairs:
        raise UsageError(f"{where}: every recording is empty", "give it recordings with sound in them")
    return pairs


def _header(location: Location):
    try:
        return soundfile.info(location.open())
    except (soundfile.SoundFileError, OSError) as error:
        raise UsageError(f"{location}: cannot be read ({error})", "mend it or take the pair out") from error


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def rates(pairs: list[Pair]) -> dict[int, int]:
    """Return {rate in Hz: number of pairs}."""
    return dict(Counter(pair.rate for pair in pairs))
