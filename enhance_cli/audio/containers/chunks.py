"""Walk the chunks of WAV (RIFF), RF64/BW64, W64, AIFF and CAF files, whose layouts differ only in detail.

This provides two things that libsndfile does not: the length that the header promises (libsndfile reads a truncated file
without an error), and the chunks besides the audio (Broadcast WAV, cues, tags), so that they can be copied.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from enhance_cli.audio.containers.bounded import BoundedFile, Readable

# Lengths that programs write into a WAV header when they stream to a pipe and cannot come back to fill it in.
_STREAMED = (0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x7FFFFF00, 0x7FFFF000)
KNOWN = frozenset(  # chunks that commonly follow the audio
    b"LIST|INFO|bext|iXML|id3 |ID3 |cue |smpl|inst|fact|PEAK|JUNK|junk|PAD |FLLR|_PMX|axml|chna|cart|DISP|acid|levl|afsp|"
    b"minf|elm1|regn|umid|SNDM|plst|strc|bwav|ubxt|ResU|MARK|INST|COMT|NAME|AUTH|ANNO|(c) |CHAN|APPL|COMM|FVER|SAUR|enhB".split(
        b"|"
    )
)
_FIXED_SIZE = (1, 3, 6, 7, 0xFFFE)  # tags of PCM, float, A-law, mu-law, extensible. Others pack many samples in a block
_AIFF_PLAIN = (b"", b"NONE", b"sowt", b"twos")  # compression types of AIFF that are plain integers
_GUID_END = bytes.fromhex("00c04f8edb8a")  # of the identifier of every chunk of W64
_ENDLESS = 1 << 62  # a larger 64-bit length was never filled in
_SOX_PIPE = 0x7F000008  # length of the audio in an AIFF that SoX has written to a pipe
_LARGEST_BEHIND = 1 << 24  # bytes: a chunk after the audio up to this size is accepted even if its end is missing
_NEXT_FILE = (b"caff", b"riff")  # beginnings of CAF and W64: inside a file, they belong to another file joined to it
_HEADER_SLACK = 64  # bytes, since some programs include the header in a length


@dataclass(frozen=True)
class Chunk:
    """Describe one chunk: four-letter name, offset of its payload and the payload's promised size in bytes."""

    name: bytes
    start: int
    size: int


@dataclass(frozen=True)
class Form:
    """Hold all chunks of a file. `kind`: RIFF, RF64, W64, AIFF or CAF. `order`: struct prefix of its byte order.

    `end`: end of the last chunk according to its header. `streamed`: the length of the audio was never filled in.
    """

    kind: str
    order: str
    chunks: tuple[Chunk, ...]
    end: int = 0
    streamed: bool = False

    def find(self, name: bytes) -> Chunk | None:
        """Return the first chunk with this name."""
        return next((chunk for chunk in self.chunks if chunk.name == name), None)

    @property
    def description(self) -> Chunk | None:
        """Return the chunk that states rate, channels and sample type."""
        return self.find({"AIFF": b"COMM", "CAF": b"desc"}.get(self.kind, b"fmt "))

    @property
    def audio(self) -> Chunk | None:
        """Return the chunk with the samples."""
        return self.find(b"SSND" if self.kind == "AIFF" else b"data")

    @property
    def before_samples(self) -> int:
        """Return the number of bytes in the audio chunk that come before the samples."""
        return {"AIFF": 8, "CAF": 4}.get(self.kind, 0)


@dataclass(frozen=True)
class Promise:
    """Hold the facts that a header states: rate (Hz), channels, and bytes of a sample of all channels (0: it varies).

    `promised`: bytes of audio according to the header. `held`: bytes of audio that the file holds. `padded`: its
    integers take more bytes than their bits need, in a CAF.
    """

    rate: float
    channels: int
    frame_bytes: int
    promised: int
    held: int
    padded: bool = False

    @property
    def truncated(self) -> bool:
        return self.promised > self.held + _HEADER_SLACK


