"""Find the recordings in a file by its bytes and not by the lengths in its header.

Files joined end to end, chained Ogg streams, tags in front, and headers that count less than is there are seen here,
without decoding. A file that is as its header says is one section from its first byte to its last.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from enhance_cli.audio import flac_frames, mpeg, padding
from enhance_cli.audio.chunks import KNOWN, Form, promise, raw_format, walk

_WAVE_FAMILY = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"caff")
_BEGINNINGS = (*_WAVE_FAMILY, b"fLaC", b"OggS", b"ID3", b".snd", b"\x1aE\xdf\xa3", b"wvpk", b"TTA1")
_ENDINGS = (b"TAG", b"APETAGEX", b"3DI", b"LYRICSBEGIN")
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_AC3 = b"\x0bw"  # beginning of a frame of AC-3 and E-AC-3
_MATROSKA = re.compile(rb"\x1aE\xdf\xa3.{1,40}(?:webm|matroska)", re.DOTALL)
_TTA = re.compile(rb"TTA1[\x01\x02]\x00")
_NUT = re.compile(rb"nut/multimedia container\x00")
_ANY = re.compile(  # beginnings that do not come about by chance
    rb"fLaC[\x00\x80]\x00\x00\x22|(?:RIFF|RF64)....WAVE|FORM....AIF[FC]|caff\x00[\x01\x02]\x00\x00desc|OggS\x00\x02\x00{8}",
    re.DOTALL,
)
_AU = {1: "ULAW", 2: "PCM_S8", 3: "PCM_16", 4: "PCM_24", 5: "PCM_32", 6: "FLOAT", 7: "DOUBLE", 27: "ALAW"}
_LAST = re.compile(rb"LIST|bext|iXML|id3 |ID3 |cue |_PMX|fact|JUNK|smpl|PEAK")  # chunks behind samples
_LAST_CHUNKS = 1 << 22  # bytes at the end that are searched for them
_SLACK = 64  # bytes behind the last chunk that are too few to be sound


@dataclass(frozen=True)
class Raw:
    """Describe samples without a usable header: as soundfile describes them, and their position."""

    subtype: str
    endian: str  # LITTLE or BIG
    rate: int
    channels: int
    start: int
    end: int
    promised: int  # samples that the header counts


@dataclass(frozen=True)
class Section:
    """Locate one recording: bytes `start` to `end` of the file. `raw`: its header counts less than there is.

    `understated`: the header of a compressed recording counts less. `left`: bytes that are neither sound nor a known
    chunk. `cut`: the end of the recording is missing. `holes`: places inside where parts of it are missing.
    """

    start: int
    end: int
    raw: Raw | None = None
    understated: bool = False
    left: int = 0
    cut: bool = False
    holes: int = 0
    mixed: bool = False


class Window:
    """Read a part of an open file, for readers that take file objects."""

    def __init__(self, file: BinaryIO, start: int, end: int):
        self._file, self._start, self._length, self._at = file, start, end - start, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(self._length - self._at, 0)
        self._file.seek(self._start + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data


def find_sections(path: Path) -> list[Section]:
    """Return the recordings in a file, in order, or one that covers the file if nothing else is known."""
    size = path.stat().st_size
    sections: list[Section] = []
    with open(path, "rb") as file:
        start = 0
        while start < size:
            section = _section(file, start, size)
            sections.append(section)
            start = section.end if section.end > start else size
            if padding.is_padding(file, start, size):
                break
    return sections


def _section(file: BinaryIO, start: int, size: int) -> Section:
    file.seek(start)
    head = file.read(64)
    begin = padding.front_end(file, start, size)
    if begin > start and begin < size and (section := _behind_tags(file, start, begin, size)):
        return section
    if head[:4] in _WAVE_FAMILY and (form := walk(Window(file, start, size))):
        return _wave(file, start, size, form)
    if head[:4] == b".snd" and len(head) >= 24:
        return _au(file, start, size, head)
    if head[:4] == b"fLaC":
        end = _next(file, _ANY, start, size, _end_of_flac_header(file, start))
        return Section(start, end, understated=flac_frames.counts_less(file, start, end))
    if head[:4] == b"OggS":
        return _ogg(file, start, size)
    if head[:4] == b"\x1aE\xdf\xa3":
        end = _end_of_matroska(file, start, size)
        return Section(start, min(end, size), cut=end > size)
    if head[:4] == b"wvpk":
        return Section(start, _end_of_wavpack(file, start, size))
    if head[:4] == b"TTA1":
        return Section(start, _next(file, _TTA, start, size))
    if head[:16] == _ASF:
        return Section(start, size, cut=_stated_by_asf(file, start) > size - start + _SLACK)
    if head[:4] == b"nut/":
        return Section(start, _next(file, _NUT, start, size))
    if head[4:8] == b"ftyp":
        return Section(start, _end_of_mp4(file, start, size))
    if head[:2] == _AC3:  # FFmpeg takes anything behind its frames for a damaged one
        return Section(start, padding.end_of_sound(file, start, size))
    if head[:3] == b"ID3" or head[:1] == b"\xff":
        window = Window(file, start, size)
        end, understated = mpeg.first_recording(window, lambda at: _begins(window, at))
        if start + end < size or not padding.is_padding(file, start + mpeg.end_of_frames(window), size):
            return Section(start, start + end, understated=understated)
        return Section(start, start + mpeg.end_of_frames(window), understated=understated)
    return Section(start, size)


def _behind_tags(file: BinaryIO, start: int, begin: int, size: int) -> Section | None:
    """Return the section that begins at `begin`, behind tags and zero bytes, None if its reader must see those.

    An MP3 keeps its own tag. Behind several or behind zeros it is read from its first frame on, which counts its samples.
    """
    file.seek(start)
    tag = file.read(10)
    single = tag[:3] == b"ID3" and start + mpeg.tag_size(tag) == begin
    window = Window(file, start, size)
    if _begins(window, begin - start):
        return _section(file, begin, size)
    file.seek(begin)
    if file.read(2) == _AC3 or not single and mpeg.begins_with_frames(Window(file, begin, size)):
        return _section(file, begin, size)
    return None


def _next(file: BinaryIO, pattern: re.Pattern[bytes], start: int, size: int, at: int | None = None) -> int:
    """Return where the next file begins behind the one at `start`, an ID3 tag before it included. It is looked for from
    byte `at` on.
    """
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = pattern.search(content, start + 4 if at is None else at)
        if found is None:
            return size
        begin = found.start()
        tag = content.rfind(b"ID3", max(start + 4, begin - (1 << 20)), begin)
        if tag >= 0 and tag + mpeg.tag_size(content[tag : tag + 10]) == begin:
            return tag
    return begin


def _end_of_flac_header(file: BinaryIO, start: int) -> int:
    """Return where the metadata blocks of a FLAC end, in which texts and pictures may look like anything."""
    at, last = start + 4, False
    while not last:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            break
        last = bool(head[0] & 0x80)
        at += 4 + int.from_bytes(head[1:], "big")
    return at


# --- WAV and its family -----------------------------------------------------------------------------------------


def _wave(file: BinaryIO, start: int, size: int, form: Form) -> Section:
    window = Window(file, start, size)
    audio = form.find(b"SSND" if form.kind == "AIFF" else b"data")
    if audio is None or not form.chunks:
        return Section(start, size)
    if form.streamed:
        return _streamed(file, start, size, audio.start)
    if form.end < size - start and padding.is_padding(file, start + form.end, size):
        return Section(start, start + form.end)  # libsndfile would take it for samples of W64
    rest = size - start - form.end
    begin = next((at for at in (form.end, form.end - 1) if _begins(window, at)), None)
    others = sum(chunk.size for chunk in form.chunks if chunk.name == audio.name and chunk is not audio)
    if begin is not None:
        return Section(start, start + begin, left=others)
    if rest <= _SLACK or form.chunks[-1] is not audio:
        return Section(start, size, left=others + (rest if rest > _SLACK else 0))
    window.seek(form.end)
    if window.read(8).startswith(_ENDINGS):
        return Section(start, size)
    promised = promise(window)
    kind = raw_format(window, form)
    if promised is None or kind is None or not promised.frame_bytes:
        return Section(start, size, left=rest)
    begin = audio.start + {"AIFF": 8, "CAF": 4}.get(form.kind, 0)
    end = size - start
    if form.kind == "RIFF":
        end = _wrapped_end(window, audio.start, audio.size, end) or _start_of_chunks(window, form, end)
    subtype, endian = kind
    counted = promised.promised // promised.frame_bytes
    raw = Raw(subtype, endian, round(promised.rate), promised.channels, start + begin, start + end, max(counted, 0))
    return Section(start, size, raw)


def _begins(window: Window, at: int) -> bool:
    """Return whether another file begins at a byte of the window."""
    window.seek(max(at, 0))
    head = window.read(16)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return head[8:12] == b"WAVE"
    if head[:4] == b"FORM":
        return head[8:12] in (b"AIFF", b"AIFC")
    return head.startswith(_BEGINNINGS) or head[4:8] == b"ftyp"


def _wrapped_end(window: Window, start: int, size: int, end: int) -> int | None:
    """Return where samples of a WAV end whose size is the true one without its upper 32 bits, or None if it is not."""
    true = start + size
    while (true := true + (1 << 32)) < end:
        window.seek(true + true % 2)
        name = window.read(4)
        if name in (b"LIST", b"bext", b"iXML", b"id3 ", b"cue ", b"_PMX", b"fact", b"JUNK", b"smpl"):
            return true
    return None


def _start_of_chunks(window: Window, form: Form, end: int) -> int:
    """Return where known chunks begin that lead to the last byte, else `end`: where samples of a WAV end that miscounts."""
    begin = max(form.end, end - _LAST_CHUNKS)
    window.seek(begin)
    tail = window.read(end - begin)
    for found in _LAST.finditer(tail):
        at = found.start()
        while at + 8 <= len(tail) and tail[at : at + 4] in KNOWN:
            length = struct.unpack_from(form.order + "I", tail, at + 4)[0]
            at += 8 + length + length % 2
        if at in (len(tail), len(tail) + 1):
            return begin + found.start()
    return end


def _streamed(file: BinaryIO, start: int, size: int, audio: int) -> Section:
    """Return the section of a WAV without a length, up to where another one begins in it."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = re.compile(rb"(?:RIFF|RF64)....WAVE", re.DOTALL).search(content, start + audio)
    return Section(start, found.start() if found else size)


