"""Read noisy and clean recordings in pairs, from folders `noisy/` and `clean/` with the same names, or from shards.

Nothing is copied or packed: headers are read and compared once (files of floats are read whole, since a sample may be no
number), and every batch reads its excerpts. Each pair is used once before any is used again. A batch is a function of (seed,
number), and does not depend on how items are grouped: batch 0 of four items has the items of batches 0 and 1 of two.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from enhance_cli.audio.channels import cancels
from enhance_cli.audio.ffmpeg.decode import open_foreign, regroup
from enhance_cli.audio.info import FLOATS
from enhance_cli.audio.read import open_audio
from enhance_cli.audio.resample import resample
from enhance_cli.contracts import Log
from enhance_cli.data import shards
from enhance_cli.data.corpus import find_audio
from enhance_cli.data.mixing import Mix, active_level
from enhance_cli.data.shards import SIDES, Location
from enhance_cli.errors import AudioError, UsageError

TOLERANCE = 0.05  # seconds by which the two of a pair may differ in length, as after lossy codecs


@dataclass(frozen=True)
class Pair:
    """Locate one recording twice, at `rate` Hz. `frames` is the length of the shorter."""

    noisy: Location
    clean: Location
    rate: int
    frames: int


def from_folder(folder: Path, log: Log = lambda line: None) -> list[Pair]:
    """Return the pairs of `folder`/noisy and `folder`/clean.

    Pairs that cannot be used are left out and named in `log`. Raises UsageError for missing and empty folders, and if
    nothing is left.
    """
    found = {side: _files(folder / side, log) for side in SIDES}
    names = {name: {side: found[side][name] for side in SIDES if name in found[side]} for name in _union(found)}
    return _matched(
        names, str(folder), "every file of noisy/ needs one of the same name in clean/, and the reverse", log
    )


def from_shards(pattern: str, root: Path, log: Log = lambda line: None) -> list[Pair]:
    """Return the pairs of all shards that match `pattern` (see shards.expand). Raises UsageError."""
    names = {
        f"{path}:{key}": sides
        for path in shards.expand(pattern, root)
        for key, sides in shards.index(path, log).items()
    }
    return _matched(names, pattern, "every KEY.noisy.EXT needs a KEY.clean.EXT in the same shard, and the reverse", log)


class Pairs:
    """Draw excerpts in batches as mixing.Mixer does. `mix.level` is the range of levels in dB, as there."""

    def __init__(self, pairs: list[Pair], *, mix: Mix, rate: int, seed: int):
        self.pairs, self.mix, self.rate, self.seed = pairs, mix, rate, seed
        self.samples = int(mix.seconds * rate)

    def batch(self, number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (noisy, clean), each float32 (size, samples), with an active level of about 0.1 RMS.

        Raises AudioError.
        """
        items = [self.item(number * size + k) for k in range(size)]
        noisy, clean = (np.stack(side).astype(np.float32) for side in zip(*items))
        return noisy, clean

    def item(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, rank = divmod(index, len(self.pairs))
        pair = self.pairs[_order(self.seed, epoch, len(self.pairs))[rank]]
        rng = np.random.default_rng((self.seed, index))
        frames = min(pair.frames, -(-self.samples * pair.rate // self.rate))
        start = int(rng.integers(pair.frames - frames + 1))
        noisy, clean = (self._at_our_rate(audio, pair.rate) for audio in read_excerpt(pair, start, frames))
        scale = 0.1 * 10 ** (rng.uniform(*self.mix.level) / 20) / max(active_level(noisy), 1e-4)
        return noisy * scale, clean * scale

    def _at_our_rate(self, audio: np.ndarray, rate: int) -> np.ndarray:
        """Return (samples,) of (n,), padded with zeros where the recording is too short."""
        audio = resample(audio[None], rate, self.rate)[0][: self.samples]
        return np.pad(audio, (0, self.samples - audio.size))


def read_excerpt(pair: Pair, start: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy and clean (frames,) float32. Raises AudioError.

    They are the means of their channels, or both first ones where these cancel in either.
    """
    noisy, clean = (_read(side, pair.rate, start, frames) for side in (pair.noisy, pair.clean))
    if cancels(noisy) or cancels(clean):
        return noisy[0], clean[0]
    return noisy.mean(axis=0), clean.mean(axis=0)


def _read(location: Location, rate: int, start: int, frames: int) -> np.ndarray:
    """Return (C, frames) float32. Raises AudioError."""
    if location.size is None:
        with open_audio(location.path) as file:
            blocks = list(file.blocks(frames, start=start / rate, duration=frames / rate))
        return np.concatenate(blocks, axis=1).astype(np.float32, copy=False)
    try:
        with soundfile.SoundFile(location.open()) as sound:
            sound.seek(start)
            return sound.read(frames, dtype="float32", always_2d=True).T
    except soundfile.SoundFileError:
        return next(_decoded(location)[1](start, frames)).astype(np.float32, copy=False)
    except OSError as error:
        raise _unreadable(location, error) from error


def _decoded(location: Location) -> tuple[int, Callable[[int, int], Iterator[np.ndarray]]]:
    """Return the rate in Hz of a member of a shard that libsndfile does not read, such as M4A, and a function that decodes it.

    The function yields blocks (C, `size`) from the sample `first` on. Raises AudioError.
    """
    try:
        info, pieces, _ = open_foreign(Path(location.path), location.offset, location.offset + (location.size or 0))
    except AudioError as error:
        raise _unreadable(location, error) from error
    return info.rate, lambda first, size: regroup(pieces(), first, size)


def _unreadable(location: Location, error: Exception) -> AudioError:
    reason = getattr(error, "strerror", None) or str(error)[str(error).rfind("(") + 1 :].split(")")[0]
    return AudioError(f"{location}: cannot be read ({reason})", "mend it or take the pair out")


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, count)).permutation(count)


def _files(folder: Path, log: Log) -> dict[str, Location]:
    """Return audio files by their path without its suffix."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", "pairs lie in train/noisy, train/clean, valid/noisy, valid/clean")
    files = find_audio(folder, log)
    if not files:
        raise UsageError(f"{folder}: no audio in it", "pairs lie in train/noisy, train/clean, valid/noisy, valid/clean")
    found: dict[str, Location] = {}
    for path in files:
        first = found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), Location(str(path)))
        if first.path != str(path):
            log(f"left out: {path}: {first.path} has the same name")
    return found


def _union(found: dict[str, dict]) -> list[str]:
    return sorted(set().union(*found.values()))


def _matched(names: dict[str, dict[str, Location]], where: str, hint: str, log: Log) -> list[Pair]:
    """Return a pair for every name whose two headers agree. The others are left out and named in `log`, each kind in one line.

    Raises UsageError with the first of these lines if no pair is left.
    """
    left_out: dict[str, list[str]] = {"have no counterpart": [], "cannot be read": [], "differ in rate": []}
    left_out |= {"differ in length": [], "hold nothing": []}
    pairs = []
    for sides in names.values():
        if len(sides) < 2:
            left_out["have no counterpart"].append(str(next(iter(sides.values()))))
            continue
        try:
            (rate, frames), (clean_rate, clean_frames) = (_header(sides[side]) for side in SIDES)
        except AudioError as error:
            left_out["cannot be read"].append(error.message)
            continue
        name = str(sides["noisy"])
        if rate != clean_rate:
            left_out["differ in rate"].append(f"{name} {rate} Hz, clean {clean_rate} Hz")
        elif abs(frames - clean_frames) > TOLERANCE * rate:
            left_out["differ in length"].append(f"{name} {frames / rate:.2f} s, clean {clean_frames / rate:.2f} s")
        elif not min(frames, clean_frames):
            left_out["hold nothing"].append(name)
        else:
            pairs.append(Pair(sides["noisy"], sides["clean"], rate, min(frames, clean_frames)))
    for reason, cases in left_out.items():
        if cases:
            line = f"{where}: {len(cases)} of {len(names)} recordings {reason} ({_first(cases)})"
            if not pairs:
                raise UsageError(line, hint)
            log(f"left out: {line}")
    return pairs


def _header(location: Location) -> tuple[int, int]:
    """Return the rate in Hz and the samples of one channel. Raises AudioError, also if a sample is not finite."""
    if location.size is None:
        with open_audio(location.path) as file:
            frames = None if file.info.subtype in FLOATS else file.info.frames  # floats may not be finite
            return file.info.rate, sum(b.shape[1] for b in file.blocks()) if frames is None else frames
    try:
        found = soundfile.info(location.open())
        return found.samplerate, found.frames
    except soundfile.SoundFileError:
        rate, blocks = _decoded(location)
        return rate, sum(block.shape[1] for block in blocks(0, 65536))
    except OSError as error:
        raise _unreadable(location, error) from error


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def rates(pairs: list[Pair]) -> dict[int, int]:
    """Return {rate in Hz: number of pairs}."""
    return dict(Counter(pair.rate for pair in pairs))