def walk(file: Readable) -> Form | None:
    """Return the chunks of an open file, or None if it is not of this family.

    Stops at the first bytes that are not a chunk.
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


def _walk(file: Readable, end: int, kind: str, order: str, first: int) -> Form:
    head, align = {"W64": ("<16sQ", 8), "CAF": (">4sq", 1)}.get(kind, (order + "4sI", 2))
    length = struct.calcsize(head)
    chunks: list[Chunk] = []
    streamed = False
    large: dict[bytes, int] = {}  # RF64: the 64-bit sizes of chunks whose own field says 0xFFFFFFFF
    position = first
    while position + length <= end:
        if kind in ("RIFF", "RF64", "AIFF") and chunks:
            file.seek(position - 1)
            if chunks[-1].size % 2 and file.read(4) in KNOWN:
                position -= 1  # after an odd chunk that its writer has not padded
            elif not _is_chunk(file, position, end, chunks, order):
                break
        file.seek(position)
        name, size = struct.unpack(head, file.read(length))
        no_w64_chunk = kind == "W64" and name[10:] != _GUID_END
        no_caf_chunk = kind == "CAF" and name != b"data" and position + length + size > end
        if no_w64_chunk or no_caf_chunk:
            break  # a tag of another kind after the last chunk
        name, start = name[:4], position + length
        if not all(32 <= letter < 127 for letter in name) or chunks and name in _NEXT_FILE:
            break
        if kind == "W64":
            size -= length
        elif kind == "RF64" and size == 0xFFFFFFFF:
            size = large.get(name, size)
        if name in (b"data", b"SSND") and _never_filled_in(kind, size):
            size, streamed = end - start, True
        if size < 0:
            break
        chunks.append(Chunk(name, start, size))
        if name == b"ds64":
            large = _large_sizes(file.read(min(size, 1 << 16)))
        position = start + size
        position += -position % align
    return Form(kind, order, tuple(chunks), min(position, end), streamed)


def _is_chunk(file: Readable, position: int, end: int, before: list[Chunk], order: str) -> bool:
    """Return whether a chunk begins at `position`.

    After the audio, a chunk must have a known name, or the chunks from there on must lead to a known one or to the end of
    the file. So samples that happen to look like letters are not accepted, nor is a second file joined to the first.
    """
    behind_audio = before[-1].name in (b"data", b"SSND")
    first = position
    while position + 8 <= end:
        file.seek(position)
        name, size = struct.unpack(order + "4sI", file.read(8))
        if not all(32 <= letter < 127 for letter in name) or name in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM"):
            return False
        if behind_audio and name in KNOWN and position + 8 + size > end + 1 and size > _LARGEST_BEHIND:
            return False
        if not behind_audio or name in KNOWN or end - first <= _HEADER_SLACK:
            return True
        position += 8 + size + size % 2
    return position > first and abs(position - end) <= 1


def _never_filled_in(kind: str, size: int) -> bool:
    """Return whether this length of the audio is a placeholder that its writer never filled in."""
    if kind == "AIFF":
        return size == _SOX_PIPE or is_streamed(size)
    if kind == "RIFF" or kind == "RF64" and size < 1 << 32:
        return is_streamed(size)
    return size == -1 or size >= _ENDLESS


def is_streamed(size: int) -> bool:
    """Return whether a 32-bit length is one of the placeholders that programs write to a pipe."""
    return any(0 <= marker - size <= _HEADER_SLACK for marker in _STREAMED)


def _large_sizes(ds64: bytes) -> dict[bytes, int]:
    if len(ds64) < 28:
        return {}
    _, data, _, count = struct.unpack_from("<QQQI", ds64)
    count = min(count, (len(ds64) - 28) // 12)
    return {b"data": data} | dict(struct.unpack_from("<4sQ", ds64, 28 + 12 * i) for i in range(count))


def read_payload(file: Readable, chunk: Chunk, skip: int = 0) -> bytes:
    """Return a chunk's payload from byte `skip` on, as much of it as the file holds and BoundedFile gives."""
    bounded = BoundedFile(file)
    bounded.seek(chunk.start + skip)
    return bounded.read(max(chunk.size - skip, 0))


