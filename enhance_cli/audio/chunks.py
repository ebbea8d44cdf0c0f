"""Walks the chunks of WAV (RIFF), RF64/BW64, W64, AIFF and CAF files, whose layouts differ only in detail.

It serves two needs that libsndfile leaves open: what the header *promises* (libsndfile quietly reads a
truncated file to where it breaks off), and which chunks besides the audio there are (Broadcast-WAV, cues,
tags) so that they can be copied.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from enhance_cli.audio.bounded import BoundedFile

# Lengths that programs write into a WAV header when they stream to a pipe and cannot come back to fill it in.
_STREAMED = (0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x7FFFF000)
_HEADER_SLACK = 64  # bytes: some programs count the header into a length


@dataclass(frozen=True)
class Chunk:
    """One chunk: four-letter name, offset of its payload and the payload's promised size in bytes."""

    name: bytes
    start: int
    size: int


@dataclass(frozen=True)
class Form:
    """All chunks of a file. `kind` is RIFF, RF64, W64, AIFF or CAF; `order` is the struct prefix for its byte
    order.
    """

    kind: str
    order: str
    chunks: tuple[Chunk, ...]

    def find(self, name: bytes) -> Chunk | None:
        return next((chunk for chunk in self.chunks if chunk.name == name), None)


@dataclass(frozen=True)
class Promise:
    """What a header says: rate (Hz), channels, bytes per sample of all channels (0 = varies), and the audio's
    size in bytes as promised and as the file holds it."""

    rate: float
    channels: int
    frame_bytes: int
    promised: int
    held: int

    @property
    def truncated(self) -> bool:
        return self.promised > self.held + _HEADER_SLACK


def walk(file: BinaryIO) -> Form | None:
    """The chunks of an open file, or None if it is not of this family. Stops at the first thing that is no
    chunk.
    """
    end = file.seek(0, 2)
    file.seek(0)
    start = file.read(40)
    if start[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and start[8:12] == b"WAVE":
        order = ">" if start[:4] == b"RIFX" else "<"
        return _walk(file, end, "RIFF" if start[:3] == b"RIF" else "RF64", order, first=12)
    if start[:4] == b"FORM" and start[8:12] in (b"AIFF", b"AIFC"):
        return _walk(file, end, "AIFF", ">", first=12)
    if start[:4] == b"riff" and start[24:28] == b"wave":
        return _walk(file, end, "W64", "<", first=40)
    if start[:4] == b"caff":
        return _walk(file, end, "CAF", ">", first=8)
    return None


def _walk(file: BinaryIO, end: int, kind: str, order: str, first: int) -> Form:
    head, align = {"W64": ("<16sQ", 8), "CAF": (">4sq", 1)}.get(kind, (order + "4sI", 2))
    length = struct.calcsize(head)
    chunks: list[Chunk] = []
    large: dict[bytes, int] = {}  # RF64: the 64-bit sizes of chunks whose own field says 0xFFFFFFFF
    position = first
    while position + length <= end:
        file.seek(position)
        name, size = struct.unpack(head, file.read(length))
        name, start = name[:4], position + length
        if not all(32 <= letter < 127 for letter in name):
            break
        if kind == "W64":
            size -= length
        elif kind == "RF64" and size == 0xFFFFFFFF:
            size = large.get(name, size)
        if name == b"data" and (size == -1 or kind == "RIFF" and _streamed(size)):
            size = end - start
        if size < 0:
            break
        chunks.append(Chunk(name, start, size))
        if name == b"ds64":
            large = _large_sizes(file.read(min(size, 1 << 16)))
        position = start + size
        position += -position % align
    return Form(kind, order, tuple(chunks))


def _streamed(size: int) -> bool:
    return any(0 <= marker - size <= _HEADER_SLACK for marker in _STREAMED)


def _large_sizes(ds64: bytes) -> dict[bytes, int]:
    if len(ds64) < 28:
        return {}
    _, data, _, count = struct.unpack_from("<QQQI", ds64)
    count = min(count, (len(ds64) - 28) // 12)
    return {b"data": data} | dict(struct.unpack_from("<4sQ", ds64, 28 + 12 * i) for i in range(count))


def read_payload(file: BinaryIO, chunk: Chunk, skip: int = 0) -> bytes:
    """A chunk's payload from byte `skip` on, as much of it as the file holds and BoundedFile gives."""
    bounded = BoundedFile(file)
    bounded.seek(chunk.start + skip)
    return bounded.read(max(chunk.size - skip, 0))


def promise(file: BinaryIO) -> Promise | None:
    """What the header promises, or None for other families and headers without a format or data chunk."""
    form = walk(file)
    if form is None:
        return None
    described = form.find({"AIFF": b"COMM", "CAF": b"desc"}.get(form.kind, b"fmt "))
    data = form.find(b"SSND" if form.kind == "AIFF" else b"data")
    if described is None or data is None:
        return None
    file.seek(described.start)
    raw = file.read(min(described.size, 64))
    try:
        rate, channels, frame_bytes = _DESCRIBED.get(form.kind, _wave_format)(raw, form.order)
    except struct.error:
        return None
    overhead = {"AIFF": 8, "CAF": 4}.get(form.kind, 0)  # fields in front of the samples
    held = min(data.size, file.seek(0, 2) - data.start)
    return Promise(rate, channels, frame_bytes, data.size - overhead, max(held - overhead, 0))


def _wave_format(raw: bytes, order: str) -> tuple[float, int, int]:
    tag, channels, rate, _, block, _ = struct.unpack_from(order + "HHIIHH", raw)
    fixed = tag in (
        1,
        3,
        6,
        7,
        0xFFFE,
    )  # PCM, float, A-law, mu-law, extensible; others pack many samples in a block
    return rate, channels, block if fixed else 0


def _aiff_format(raw: bytes, order: str) -> tuple[float, int, int]:
    channels, _, bits, exponent, mantissa = struct.unpack_from(">hIhHQ", raw)
    rate = mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63) if exponent & 0x7FFF < 16383 + 64 else float("inf")
    fixed = len(raw) < 22 or raw[18:22] in (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64")
    return rate, channels, channels * ((bits + 7) // 8) if fixed else 0


def _caf_format(raw: bytes, order: str) -> tuple[float, int, int]:
    rate, _, _, packet, frames, channels, _ = struct.unpack_from(">d4sIIIII", raw)
    return rate, channels, packet if frames == 1 else 0


_DESCRIBED = {"AIFF": _aiff_format, "CAF": _caf_format}