def _au(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    offset, counted, code, rate, channels = struct.unpack(">IIIII", head[4:24])
    if code not in _AU or counted == 0xFFFFFFFF or not 1 <= channels <= 256 or rate == 0:
        return Section(start, size)
    end = start + offset + counted
    if end < size and padding.is_padding(file, end, size):
        return Section(start, end)
    if size - end <= _SLACK:
        return Section(start, size, cut=end > size + _SLACK)
    if _begins(Window(file, start, size), end - start):
        return Section(start, end)
    width = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}.get(_AU[code], 1) * channels
    return Section(start, size, Raw(_AU[code], "BIG", rate, channels, start + offset, size, counted // width))


# --- Ogg and MP4 ------------------------------------------------------------------------------------------------


def _ogg(file: BinaryIO, start: int, size: int) -> Section:
    """Return the section of the streams that begin together at `start`, up to the first page of another one after theirs.

    Pages of each stream are numbered, and the last is marked as such.
    """
    inside, holes = False, 0
    numbers: dict[int, int] = {}  # by stream
    open_streams: set[int] = set()
    expected = start
    for at, end, flags, stream, number in _pages(file, start, size):
        if flags & FIRST and inside:
            return Section(start, at, cut=bool(open_streams), holes=holes, mixed=len(numbers) > 1)
        inside = inside or not flags & FIRST
        holes += at != expected or number not in (numbers.get(stream, number - 1) + 1, 0xFFFFFFFF)
        expected = end
        numbers[stream] = number
        (open_streams.discard if flags & LAST else open_streams.add)(stream)
    return Section(start, size, cut=bool(open_streams), holes=holes, mixed=len(numbers) > 1)


FIRST, LAST = 2, 4  # flags of a page: the first or the last one of its stream


def _pages(file: BinaryIO, start: int, size: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield where each page of an Ogg file begins and ends, its flags, its stream and its number in that."""
    at = start
    while at + 27 <= size:
        file.seek(at)
        head = file.read(27 + 255)
        if head[:4] != b"OggS":
            if at > start and _begins(Window(file, start, size), at - start):
                yield at, at, FIRST, 0, 0
                return
            at = _resynchronize(file, at + 1, size)
            continue
        end = at + 27 + head[26] + sum(head[27 : 27 + head[26]])
        yield at, end, head[5], *struct.unpack_from("<II", head, 14)
        at = end


def _resynchronize(file: BinaryIO, at: int, size: int) -> int:
    """Return where the next page begins."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = content.find(b"OggS", at)
    return found if found >= 0 else size


def _end_of_mp4(file: BinaryIO, start: int, size: int) -> int:
    """Return where the next MP4 file begins behind the one at `start`."""
    at = start
    while at + 16 <= size:
        file.seek(at)
        length, name, large = struct.unpack(">I4sQ", file.read(16))
        if at > start and _begins(Window(file, start, size), at - start):
            return at
        length = {0: size - at, 1: large}.get(length, length)
        if length < 8:
            break
        at += length
    return size


def _end_of_matroska(file: BinaryIO, start: int, size: int) -> int:
    """Return where the next Matroska file begins behind the one at `start`, which is not searched if it states its length.

    A length beyond `size` is returned as it is stated.
    """
    at = start
    for name in (b"\x1aE\xdf\xa3", b"\x18S\x80g"):  # the header, and the segment that holds everything
        file.seek(at)
        head = file.read(12)
        width = 9 - head[4].bit_length() if len(head) == 12 else 9
        if head[:4] != name or width > 8:
            return _next(file, _MATROSKA, start, size)
        length = int.from_bytes(head[4 : 4 + width], "big") - (1 << 7 * width)
        if length == (1 << 7 * width) - 1:  # not known while it was written
            return _next(file, _MATROSKA, start, size)
        at += 4 + width + length
    if at >= size or _begins(Window(file, start, size), at - start):
        return at
    return _next(file, _MATROSKA, at - 4, size)


def _stated_by_asf(file: BinaryIO, start: int) -> int:
    """Return the number of bytes that an ASF file (WMA, WMV) says that it has, 0 if it does not say."""
    file.seek(start)
    head = file.read(1 << 16)
    at = head.find(_ASF_PROPERTIES)
    return int.from_bytes(head[at + 40 : at + 48], "little") if 0 <= at <= len(head) - 48 else 0


def _end_of_wavpack(file: BinaryIO, start: int, size: int) -> int:
    """Return where the sample numbers in the blocks of a WavPack file begin again."""
    at = start
    while at + 32 <= size:
        file.seek(at)
        name, length, ape, index, _, flags = struct.unpack("<4sI4xIIII4x", file.read(32))
        if name != b"wvpk" and padding.is_padding(file, at, size):
            return at
        if name == b"APET":  # a tag, whose length leaves its first 32 bytes out
            at += 32 + ape
            continue
        if name != b"wvpk":
            return at if _begins(Window(file, start, size), at - start) else size
        if at > start and index == 0 and flags & 1 << 11:  # the first block of several for the same samples
            return at
        at += length + 8
    return size