def promise(file: Readable) -> Promise | None:
    """Return the promises of the header, or None for other families and headers without a format or data chunk."""
    form = walk(file)
    if form is None:
        return None
    described, data = form.description, form.audio
    if described is None or data is None:
        return None
    file.seek(described.start)
    raw = file.read(min(described.size, 64))
    try:
        rate, channels, frame_bytes = _DESCRIBED.get(form.kind, _wave_format)(raw, form.order)
    except struct.error:
        return None
    held = min(data.size, file.seek(0, 2) - data.start)
    before = form.before_samples
    bits = int.from_bytes(raw[28:32], "big") if form.kind == "CAF" and raw[8:12] == b"lpcm" else 64
    padded = frame_bytes > channels * ((bits + 7) // 8)
    return Promise(rate, channels, frame_bytes, data.size - before, max(held - before, 0), padded)


def _wave_format(raw: bytes, order: str) -> tuple[float, int, int]:
    tag, channels, rate, _, block, _ = struct.unpack_from(order + "HHIIHH", raw)
    return rate, channels, block if tag in _FIXED_SIZE else 0


def _aiff_format(raw: bytes, order: str) -> tuple[float, int, int]:
    channels, _, bits, exponent, mantissa = struct.unpack_from(">hIhHQ", raw)
    rate = mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63) if exponent & 0x7FFF < 16383 + 64 else float("inf")
    fixed = len(raw) < 22 or raw[18:22] in (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64")
    return rate, channels, channels * ((bits + 7) // 8) if fixed else 0


def _caf_format(raw: bytes, order: str) -> tuple[float, int, int]:
    rate, _, _, packet, frames, channels, _ = struct.unpack_from(">d4sIIIII", raw)
    return rate, channels, packet if frames == 1 else 0


def raw_format(file: Readable, form: Form) -> tuple[str, str] | None:
    """Return subtype and byte order (LITTLE, BIG) of uncompressed samples, or None for others."""
    described = form.description
    if described is None:
        return None
    file.seek(described.start)
    raw = file.read(min(described.size, 64))
    if form.kind == "AIFF":
        bits, kind = struct.unpack_from(">h", raw, 6)[0], raw[18:22]
        if kind.lower() in (b"fl32", b"fl64"):
            return ("FLOAT" if kind.lower() == b"fl32" else "DOUBLE"), "BIG"
        return _integers(bits, "PCM_S8", "LITTLE" if kind == b"sowt" else "BIG") if kind in _AIFF_PLAIN else None
    if form.kind == "CAF":
        kind = raw[8:12]
        flags, bits = struct.unpack_from(">I12xI", raw, 12)
        endian = "LITTLE" if flags & 2 else "BIG"
        if kind != b"lpcm":
            return {b"ulaw": ("ULAW", "BIG"), b"alaw": ("ALAW", "BIG")}.get(kind)
        return ({32: "FLOAT", 64: "DOUBLE"}.get(bits, ""), endian) if flags & 1 else _integers(bits, "PCM_S8", endian)
    tag, channels, block, bits = struct.unpack_from(form.order + "HH8xHH", raw)
    if 16 < bits <= 24 and block == 4 * channels:  # in 4 bytes
        bits = 32
    if tag == 0xFFFE and len(raw) >= 26:
        tag = struct.unpack_from(form.order + "H", raw, 24)[0]
    endian = "BIG" if form.order == ">" else "LITTLE"
    if tag == 1:
        return _integers(bits, "PCM_U8", endian)
    if tag == 3:
        return ("FLOAT" if bits == 32 else "DOUBLE"), endian
    return {6: ("ALAW", endian), 7: ("ULAW", endian)}.get(tag)


def _integers(bits: int, of_8: str, endian: str) -> tuple[str, str] | None:
    width = (bits + 7) // 8
    return {1: (of_8, endian), 2: ("PCM_16", endian), 3: ("PCM_24", endian), 4: ("PCM_32", endian)}.get(width)


_DESCRIBED = {"AIFF": _aiff_format, "CAF": _caf_format}
