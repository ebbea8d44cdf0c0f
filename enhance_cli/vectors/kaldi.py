"""Read and write Kaldi archives: .ark, text or binary, and .scp lists with the position of each embedding in archives.

Vectors (D,) and matrices (1, D) are read. kaldiio decodes all but the plainest. Entries that would run something (a
pickle, a command with |) are refused. A written .scp has one .ark beside it.
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
# The first bytes of a vector, which its length follows
PLAIN: dict[bytes, np.dtype] = {b"\0BFV \4": np.dtype("<f4"), b"\0BDV \4": np.dtype("<f8")}
HEAD = 10  # bytes, with the length
LONGEST_ID = 4096
BUFFER = 1 << 20  # bytes, for archives
REMEDY = "write it with Kaldi's copy-vector"
Entry = tuple[str, np.ndarray]


def read_ark(path: Path) -> Vectors:
    """Return the embeddings of an archive. Raises VectorError."""
    data = _open(path)
    if plain := _plain_archive(data):
        return plain
    pairs: list[Entry] = []
    position, binary = 0, True
    while (position := _after_blanks(data, position)) < len(data):
        end = data.find(b" ", position)
        if end < 0:
            raise VectorError(f"{path}: the data behind embedding {len(pairs)} is not an embedding", REMEDY)
        name = bytes(data[position:end]).decode()
        value, is_binary, position = _entry(data, end + 1, path, name)
        binary = binary and is_binary
        pairs.append((name, value))
    return _vectors(pairs, binary, path)


def read_scp(path: Path) -> Vectors:
    """Return the embeddings that a list refers to. Raises VectorError."""
    archives: dict[str, mmap.mmap] = {}
    positions = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not (line := line.strip()):
            continue
        name, *position = line.split(maxsplit=1)  # at blanks of any kind, as Kaldi does
        archive, offset = _split_offset(position[0] if position else "")
        if archive not in archives:
            if not archive or "|" in archive or archive.endswith("]"):
                hint = "write archives first, and a list with lines such as: id file.ark:17"
                raise VectorError(f"{path}: line {number} names no position in an archive", hint)
            archives[archive] = _open(_find(archive, path))
        positions.append((name, archives[archive], offset))
    vectors = _plain_list(positions)
    if vectors is None:
        entries = [(name, *_entry(data, offset, path, name)[:2]) for name, data, offset in positions]
        binary = all(is_binary for _, _, is_binary in entries)
        vectors = _vectors([(name, value) for name, value, _ in entries], binary, path)
    vectors.layout["archives"] = [_find(archive, path) for archive in archives]
    return vectors


def _plain_archive(data: mmap.mmap) -> Vectors | None:
    """Return the embeddings if all are binary vectors of one length and type, as almost always, or else None."""
    first = data.find(b" ") + 1
    head = data[first : first + HEAD]
    dtype, length = _plain_dtype(head)
    if not length:
        return None
    found, values, position, size = [], [], 0, len(data)
    while position < size:
        end = data.find(b" ", position, position + LONGEST_ID)
        start = end + 1 + HEAD
        if end < 0 or data[end + 1 : start] != head or start + length > size:
            return None
        found.append(data[position:end])
        position = start + length
        values.append(data[start:position])
    names = b" ".join(found).decode().split(" ")
    if any(name != name.strip() for name in names):
        return None
    rows = np.frombuffer(b"".join(values), dtype).reshape(len(names), -1)
    return Vectors(names, rows, layout={"binary": True, "ndim": 1})


def _plain_list(positions: list[tuple[str, mmap.mmap, int]]) -> Vectors | None:
    """Return the same for embeddings anywhere in archives, given as (name, archive, offset)."""
    head = positions[0][1][positions[0][2] : positions[0][2] + HEAD] if positions else b""
    dtype, length = _plain_dtype(head)
    if not length or any(data[position : position + HEAD] != head for _, data, position in positions):
        return None
    values = b"".join([data[position + HEAD : position + HEAD + length] for _, data, position in positions])
    if len(values) < len(positions) * length:
        return None
    rows = np.frombuffer(values, dtype).reshape(len(positions), -1)
    return Vectors([name for name, _, _ in positions], rows, layout={"binary": True, "ndim": 1})


def _plain_dtype(head: bytes) -> tuple[np.dtype | None, int]:
    """Return the type of the numbers of a vector with this head and its length in bytes, (None, 0) for another head."""
    dtype = PLAIN.get(head[:6])
    return dtype, int.from_bytes(head[6:], "little") * dtype.itemsize if dtype else 0


def write_ark(path: Path, vectors: Vectors) -> None:
    """Write `vectors` as an archive."""
    _write(path, vectors)


def write_scp(path: Path, ark: Path, vectors: Vectors, ark_name: Path) -> None:
    """Write the list at `path` and the archive at `ark`, which will be called `ark_name`."""
    if any(ark_name.exists() and ark_name.samefile(read) for read in (vectors.layout or {}).get("archives", [])):
        raise VectorError(f"{ark_name}: would overwrite an archive that was read", "choose another folder or name")
    positions = _write(ark, vectors)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(
            f"{name} {ark_name}:{position}\n" for name, position in zip(vectors.ids, positions, strict=True)
        )


def _write(path: Path, vectors: Vectors) -> list[int]:
    """Write an archive and return the position of each value."""
    if " ".join(vectors.ids).split() != vectors.ids:
        spaced = next(name for name in vectors.ids if name.split() != [name])
        raise VectorError(f"the id {spaced!r} cannot be used in a Kaldi file", "write .npz or .parquet instead")
    layout = vectors.layout or {"binary": True, "ndim": 1}
    rows = vectors.rows.astype(np.float32) if vectors.rows.dtype == np.float16 else vectors.rows
    values = _binary_values(rows, layout["ndim"]) if layout["binary"] else _text_values(rows, layout["ndim"])
    blank = b" " if layout["binary"] else b"  "
    positions, end = [], 0
    with path.open("wb", buffering=BUFFER) as file:
        for name, value in zip(vectors.ids, values, strict=True):
            start = name.encode() + blank
            positions.append(end + len(start))
            end += file.write(start + value)
    return positions


def _binary_values(rows: np.ndarray, ndim: int) -> Iterator[bytes]:
    number = lambda n: b"\4" + n.to_bytes(4, "little")
    dtype = b"F" if rows.dtype == np.float32 else b"D"
    head = BINARY + dtype + (b"M " + number(1) if ndim == 2 else b"V ") + number(rows.shape[1])
    return (head + row.tobytes() for row in rows.astype(rows.dtype.newbyteorder("<"), copy=False))


def _text_values(rows: np.ndarray, ndim: int) -> Iterator[bytes]:
    digits, start = ".9g" if rows.dtype == np.float32 else ".17g", "[\n  " if ndim == 2 else "[ "
    return (f"{start}{' '.join([format(x, digits) for x in row])} ]\n".encode() for row in rows.tolist())


def _open(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _after_blanks(data: mmap.mmap, position: int) -> int:
    while data[position : position + 1].isspace():
        position += 1
    return position


def _entry(data: mmap.mmap, start: int, path: Path, name: str) -> tuple[np.ndarray, bool, int]:
    """Return the value that begins at `start`, whether it is binary, and its end."""
    if dtype := PLAIN.get(data[start : start + 6]):
        size = int.from_bytes(data[start + 6 : start + 10], "little")
        return np.frombuffer(data, dtype, size, start + 10), True, start + 10 + size * dtype.itemsize
    if data[start : start + 2] == BINARY:
        file = BytesIO(data[start:])
        return np.asarray(read_matrix_or_vector(file)), True, start + file.tell()
    start = _after_blanks(data, start)
    end = data.find(b"]", start)
    if data[start : start + 1] != b"[" or end < 0:
        raise VectorError(f"{path}: {name} is neither a vector nor a matrix", REMEDY)
    return _numbers(data[start + 1 : end].decode("ascii")), False, end + 1


def _numbers(text: str) -> np.ndarray:
    """Return a vector, or a matrix if the numbers begin on a line of their own. Kaldi's own precision is float32."""
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


def _split_offset(position: str) -> tuple[str, int]:
    archive, colon, offset = position.rpartition(":")
    return (archive, int(offset)) if colon and offset.isdigit() else (position, 0)


def _find(archive: str, path: Path) -> Path:
    """Return the path of an archive: in the current folder as in Kaldi, or else in that of the list."""
    here = Path(archive)
    beside = path.parent / archive
    return beside if not here.exists() and beside.exists() else here
