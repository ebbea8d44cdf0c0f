"""Pack folders of audio once: every file decoded to 16-bit mono at one rate, end to end in one memory-mapped array.

A recipe names sources (folders with a weight). Each file belongs to a group (its speaker, or itself), and a stable
share of the groups is held out for validation, so that no speaker and no noise recording is on both sides.
"""

import csv
import fnmatch
import hashlib
import json
import zlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path

import numpy as np

from enhance_cli.atomic import replace_file
from enhance_cli.audio.channels import to_mono
from enhance_cli.audio.formats import AUDIO_SUFFIXES
from enhance_cli.audio.read import open_audio
from enhance_cli.audio.resample import resample
from enhance_cli.audio.search import find_files
from enhance_cli.contracts import Log
from enhance_cli.errors import AudioError, EnhanceError, UsageError
from enhance_cli.ranges import OutOfRange, in_range

GROUPS = ("file", "folder")
SUFFIXES = AUDIO_SUFFIXES
QUIET = 0.05  # a recording with a lower peak is amplified, since 16 bits would be too coarse for it


@dataclass(frozen=True)
class Source:
    """Describe one folder of a recipe.

    Args:
        folder: path below the root of the corpus.
        weight: relative frequency with which it is drawn.
        groups: "folder" if there is a folder for every speaker, which may have further folders in it. With "file" every
            file is a group of its own.
        held_out: share of the groups that is kept for validation.
        optional: whether the folder may be missing.
        include: patterns of the relative paths that are taken, none for all.
        exclude: patterns of relative paths that are left out.
        scores, at_least: path of a CSV file with a score of each file in each column, and the smallest score in each column
            that a file needs.
    """

    folder: str
    weight: float = 1.0
    groups: str = "file"
    held_out: float = 0.0
    optional: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    scores: str = ""
    at_least: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        in_range(self, weight=(0, inf), held_out=(0, 1))
        if self.groups not in GROUPS:
            raise OutOfRange("groups", f"{self.groups!r} is none of {', '.join(GROUPS)}")


@dataclass(frozen=True)
class Clip:
    """Locate one file in the packed array, in samples."""

    source: int
    group: str
    start: int
    length: int


class Corpus:
    """Hold `audio` int16 (total samples,), the clips to train on, and the clips held out.

    With `whole` both are all clips.
    """

    def __init__(self, audio: np.ndarray, clips: list[Clip], sources: list[Source], whole: bool = False):
        self.audio, self.sources = audio, sources
        if whole:
            self.train = self.valid = clips
            return
        held = set().union(*(_held_out(clips, i, source.held_out) for i, source in enumerate(sources)))
        self.train = [c for c in clips if c.group not in held]
        self.valid = [c for c in clips if c.group in held]
        for side, name in (self.train, "train on"), (self.valid, "validate on"):
            if not side:
                raise UsageError(
                    f"{', '.join(s.folder for s in sources)}: nothing to {name}",
                    "set held_out in the recipe, the share to validate on, or add files",
                )

    def hours(self, clips: list[Clip], rate: int) -> float:
        return sum(c.length for c in clips) / rate / 3600


def load(sources: list[Source], root: Path, rate: int, cache: Path, log: Log = print, whole: bool = False) -> Corpus:
    """Return the packed corpus of `sources` below `root`, from `cache` if these very files were packed before.

    `whole`: hold nothing out, as for a test. Raises UsageError for a missing or empty folder that is not optional.
    """
    files = [
        (i, group(source, path, root), path)
        for i, source in enumerate(sources)
        for path in list_files(source, root, log)
    ]
    described = [(i, name, str(path), size_of(path)) for i, name, path in files]
    digest = hashlib.sha256(json.dumps([rate, [asdict(s) for s in sources], described]).encode()).hexdigest()[:16]
    packed, index = cache / f"{digest}.int16", cache / f"{digest}.json"
    if not index.exists():
        _pack(files, sources, rate, packed, index, log)
    clips = [Clip(*row) for row in json.loads(index.read_text(encoding="utf-8"))]
    return Corpus(np.memmap(packed, dtype=np.int16, mode="r"), clips, sources, whole)


def list_files(source: Source, root: Path, log: Log = lambda line: None) -> list[Path]:
    """Return the audio files of a source that pass its scores and exclusions, sorted. `log` is told of unreadable folders."""
    folder = root / source.folder
    if not folder.is_dir():
        if source.optional:
            return []
        raise UsageError(f"{folder}: no such folder", "name the corpus root with --data, or your folders in a recipe")
    wanted = _well_scored(source, root)
    files = [
        path
        for path in find_audio(folder, log)
        if _is_chosen(path.relative_to(folder).as_posix(), source)
        and (wanted is None or path.relative_to((root / source.scores).parent).as_posix() in wanted)
    ]
    if not files and not source.optional:
        chosen = source.include or source.exclude or source.scores
        hint = "check the recipe's include, exclude and at_least" if chosen else "name a folder that holds recordings"
        raise UsageError(f"{folder}: no usable audio in it", hint)
    return files


