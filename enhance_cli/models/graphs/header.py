"""Read the header of an .onnx file without loading its graph: metadata and operator sets, by the fields of its protobuf.

A ModelProto has the graph in field 7, the operator sets {1: domain, 2: version} in field 8 and the metadata {1: key, 2:
value} in field 14 (onnx/onnx.proto).
"""

import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from enhance_cli.errors import ModelError

GRAPH, OPERATOR_SET, METADATA = 7, 8, 14
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
DOMAINS = ("", "ai.onnx")  # of standard operators
LONGEST = 1 << 24  # bytes of a header's entry
SUM_KEY = "enhance.sha256"  # of all bytes of the file but its own, as JSON
NO_SUM = f'"{"0" * 64}"'


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of an .onnx file.

    Raises ModelError if it is missing or no such file, or if it asks for operators that are not standard.
    """
    metadata, domains = {}, set()
    try:
        with open(path, "rb") as file:
            for number, value in _fields(file, path.stat().st_size):
                if number in (OPERATOR_SET, METADATA):
                    entry = dict(_fields(BytesIO(value), len(value)))
                    if number == METADATA:
                        metadata[entry[1].decode()] = entry[2].decode()
                    else:
                        domains.add(entry.get(1, b"").decode())
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file", "check the path") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})", "check its permissions") from error
    except (ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: not an ONNX file, or damaged", "export the model again") from error
    if foreign := domains.difference(DOMAINS):
        hint = "only files of `enhance models export` can be used"
        raise ModelError(f"{path}: needs operators of {', '.join(sorted(foreign))}, which are refused", hint)
    return metadata


def with_sum(data: bytes) -> bytes:
    """Return the bytes of an .onnx file whose metadata have NO_SUM under SUM_KEY, with their SHA-256 in its place."""
    start = _sum_place(data)
    return data[:start] + _sum(data, start) + data[start + len(NO_SUM) :]


def check_sum(data: bytes, path: Path) -> None:
    """Raise ModelError for an .onnx file whose bytes differ from the SHA-256 in its metadata, if it has one."""
    start = _sum_place(data)
    if start and data[start : start + len(NO_SUM)] != _sum(data, start):
        raise ModelError(f"{path}: damaged, or changed since it was exported", "export the model again")


def _sum_place(data: bytes) -> int:
    """Return where the value of SUM_KEY begins, 0 if there is none."""
    key = SUM_KEY.encode() + bytes([2 * 8 + BYTES, len(NO_SUM)])
    return data.rfind(key) + len(key) if key in data else 0


def _sum(data: bytes, start: int) -> bytes:
    found = hashlib.sha256(memoryview(data)[:start])
    found.update(memoryview(data)[start + len(NO_SUM) :])
    return f'"{found.hexdigest()}"'.encode()


def _fields(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of the fields of a message of `size` bytes. The graph is skipped.

    Raises ValueError for bytes that are no message.
    """
    while file.tell() < size:
        number, wire_type = divmod(_varint(file), 8)
        if wire_type == VARINT:
            _varint(file)
        elif wire_type in (FIXED32, FIXED64):
            file.seek(4 if wire_type == FIXED32 else 8, 1)
        elif wire_type == BYTES:
            length = _varint(file)
            if file.tell() + length > size or not number:
                raise ValueError("a field ends behind the file")
            if number == GRAPH or length > LONGEST:
                file.seek(length, 1)
            else:
                yield number, file.read(length)
        else:
            raise ValueError(f"wire type {wire_type}")


def _varint(file: BinaryIO) -> int:
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise ValueError("not a number")
        value |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return value
