"""Kaldi archives: .ark, text or binary, and .scp lists that say where in archives each embedding lies.

Vectors (D,) and matrices (1, D) are read; kaldiio decodes all but the plainest. Entries that would run something (a pickle,
a command with |) are refused. A written .scp has one .ark beside it.
"""

import mmap
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from kaldiio.matio import read_matrix_or_vector

from enhance_cli.errors import VectorError
from enhance_cli.vectors.table import Vectors

BINARY = b"\0B"
PLAIN = {b"\0BFV \4": np.dtype("<f4"), b"\0BDV \4": np.dtype("<f8")}  # what a vector begins with; its length follows
HEAD = 10  # bytes, with the length
LONGEST_ID = 4096
BUFFER = 1 << 20  # bytes, for archives
REMEDY = "write it with Kaldi's copy-vector"
Entry = tuple[str, np.ndarray]


def read_ark(path: Path) -> Vectors:
    data = _open(path)
    if plain := _plain_archive(data):
        return plain
    pairs, place, binary = [], 0, True
    while (place := _after_blanks(data, place)) < len(data):
        end = data.find(b" ", place)
        if end < 0:
            raise VectorError(f"{path}: what follows embedding {len(pairs)} is not an embedding", REMEDY)
        name = bytes(data[place:end]).decode()
        value, is_binary, place = _entry(data, end + 1, path, name)
        binary = binary and is_binary
        pairs.append((name, value))
    return _vectors(pairs, binary, path)


def read_scp(path: Path) -> Vectors:
    archives: dict[str, mmap.mmap] = {}
    places = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not (line := line.strip()):
            continue
        name, *place = line.split(maxsplit=1)  # at blanks of any kind, as Kaldi does
        archive, offset = _split_offset(place[0] if place else "")
        if archive not in archives:
            if not archive or "|" in archive or archive.endswith("]"):
                hint = "write archives first, and a list with lines such as: id file.ark:17"
                raise VectorError(f"{path}: line {number} names no place in an archive", hint)
            archives[archive] = _open(_find(archive, path))
        places.append((name, archives[archive], offset))
    vectors = _plain_list(places)
    if vectors is None:
        entries = [(name, *_entry(data, offset, path, name)[:2]) for name, data, offset in places]
        binary = all(is_binary for _, _, is_binary in entries)
        vectors = _vectors([(name, value) for name, value, _ in entries], binary, path)
    vectors.layout["archives"] = [_find(archive, path) for archive in archives]
    return vectors


def _plain_archive(data: mmap.mmap) -> Vectors | None:
    """The embeddings, if all are binary vectors of one length and type, as almost always; None if anything else is there."""
    first = data.find(b" ") + 1
    head = data[first : first + HEAD]
    kind, length = _plain_kind(head)
    if not length:
        return None
    names, values, place, size = [], [], 0, len(data)
    while place < size:
        end = data.find(b" ", place, place + LONGEST_ID)
        start = end + 1 + HEAD
        if end < 0 or data[end + 1 : start] != head or start + length > size:
            return None
        names.append(data[place:end])
        place = start + length
        values.append(data[start:place])
    names = b" ".join(names).decode().split(" ")
    if any(name != name.strip() for name in names):
        return None
    rows = np.frombuffer(b"".join(values), kind).reshape(len(names), -1)
    return Vectors(names, rows, layout={"binary": True, "ndim": 1})


def _plain_list(places: list[tuple[str, mmap.mmap, int]]) -> Vectors | None:
    """The same for embeddings anywhere in archives: (name, archive, offset) each."""
    head = places[0][1][places[0][2] : places[0][2] + HEAD] if places else b""
    kind, length = _plain_kind(head)
    if not length or any(data[place : place + HEAD] != head for _, data, place in places):
        return None
    values = b"".join([data[place + HEAD : place + HEAD + length] for _, data, place in places])
    if len(values) < len(places) * length:
        return None
    rows = np.frombuffer(values, kind).reshape(len(places), -1)
    return Vectors([name for name, _, _ in places], rows, layout={"binary": True, "ndim": 1})


def _plain_kind(head: bytes) -> tuple[np.dtype | None, int]:
    """Type of the numbers of a vector with this head, and its length in bytes; 0 if it is nothing plain."""
    kind = PLAIN.get(head[:6])
    return kind, int.from_bytes(head[6:], "little") * kind.itemsize if kind else 0


def write_ark(path: Path, vectors: Vectors) -> None:
    _write(path, vectors)