def _is_chosen(name: str, source: Source) -> bool:
    matches = lambda patterns: any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    return (not source.include or matches(source.include)) and not matches(source.exclude)


def find_audio(folder: Path, log: Log) -> list[Path]:
    """Return the audio files below a folder, sorted. Folders that cannot be read are named in `log`."""
    told = lambda error: log(f"left out: {error.filename}: this folder cannot be read ({error.strerror})")
    return find_files(folder, SUFFIXES, on_error=told)


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, -1 for a link to nothing."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def group(source: Source, path: Path, root: Path) -> str:
    """Return the group of a file: the source with the speaker (the outermost folder) or the recording below it."""
    folder = root / source.folder
    if source.groups == "file":
        return f"{source.folder}/{path.stem}"
    speaker, *below = path.relative_to(folder).parts
    return f"{source.folder}/{speaker if below else folder.name}"


def _well_scored(source: Source, root: Path) -> set[str] | None:
    """Return the names in the CSV of scores (column `file`, relative to the CSV) that reach every threshold."""
    if not source.scores:
        return None
    with open(root / source.scores, newline="", encoding="utf-8") as table:
        return {
            row["file"]
            for row in csv.DictReader(table)
            if all(float(row[column]) >= least for column, least in source.at_least.items())
        }


def _pack(
    files: list[tuple[int, str, Path]], sources: list[Source], rate: int, packed: Path, index: Path, log: Log
) -> None:
    rows, position, rates = [], 0, Counter[int]()
    log(f"packing {len(files)} files")
    with replace_file(packed) as out:
        for number, (i, name, path) in enumerate(files):
            if number and number % 500 == 0:
                log(f"packed {number} of {len(files)} files ({position / rate / 3600:.2f} h)")
            try:
                audio, own_rate = _read(path, rate)
            except AudioError as error:
                log(f"left out: {error}")
                continue
            if not len(audio):
                continue
            rates[own_rate] += 1
            rows.append((i, name, position, len(audio)))
            position += len(audio)
            peak = float(np.abs(audio).max())
            if peak > 1 or 0 < peak < QUIET:  # float files have levels that 16 bits do not
                audio = audio * np.float32(0.5 / peak)
            out.write(np.round(audio * 32767).clip(-32768, 32767).astype(np.int16).tobytes())
        if not rows:
            raise EnhanceError("the corpus holds no readable audio", "name the corpus root with --data")
    if line := rates_line(", ".join(source.folder for source in sources), rates, rate):
        log(line)
    with replace_file(index) as out:  # last: where it is, the audio is there too
        out.write(json.dumps(rows).encode())


def rates_line(where: str, rates: dict[int, int], rate: int) -> str:
    """Return one line about files (their number by rate in Hz) that do not have the model's rate, or "" if all have it."""
    others = {own: count for own, count in sorted(rates.items()) if own != rate}
    if not others:
        return ""
    said = ", ".join(f"{own} Hz ({count} {'file' if count == 1 else 'files'})" for own, count in others.items())
    below = f"; there is nothing to learn above {min(others) / 2000:g} kHz in the lowest" if min(others) < rate else ""
    return f"{where}: {said} resampled to {rate} Hz{below}"


def read_mono(path: Path, rate: int) -> np.ndarray:
    """Return a file as (N,) float32 at `rate`, channels averaged."""
    return _read(path, rate)[0]


def _read(path: Path, rate: int) -> tuple[np.ndarray, int]:
    """Return the samples of read_mono, and the rate of the file."""
    with open_audio(path) as file:
        audio = to_mono(file.blocks())
        return resample(audio[None], file.info.rate, rate)[0], file.info.rate


def _held_out(clips: list[Clip], source: int, share: float) -> set[str]:
    """Return the groups of a source kept for validation: that share of them, at least one if any, by a hash of the name."""
    # Names may hold bytes that are not UTF-8. The split does not depend on the locale
    hash_of = lambda group: zlib.crc32(group.encode("utf-8", "surrogateescape"))
    groups = sorted({c.group for c in clips if c.source == source}, key=hash_of)
    return set(groups[: max(1, round(share * len(groups)))]) if share > 0 else set()
