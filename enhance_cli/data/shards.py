"""Read webdataset shards: plain tar files whose members `KEY.noisy.EXT` and `KEY.clean.EXT` are one pair.

A shard is indexed once (its headers are read) and then read at any position, so any excerpt can be read at any time and
a resumed run gets the same data. Local files only. Compressed tars cannot be read in the middle.
"""

import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from enhance_cli.contracts import Log
from enhance_cli.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SIDES = ("noisy", "clean")
_MEMBER = re.compile(r"([^.].*?)\.(noisy|clean)\.", re.IGNORECASE)  # the name of a hidden file begins with a dot


@dataclass(frozen=True)
class Location:
    """Locate a file, or the `size` bytes from `offset` on in one."""

    path: str
    offset: int = 0
    size: int | None = None
    member: str = ""

    def open(self) -> str | io.BufferedReader:
        """Return an argument for soundfile: a path, or a seekable file."""
        return self.path if self.size is None else io.BufferedReader(FileSlice(self.path, self.offset, self.size))

    def __str__(self) -> str:
        return f"{self.path}:{self.member}" if self.member else self.path


class FileSlice(io.RawIOBase):
    """Read a slice of a file as if it were a file of its own."""

    def __init__(self, path: str, offset: int, size: int):
        self.file, self.offset, self.size, self.position = open(path, "rb"), offset, size, 0  # noqa: SIM115

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        return self.position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        self.file.seek(self.offset + self.position)
        wanted = max(0, min(len(view), self.size - self.position))
        count = self.file.readinto(view[:wanted])
        self.position += count
        return count

    def close(self) -> None:
        self.file.close()
        super().close()


def expand(pattern: str, root: Path) -> list[Path]:
    """Return the files for `a-{000..012}.tar` or a glob below `root`, sorted.

    Raises UsageError where one is missing.
    """
    counted = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if counted:
        first, last = counted.groups()
        numbers = (f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1))
        parts = (pattern[: counted.start()] + number + pattern[counted.end() :] for number in numbers)
        return [path for part in parts for path in expand(part, root)]
    if re.search(r"[*?\[]", pattern):
        whole = Path(root, pattern)
        found = sorted(Path(whole.anchor).glob(str(whole.relative_to(whole.anchor))))
    else:
        found = [path for path in [Path(root, pattern)] if path.is_file()]
    if not found:
        raise UsageError(f"{Path(root, pattern)}: no such shard", "name local tar files, e.g. 'train-{000..012}.tar'")
    return found


def index(path: Path, log: Log = lambda line: None) -> dict[str, dict[str, Location]]:
    """Return {key: {"noisy": Location, "clean": Location}} of one shard.

    Other members are ignored. Of two members for one side of a pair the first is taken, and the other named in `log`. Raises
    UsageError.
    """
    samples: dict[str, dict[str, Location]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                found = _MEMBER.match(name.name)
                if member.isreg() and found:
                    location = Location(str(path), member.offset_data, member.size, member.name)
                    sides = samples.setdefault(str(name.parent / found[1]), {})
                    first = sides.setdefault(found[2].lower(), location)
                    if first is not location:
                        log(f"left out: {location}: {first.member} has the same name")
    except (tarfile.TarError, OSError) as error:
        raise UsageError(f"{path}: not a plain tar file ({error})", "unpack .tar.gz to .tar first") from error
    if not samples:
        raise UsageError(f"{path}: no pairs in it", "name the members KEY.noisy.EXT and KEY.clean.EXT")
    return samples