def write_scp(path: Path, ark: Path, vectors: Vectors, ark_name: Path) -> None:
    """The list at `path` and the archive at `ark`, which will be called `ark_name`."""
    if any(ark_name.exists() and ark_name.samefile(read) for read in (vectors.layout or {}).get("archives", [])):
        raise VectorError(f"{ark_name}: would overwrite an archive that was read", "choose another folder or name")
    places = _write(ark, vectors)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{name} {ark_name}:{place}\n" for name, place in zip(vectors.ids, places, strict=True))


def _write(path: Path, vectors: Vectors) -> list[int]:
    """Where in the archive each value begins."""
    if " ".join(vectors.ids).split() != vectors.ids:
        spaced = next(name for name in vectors.ids if name.split() != [name])
        raise VectorError(f"the id {spaced!r} cannot stand in a Kaldi file", "write .npz or .parquet instead")
    layout = vectors.layout or {"binary": True, "ndim": 1}
    rows = vectors.rows.astype(np.float32) if vectors.rows.dtype == np.float16 else vectors.rows
    values = _binary_values(rows, layout["ndim"]) if layout["binary"] else _text_values(rows, layout["ndim"])
    blank = b" " if layout["binary"] else b"  "
    places, end = [], 0
    with path.open("wb", buffering=BUFFER) as file:
        for name, value in zip(vectors.ids, values, strict=True):
            start = name.encode() + blank
            places.append(end + len(start))
            end += file.write(start + value)
    return places


def _binary_values(rows: np.ndarray, ndim: int) -> Iterator[bytes]:
    number = lambda n: b"\4" + n.to_bytes(4, "little")
    kind = b"F" if rows.dtype == np.float32 else b"D"
    head = BINARY + kind + (b"M " + number(1) if ndim == 2 else b"V ") + number(rows.shape[1])
    return (head + row.tobytes() for row in rows.astype(rows.dtype.newbyteorder("<"), copy=False))


def _text_values(rows: np.ndarray, ndim: int) -> Iterator[bytes]:
    digits, start = ".9g" if rows.dtype == np.float32 else ".17g", "[\n  " if ndim == 2 else "[ "
    return (f"{start}{' '.join([format(x, digits) for x in row])} ]\n".encode() for row in rows.tolist())


def _open(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _after_blanks(data: mmap.mmap, place: int) -> int:
    while data[place : place + 1].isspace():
        place += 1
    return place


def _entry(data: mmap.mmap, place: int, path: Path, name: str) -> tuple[np.ndarray, bool, int]:
    """The value that begins at `place`, whether it is binary, and where it ends."""
    if kind := PLAIN.get(data[place : place + 6]):
        size = int.from_bytes(data[place + 6 : place + 10], "little")
        return np.frombuffer(data, kind, size, place + 10), True, place + 10 + size * kind.itemsize
    if data[place : place + 2] == BINARY:
        file = BytesIO(data[place:])
        return np.asarray(read_matrix_or_vector(file)), True, place + file.tell()
    place = _after_blanks(data, place)
    end = data.find(b"]", place)
    if data[place : place + 1] != b"[" or end < 0:
        raise VectorError(f"{path}: {name} is neither a vector nor a matrix", REMEDY)
    return _numbers(data[place + 1 : end].decode("ascii")), False, end + 1


def _numbers(text: str) -> np.ndarray:
    """A vector, or a matrix if the numbers begin on a line of their own. Kaldi's own precision is float32."""
    values = np.array(text.split(), dtype=np.float32)
    if not text.lstrip(" ").startswith("\n"):
        return values
    return values.reshape(len([line for line in text.split("\n") if line.strip()]), -1)


def _vectors(pairs: list[Entry], binary: bool, path: Path) -> Vectors:
    for name, value in pairs:
        if value.ndim == 2 and len(value) != 1:
            said = f"a matrix of {value.shape[0]} x {value.shape[1]}"
            raise VectorError(
                f"{path}: {name} is {said}, not an embedding", "extract embeddings from these features first"
            )
        if value.size != pairs[0][1].size:
            message = f"{path}: {name} has {value.size} numbers, {pairs[0][0]} {pairs[0][1].size}"
            raise VectorError(message, "store one kind in a file")
    rows = np.concatenate([v for _, v in pairs], axis=None).reshape(len(pairs), -1) if pairs else np.empty((0, 0), "f4")
    ndim = pairs[0][1].ndim if pairs else 1
    return Vectors([name for name, _ in pairs], rows, layout={"binary": binary, "ndim": ndim})


def _split_offset(place: str) -> tuple[str, int]:
    archive, colon, offset = place.rpartition(":")
    return (archive, int(offset)) if colon and offset.isdigit() else (place, 0)


def _find(archive: str, path: Path) -> Path:
    """As Kaldi does, from the current folder; if there is none, from that of the list."""
    here = Path(archive)
    beside = path.parent / archive
    return beside if not here.exists() and beside.exists() else here
