"""Name, list, fetch and put files in object storage (s3://, gs://), by fsspec.

An uploaded file appears completely or not at all, which a PUT request guarantees. file:// is another way to write a path.
"""

import contextlib
import glob
import logging
import os
import posixpath
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from enhance_cli.errors import AudioError, EnhanceError, UsageError, one_line

PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}  # scheme -> package that fsspec needs for it
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
ASK = "check the name, the network and the credentials"


@dataclass(frozen=True, order=True)
class StoredFile:
    """Name an object or a folder of objects, with the part of pathlib's interface that planning needs."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __fspath__(self) -> str:
        return self.url

    def __truediv__(self, below: PurePath | str) -> "StoredFile":
        below = PurePath(below).as_posix()
        return self if below == "." else StoredFile(f"{self.url.rstrip('/')}/{below}")

    @property
    def name(self) -> str:
        return posixpath.basename(self.url)

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "StoredFile":
        return StoredFile(posixpath.dirname(self.url))

    def with_suffix(self, suffix: str) -> "StoredFile":
        return self.with_name(PurePosixPath(self.name).stem + suffix)

    def with_name(self, name: str) -> "StoredFile":
        return self.parent / name


def is_url(text: str) -> bool:
    return URL.match(text) is not None


def locate(text: str) -> Path | StoredFile:
    """Return the path or stored file for a word on the command line. Raises UsageError for an unknown storage."""
    match = URL.match(text)
    if match is None:
        return Path(text)
    scheme = match[1].lower()
    if scheme == "file":
        from urllib.request import url2pathname  # imports the whole of HTTP

        address = urllib.parse.urlsplit(text)
        if address.netloc not in ("", "localhost") or not address.path:
            raise UsageError(
                f"{text}: this address names no file of this machine", "write file:///FOLDER/FILE, or a path"
            )
        return Path(url2pathname(address.path))
    if scheme not in PACKAGES:
        known = ", ".join(f"{name}://" for name in ("file", *PACKAGES))
        raise UsageError(f"{text}: this kind of address is not known", f"use {known} or a path")
    return StoredFile(text.rstrip("/"))


def files_below(folder: StoredFile, recursive: bool) -> list[tuple[StoredFile, PurePosixPath]]:
    """Return files with their paths below `folder`, sorted, without hidden ones, or `folder` itself if it is a file.

    Raises UsageError if the storage cannot be asked.
    """
    with _asking(folder):
        found = _system(folder).find(folder.url, **({} if recursive else {"maxdepth": 1}))
    return _placed(folder, found, _key(folder))


def files_like(pattern: StoredFile) -> list[tuple[StoredFile, PurePosixPath]]:
    """Return the files for a glob as `files_below` does, with paths below the folder before the first wildcard."""
    parts = _key(pattern).split("/")
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    with _asking(pattern):
        found = [
            key for key, about in _system(pattern).glob(pattern.url, detail=True).items() if about["type"] == "file"
        ]
    return _placed(pattern, found, "/".join(parts[:fixed]))


class Listings:
    """Tell which files exist. Every folder in object storage is listed only once."""

    def __init__(self) -> None:
        self._names: dict[StoredFile, frozenset[str]] = {}

    def has(self, file: Path | StoredFile) -> bool:
        """Return whether the file exists. Raises UsageError if the storage does not answer, or has no such bucket."""
        if not isinstance(file, StoredFile):
            return os.path.exists(file)
        folder = file.parent
        if folder not in self._names:
            self._names[folder] = self._listed(folder)
        return file.name in self._names[folder]

    def _listed(self, folder: StoredFile) -> frozenset[str]:
        system, bucket = _system(folder), _key(folder).split("/")[0]
        with _asking(folder):
            try:
                return frozenset(posixpath.basename(key) for key in system.ls(folder.url, detail=False))
            except FileNotFoundError:
                if system.exists(bucket):
                    return frozenset()
        raise UsageError(f"{folder}: there is no bucket {bucket}", "check the name, or make it first")


def fetch(file: StoredFile, path: Path) -> None:
    """Bring a stored file to `path`. Raises AudioError."""
    with _moving(file, "fetched"):
        _system(file).get_file(file.url, str(path))


def put(path: Path, file: StoredFile) -> None:
    """Send the file at `path` to storage. Raises AudioError."""
    with _moving(file, "written"):
        _system(file).put_file(str(path), file.url)


def _placed(folder: StoredFile, keys: list[str], root: str) -> list[tuple[StoredFile, PurePosixPath]]:
    files, scheme = [], _scheme(folder)
    for key in sorted(keys):
        below = PurePosixPath(posixpath.relpath(key, root) if key != root else posixpath.basename(key))
        if not any(part.startswith(".") for part in below.parts):
            files.append((StoredFile(scheme + key), below))
    return files


def _key(file: StoredFile) -> str:
    """Return bucket/path."""
    return file.url.removeprefix(_scheme(file))


def _scheme(file: StoredFile) -> str:
    """Return the start of an address, such as s3://."""
    return file.url[: file.url.index("://") + 3]


def _system(file: StoredFile) -> Any:
    return _open_system(_scheme(file).removesuffix("://").lower())


@lru_cache
def _open_system(scheme: str) -> Any:
    for name in ("gcsfs", "google.auth"):  # their warnings are harmless, or are raised as errors as well
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        import fsspec

        return fsspec.filesystem(scheme, use_listings_cache=False)  # others may write while we run
    except ImportError as error:
        package = PACKAGES[scheme]
        raise UsageError(f"{scheme}://: the package {package} is missing", f"pip install {package}") from error


@contextlib.contextmanager
def _asking(file: StoredFile) -> Iterator[None]:
    try:
        yield
    except EnhanceError:
        raise
    except FileNotFoundError as error:
        raise UsageError(f"{file}: nothing is there", ASK) from error
    except Exception as error:  # noqa: BLE001 - every storage has exceptions of its own
        raise UsageError(
            f"{file}: this storage cannot be reached ({type(error).__name__}: {one_line(error)[:200]})", ASK
        ) from error


@contextlib.contextmanager
def _moving(file: StoredFile, done: str) -> Iterator[None]:
    try:
        yield
    except EnhanceError:
        raise
    except FileNotFoundError as error:
        reason = "there is no such file" if done == "fetched" else "there is no such bucket"
        raise AudioError(f"{file}: {reason}", "check the name") from error
    except Exception as error:  # noqa: BLE001 - as above
        raise AudioError(
            f"{file}: this cannot be {done} ({type(error).__name__}: {one_line(error)[:200]})", ASK
        ) from error
