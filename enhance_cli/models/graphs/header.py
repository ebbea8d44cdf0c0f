"""Read the header of an .onnx file without loading its graph: metadata and operator sets, by the fields of its protobuf.

A ModelProto has the graph in field 7, the operator sets {1: domain, 2: version} in field 8 and the metadata {1: key, 2:
value} in field 14 (onnx/onnx.proto).
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from enhance_cli.errors import ModelError

GRAPH, OPERATOR_SET, METADATA = 7, 8, 14
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
DOMAINS = ("", "ai.onnx")  # of standard operators
LONGEST = 1 << 24  # bytes of a header's entry


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
