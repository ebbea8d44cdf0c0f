"""Expand the words on the command line to a list of files.

A word may be a file, a folder, a quoted glob, `@list.txt`, or `-` for standard input. Files and folders may be in
object storage. Each file keeps its path below the folder in which it was found, so that an output folder can repeat the
tree and `--shard` can split it.
"""

import codecs
import glob
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Protocol, TypeVar

from enhance_cli.audio.formats import AUDIO_SUFFIXES, CONTAINERS, FOREIGN_VIDEO_SUFFIXES, VIDEO_SUFFIXES
from enhance_cli.audio.read import open_audio
from enhance_cli.audio.search import find_files, walk_folders
from enhance_cli.batch.storage import StoredFile, files_below, files_like, is_url, locate
from enhance_cli.errors import AudioError, UsageError

STDIN = Path("-")
PAGE_MARK = ".enhance-page"  # file that marks the folder with the sounds and pictures of a page

# Suffixes of the files that commands which also write videos look for in a folder
SOUND_SUFFIXES = AUDIO_SUFFIXES | VIDEO_SUFFIXES | FOREIGN_VIDEO_SUFFIXES
_ALSO_SCRIPTS = (".ts", ".mts")  # suffixes of MPEG transport streams that TypeScript has as well
# Suffixes that an output keeps. Whatever else comes in goes out as WAV
WRITABLE_SUFFIXES = frozenset(f".{extension}" for extension in CONTAINERS) | VIDEO_SUFFIXES


@dataclass(frozen=True)
class Input:
    """Describe one input file.

    `relative`: path below the folder argument, or the bare name. `named`: False for files found in a folder or by a glob,
    among which there may be outputs of an earlier run. `track`: number of the sound track to process, if it is one of
    several. `problem`: reason why this is not a usable input.
    """

    path: Path | StoredFile
    relative: PurePath
    named: bool = True
    track: str | None = None
    problem: str = ""


class HasRelative(Protocol):
    """Offer `relative`, the path below the folder argument, as Input and Job do."""

    @property
    def relative(self) -> PurePath: ...


Sharded = TypeVar("Sharded", bound=HasRelative)


def expand(
    arguments: Sequence[str],
    *,
    recursive: bool = False,
    searched: frozenset[str] = AUDIO_SUFFIXES,
    noun: str = "audio files",
) -> list[Input]:
    """Return all files for the arguments, in order, each once.

    `searched`: suffixes of the files to find in folders. `noun`: word for such files in messages. An argument that gives no
    file (an empty or unreadable folder, a glob without a match, an unreadable list) becomes an Input with a `problem`,
    which fails later without stopping the batch. Raises UsageError if all arguments are like that, or there are none.
    """
    found: dict[str, Input] = {}
    expansion = _Expansion(recursive, searched, noun)
    for argument in arguments:
        for item in expansion.of(argument):
            key = "-" if item.path == STDIN else os.path.abspath(item.path)
            found.setdefault(f"{key}\0problem" if item.problem else key, item)
    if expansion.refusals and all(item.problem for item in found.values()):
        raise expansion.refusals[0]
    if not found:
        raise UsageError("there are no input files", "name at least one file or folder")
    return list(found.values())


