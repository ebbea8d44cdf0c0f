"""Write the display size of pictures into a finished Matroska or WebM file, since PyAV cannot pass it to FFmpeg's muxer.

FFmpeg writes DisplayUnit 4 (unknown) instead. The element with the tracks must keep its length. FFmpeg writes lengths with
eight bytes, so shorter lengths make room for DisplayWidth and DisplayHeight. The remaining bytes become a Void element.
Source: RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

_SEGMENT, _TRACKS, _CLUSTER, _ENTRY, _NUMBER, _VIDEO = 0x18538067, 0x1654AE6B, 0x1F43B675, 0xAE, 0xD7, 0xE0
_WIDTH, _HEIGHT, _SHOWN_WIDTH, _SHOWN_HEIGHT, _UNIT, _STEREO = 0xB0, 0xBA, 0x54B0, 0x54BA, 0x54B2, 0x53B8
_CRC, _VOID = 0xBF, 0xEC
_RATIO = 3  # unit of a width and a height that are only a ratio
_LARGEST = 1 << 20  # bytes: a larger element with the tracks was not written by this program

Element = tuple[int, bytes]


def set_shapes(path: str | Path, shapes: Mapping[int, Fraction], *, ratios: bool) -> None:
    """Set the display size of the pictures in the file at `path`.

    `shapes`: width of a pixel divided by its height, by track number from 1. `ratios`: a width that is not a whole number of
    pixels may be written as a ratio (not allowed in WebM). Stereoscopic pictures and files without room are not changed.
    """
    if not shapes:
        return
    with open(path, "r+b") as file:
        found = _tracks(file)
        if found is None:
            return
        at, data = found
        changed = [_shaped(element, shapes, ratios) for element in _elements(data) if element[0] not in (_CRC, _VOID)]
        has_crc = data[:1] == bytes([_CRC])
        written = _filled(changed, len(data) - 6 * has_crc)
        if written is None:
            return
        if has_crc:
            written = _bytes(_CRC, zlib.crc32(written).to_bytes(4, "little")) + written
        file.seek(at)
        file.write(written)


def _tracks(file: BinaryIO) -> tuple[int, bytes] | None:
    """Return the position and the content of the element of all tracks, None if there is none before the sound."""
    while True:
        name, size = _head(file)
        if name == _TRACKS and 0 < size < _LARGEST:
            return file.tell(), file.read(size)
        if name in (0, _CLUSTER):
            return None
        if name != _SEGMENT:
            file.seek(size, 1)


def _head(file: BinaryIO) -> tuple[int, int]:
    """Return the name and size of the element that begins here, the name 0 at the end."""
    name, length = _number(file.read(1), file, marked=True)
    return (name, _number(file.read(1), file, marked=False)[0]) if length else (0, 0)


def _number(first: bytes, file: BinaryIO, *, marked: bool) -> tuple[int, int]:
    """Return a number of variable length and that length, 0 at the end. `marked`: keep the bit that tells the length."""
    if not first or not first[0]:
        return 0, 0
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big")
    return (value if marked else value & ~(1 << 7 * length)), length


def _elements(data: bytes) -> Iterator[Element]:
    file = io.BytesIO(data)
    while file.tell() < len(data):
        name, size = _head(file)
        if not name:
            return
        yield name, file.read(size)


def _bytes(name: int, content: bytes, more: int = 0) -> bytes:
    """Return an element as bytes. Its length field has `more` bytes than necessary."""
    length = more + next(n for n in range(1, 9) if len(content) < (1 << 7 * n) - 1)
    size = (len(content) | 1 << 7 * length).to_bytes(length, "big")
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + size + content


def _shaped(entry: Element, shapes: Mapping[int, Fraction], ratios: bool) -> Element:
    """Return the element of a track with the width and height at which it is shown."""
    inside = list(_elements(entry[1]))
    number = next((int.from_bytes(content, "big") for name, content in inside if name == _NUMBER), 0)
    if entry[0] != _ENTRY or number not in shapes:
        return entry
    kept = [(name, content) for name, content in inside if name != _VOID]
    return _ENTRY, b"".join(
        _bytes(name, _video(content, shapes[number], ratios) if name == _VIDEO else content) for name, content in kept
    )


def _video(content: bytes, shape: Fraction, ratios: bool) -> bytes:
    inside = dict(_elements(content))
    if _STEREO in inside:
        return content
    width, height = (int.from_bytes(inside[name], "big") for name in (_WIDTH, _HEIGHT))
    shown, ratio = width * shape, Fraction(width, height) * shape
    told = {_SHOWN_WIDTH: round(shown), _SHOWN_HEIGHT: height}
    if ratios and shown.denominator != 1:
        told = {_SHOWN_WIDTH: ratio.numerator, _SHOWN_HEIGHT: ratio.denominator, _UNIT: _RATIO}
    new = {name: value.to_bytes((value.bit_length() + 7) // 8, "big") for name, value in told.items()}
    others = [element for element in inside.items() if element[0] not in (_SHOWN_WIDTH, _SHOWN_HEIGHT, _UNIT)]
    return b"".join(_bytes(*element) for element in [*others, *new.items()])


def _filled(elements: list[Element], length: int) -> bytes | None:
    """Return the elements, padded to `length` bytes by a Void element, or None if they are longer."""
    data = b"".join(_bytes(*element) for element in elements)
    left = length - len(data)
    if left == 1:  # a Void element has two bytes at least
        return data[: -len(_bytes(*elements[-1]))] + _bytes(*elements[-1], more=1)
    if left < 0:
        return None
    size = 1 if left < 0x80 else 8
    return data + (_bytes(_VOID, bytes(left - 1 - size), more=size - 1) if left else b"")