@dataclass(frozen=True)
class _Expansion:
    """Expand arguments. For the first three fields see `expand`. `refusals`: errors about the arguments without a file."""

    recursive: bool
    searched: frozenset[str]
    noun: str
    refusals: list[UsageError] = field(default_factory=list)

    def of(self, argument: str) -> Iterator[Input]:
        """Yield the files for one argument. If there are none, yield an Input with a problem, and add it to `refusals`."""
        is_list = argument.startswith("@") and not os.path.lexists(argument)
        return self._or_problem(self._list if is_list else self._one, argument)

    def _or_problem(self, expand_this: Callable[[str], Iterator[Input]], argument: str) -> Iterator[Input]:
        try:
            yield from expand_this(argument)
        except UsageError as refusal:
            self.refusals.append(refusal)
            path = Path(argument or ".")
            yield Input(path, PurePath(path.name), problem=str(refusal))

    def _list(self, argument: str) -> Iterator[Input]:
        listing = argument[1:]
        try:
            raw = sys.stdin.buffer.read() if listing == "-" else Path(listing).read_bytes()
        except OSError as error:
            raise UsageError(f"{listing}: this list cannot be read ({error.strerror})", "check its name") from error
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes it
            text = raw.decode("utf-16", "replace")
        else:
            text = raw.decode("utf-8-sig", "surrogateescape")
        if "\0" in text:  # the output of `find -print0`, in which names may contain any other character
            lines = [line for line in text.split("\0") if line]
        else:  # splitlines() would also split at characters that file names may contain
            lines = [line.rstrip("\r") for line in text.split("\n")]
            lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        for line in lines:
            yield from self._or_problem(self._one, line)

    def _one(self, argument: str) -> Iterator[Input]:
        if not argument:
            raise UsageError("an input has an empty name", "check the variables in your command")
        path = locate(argument)
        if isinstance(path, StoredFile):
            yield from self._stored(path)
            return
        argument = str(path) if is_url(argument) else argument
        if argument == "-":
            yield Input(STDIN, PurePath("stdin.wav"))
        elif os.path.isdir(path):  # unlike Path.is_dir it never raises, whatever the name
            yield from self._folder(path)
        elif glob.has_magic(argument) and not os.path.lexists(path):  # a file may really be called "take[1].wav"
            yield from _expand_glob(argument)
        else:
            yield Input(path, PurePath(path.name))

    def _folder(self, folder: Path) -> Iterator[Input]:
        closed: list[OSError] = []
        is_page = lambda below: os.path.exists(below / PAGE_MARK)  # a folder with sounds of a page of an earlier run
        looked_at = self.searched | VIDEO_SUFFIXES | FOREIGN_VIDEO_SUFFIXES
        seen = find_files(folder, looked_at, recursive=self.recursive, leaves_out=is_page, on_error=closed.append)
        seen = [path for path in seen if _suffix(path.name) not in _ALSO_SCRIPTS or _is_transport_stream(path)]
        files = [path for path in seen if _suffix(path.name) in self.searched]
        videos = len(seen) > len(files)
        for error in closed:
            message = f"{error.filename}: this folder cannot be read ({error.strerror})"
            self.refusals.append(UsageError(message, "check its permissions"))
            path = Path(error.filename)
            yield Input(path, PurePath(path.name), problem=str(self.refusals[-1]))
        if not files and not closed:
            hint = "name another folder" if self.recursive else "add --recursive to look into its subfolders"
            if videos:
                hint = f"its videos are left out unless they are named, as by '{folder / '*.mp4'}'"
            raise UsageError(f"{folder}: there are no {self.noun} in this folder", hint)
        for path in files:
            yield Input(path, path.relative_to(folder), named=False)

    def _stored(self, stored: StoredFile) -> Iterator[Input]:
        if glob.has_magic(stored.url):
            found = files_like(stored)
            if not found:
                raise UsageError(f"{stored}: no file matches this pattern", "check it, and keep it in quotes")
        elif _suffix(stored.name) in self.searched:
            yield Input(stored, PurePath(stored.name))
            return
        else:
            below = files_below(stored, self.recursive)
            found = [(file, relative) for file, relative in below if _suffix(relative.name) in self.searched]
            if not found:
                hint = "name another folder" if self.recursive else "add --recursive to look into its subfolders"
                raise UsageError(f"{stored}: there are no {self.noun} in this folder", hint)
        for file, relative in found:
            yield Input(file, relative, named=False)


def by_track(found: Sequence[Input]) -> list[Input]:
    """Return the inputs, where a file with several sound tracks is replaced by one input per track, named NAME_trackN.

    Tracks of a video get the suffix .wav, since a track by itself is not a video.
    """
    split: list[Input] = []
    for item in found:
        tracks = _tracks(item.path)
        if len(tracks) < 2:
            split.append(item)
            continue
        name = item.relative
        name = name.with_suffix(".wav") if name.suffix.lower() in VIDEO_SUFFIXES else name
        split += [
            replace(item, track=str(n), relative=name.with_name(f"{name.stem}_track{n}{name.suffix}")) for n in tracks
        ]
    return split


def _tracks(path: Path | StoredFile) -> list[int]:
    if isinstance(path, StoredFile) or not os.path.isfile(path):  # a pipe can be read only once
        return []
    try:
        with open_audio(path) as audio:
            return [track.number for track in audio.info.tracks]
    except AudioError:  # reported when the file is processed
        return []


def shard(items: Sequence[Sharded], index: int, count: int) -> list[Sharded]:
    """Return shard `index` of `count` (1-based) of inputs or jobs. Adding files does not move others to another shard.

    Split the jobs that `outputs.plan` returns rather than the inputs, so that every shard detects all name clashes.
    """
    if not 1 <= index <= count:
        raise UsageError(f"--shard {index}/{count}: must be I/N with 1 <= I <= N", "use for example --shard 2/8")
    return [item for item in items if _hash(item.relative) % count == index - 1]


def _hash(relative: PurePath) -> int:
    name = relative.as_posix().encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")


def _is_transport_stream(path: Path) -> bool:
    """Return whether a file begins like MPEG-TS, or cannot be read."""
    try:
        with open(path, "rb") as file:
            return b"\x47" in file.read(5)[::4]  # .m2ts and .mts have a time stamp of four bytes in front
    except OSError:
        return True


def _expand_glob(pattern: str) -> Iterator[Input]:
    root, parts = Path(), list(Path(pattern).parts)
    while len(parts) > 1 and os.path.isdir(root / parts[0]):  # a folder may really be called "Show [2024]"
        root /= parts.pop(0)
    paths = sorted({path for path in _matching(root, parts) if os.path.isfile(path)})
    if not paths:
        raise UsageError(f"{pattern}: no file matches this pattern", "check it, and keep it in quotes")
    for path in paths:
        yield Input(path, path.relative_to(root), named=False)


def _matching(root: Path, parts: list[str]) -> Iterator[Path]:
    """Yield the files and folders below `root` that match a pattern. `**` visits each folder once, even through links."""
    if "**" not in parts:
        yield from (root / name for name in glob.glob(os.path.join(*parts), root_dir=root))
        return
    at = parts.index("**")
    rest = parts[at + 1 :] or ["*"]
    for start in _matching(root, parts[:at]) if at else [root]:
        for folder, _ in walk_folders(start):
            yield from _matching(folder, rest)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
