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
from enhance_cli.audio.beginnings import begins, find_beginning
from enhance_cli.audio.chunks import KNOWN, Form, is_streamed, promise, raw_format, walk

_WAVE_FAMILY = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"caff")
_ENDINGS = (b"TAG", b"APETAGEX", b"3DI", b"LYRICSBEGIN")
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_AC3 = b"\x0bw"  # beginning of a frame of AC-3 and E-AC-3
_AU = {1: "ULAW", 2: "PCM_S8", 3: "PCM_16", 4: "PCM_24", 5: "PCM_32", 6: "FLOAT", 7: "DOUBLE", 27: "ALAW"}
_LAST = re.compile(rb"LIST|bext|iXML|id3 |ID3 |cue |_PMX|fact|JUNK|smpl|PEAK")  # chunks behind samples
_LAST_CHUNKS = 1 << 22  # bytes at the end that are searched for them
_SLACK = 64  # bytes behind the last chunk that are too few to be sound
_RUBBISH = 1 << 16  # bytes before another file that are no sound which a header has left out


@dataclass(frozen=True)
class Raw:
    """Describe samples without a usable header: as soundfile describes them, and their position."""

    subtype: str
    endian: str  # LITTLE or BIG
    rate: int
    channels: int
    start: int
    end: int
    promised: int | None  # samples that the header counts, None where it was never filled in


@dataclass(frozen=True)
class Section:
    """Locate one recording: bytes `start` to `end` of the file. `raw`: its header counts less than there is.

    `understated`: the header of a compressed recording counts less. `left`: bytes that are neither sound nor a known
    chunk. `cut`: the end of the recording is missing. `holes`: places inside where parts of it are missing.
    `foreign`: only FFmpeg reads all of it. `following`: where the next one begins, if not at `end`. `empty`: a header
    without sound.
    """

    start: int
    end: int
    raw: Raw | None = None
    understated: bool = False
    left: int = 0
    cut: bool = False
    holes: int = 0
    mixed: bool = False
    foreign: bool = False
    following: int | None = None
    empty: bool = False


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
            start = section.following or section.end if section.end > start else size
            if padding.is_padding(file, start, size):
                break
    return [section for section in sections if not section.empty] or sections


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
        end = find_beginning(file, _end_of_flac_header(file, start), size)
        return Section(start, end, understated=flac_frames.counts_less(file, start, end))
    if head[:4] == b"OggS":
        return _ogg(file, start, size)
    if head[:4] == b"\x1aE\xdf\xa3":
        end = _end_of_matroska(file, start, size)
        return Section(start, min(end, size), cut=end > size)
    if head[:4] == b"wvpk":
        end, behind = _end_of_wavpack(file, start, size)
        following = find_beginning(file, behind, size)
        tags = following < size or padding.is_padding(file, end, size)
        return Section(start, end if tags else size, following=following)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        stated = 8 + int.from_bytes(head[4:8], "little")
        return Section(start, size, cut=stated > size - start + _SLACK)
    if head[:16] == _ASF:
        return Section(start, size, cut=_stated_by_asf(file, start) > size - start + _SLACK)
    if head[:2] == _AC3:  # FFmpeg takes anything behind its frames for a damaged one
        return Section(start, padding.end_of_sound(file, start, size))
    if head[4:8] == b"ftyp":
        return Section(start, _end_of_mp4(file, start, size))
    if head.startswith(_VOC):
        return _voc(file, start, size, head)
    if head.startswith((b"TTA1", b"nut/", b"FLV\1", b"NIST_1A\n")):
        return Section(start, find_beginning(file, start + 4, size))
    if head[:3] == b"ID3" or head[:1] == b"\xff":
        window = Window(file, start, size)
        mp3 = mpeg.first_recording(window, lambda at, end: find_beginning(window, at, end))
        end, behind = start + mp3.end, start + mpeg.end_of_frames(window)
        if end == size and padding.is_padding(file, behind, size):
            end = behind
        following = start + mp3.following
        return Section(
            start, end, understated=mp3.understated, holes=mp3.gaps, following=following, cut=end == size < behind
        )
    return Section(start, size)


def _behind_tags(file: BinaryIO, start: int, begin: int, size: int) -> Section | None:
    """Return the section that begins at `begin`, behind tags and zero bytes, None if its reader must see those.

    An MP3 keeps its own tag. Behind several or behind zeros it is read from its first frame on, which counts its samples.
    """
    file.seek(start)
    tag = file.read(10)
    single = tag[:3] == b"ID3" and start + mpeg.tag_size(tag) == begin
    if begins(file, begin):
        return _section(file, begin, size)
    file.seek(begin)
    if file.read(2) == _AC3 or not single and mpeg.begins_with_frames(Window(file, begin, size)):
        return _section(file, begin, size)
    return None


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
    if not form.streamed and form.end < size - start and padding.is_padding(file, start + form.end, size):
        return Section(start, start + form.end)  # libsndfile would take it for samples of W64
    last, begin = form.chunks[-1], form.end - 1  # an odd chunk may lack its padding
    if form.streamed:
        begin = audio.start
    elif last is not audio and last.start + last.size > size - start + 1:  # longer than the file
        begin = last.start
    kind = "wav" if form.kind in ("RIFF", "RF64") else form.kind.lower()
    end = find_beginning(window, begin, size - start, own=(kind,))
    overhead = {"AIFF": 8, "CAF": 4}.get(form.kind, 0)  # bytes in front of the samples
    if end <= audio.start + overhead:
        return Section(start, start + end, empty=True)
    others = sum(chunk.size for chunk in form.chunks if chunk.name == audio.name and chunk is not audio)
    if form.streamed:
        return _uncounted(file, start, start + end, form)
    rest = max(end - form.end, 0)
    if rest <= _SLACK or last is not audio:
        return Section(start, start + end, left=others + (rest if rest > _SLACK else 0))
    window.seek(form.end)
    behind = window.read(min(rest, 1 << 20))
    if behind.startswith(_ENDINGS) or len(behind) == rest and not behind.strip(b"\0"):
        return Section(start, start + end)
    if start + end < size and rest < min(_RUBBISH, form.end - audio.start):
        return Section(start, start + end, left=rest)
    return _uncounted(file, start, start + end, form)


def _uncounted(file: BinaryIO, start: int, end: int, form: Form) -> Section:
    """Return the section of a file of the WAV family with more samples than its header counts."""
    window = Window(file, start, end)
    audio = form.find(b"SSND" if form.kind == "AIFF" else b"data")
    promised, kind = promise(window), raw_format(window, form)
    if audio is None or promised is None or kind is None or not promised.frame_bytes:
        return Section(start, end, left=0 if form.streamed else end - start - form.end)
    first = audio.start + {"AIFF": 8, "CAF": 4}.get(form.kind, 0)
    last = end - start
    if form.kind in ("RIFF", "RF64"):
        wrapped = None if form.streamed else _wrapped_end(window, audio.start, audio.size, last)
        last = wrapped or _start_of_chunks(window, form, audio.start if form.streamed else form.end, last)
    subtype, endian = kind
    counted = None if form.streamed else max(promised.promised // promised.frame_bytes, 0)
    raw = Raw(subtype, endian, round(promised.rate), promised.channels, start + first, start + last, counted)
    return Section(start, end, raw)


def _wrapped_end(window: Window, start: int, size: int, end: int) -> int | None:
    """Return where samples of a WAV end whose size is the true one without its upper 32 bits, or None if it is not."""
    true = start + size
    while (true := true + (1 << 32)) < end:
        window.seek(true + true % 2)
        name = window.read(4)
        if name in (b"LIST", b"bext", b"iXML", b"id3 ", b"cue ", b"_PMX", b"fact", b"JUNK", b"smpl"):
            return true
    return None


def _start_of_chunks(window: Window, form: Form, first: int, end: int) -> int:
    """Return where known chunks, or an ID3v1 tag, begin that lead to the last byte, else `end`: where samples of a WAV
    end that miscounts. They are looked for from byte `first` on.
    """
    window.seek(max(end - 128, first))
    if window.read(3) == b"TAG":
        end -= 128
    begin = max(first, end - _LAST_CHUNKS)
    window.seek(begin)
    tail = window.read(end - begin)
    for found in _LAST.finditer(tail):
        at = found.start()
        while at + 8 <= len(tail) and tail[at : at + 4] in KNOWN:
            length = struct.unpack_from(form.order + "I", tail, at + 4)[0]
            at += 8 + length + length % 2
        if len(tail) <= at + _SLACK and at <= len(tail) + 1:
            return begin + found.start()
    return end


def _au(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    offset, counted, code, rate, channels = struct.unpack(">IIIII", head[4:24])
    first = start + offset
    if code not in _AU or not 1 <= channels <= 256 or rate == 0:
        return Section(start, size)
    streamed = is_streamed(counted)
    if not streamed and first + counted < size and padding.is_padding(file, first + counted, size):
        return Section(start, first + counted)
    next_file = find_beginning(file, first if streamed else first + counted, size)
    if not streamed and next_file - first - counted <= _SLACK:
        return Section(start, next_file, cut=first + counted > size + _SLACK)
    width = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}.get(_AU[code], 1) * channels
    if not streamed and next_file < size and next_file - first - counted < min(_RUBBISH, counted):
        return Section(start, next_file, left=next_file - first - counted)
    return Section(
        start,
        next_file,
        Raw(_AU[code], "BIG", rate, channels, first, next_file, None if streamed else counted // width),
    )


_VOC = b"Creative Voice File\x1a"


def _voc(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    """Return the section of a VOC file. libsndfile takes the heads of its later blocks for samples."""
    at, blocks = start + int.from_bytes(head[20:22], "little"), 0
    while at + 4 <= size:
        file.seek(at)
        kind, length = (block := file.read(4))[0], int.from_bytes(block[1:], "little")
        if not 1 <= kind <= 9:
            at += kind == 0
            break
        blocks += kind in (1, 2, 3, 9)
        at += 4 + length
    return Section(start, find_beginning(file, at, size), foreign=blocks > 1)


# --- Ogg and MP4 ------------------------------------------------------------------------------------------------


def _ogg(file: BinaryIO, start: int, size: int) -> Section:
    """Return the section of the streams that begin together at `start`, up to the first page of another one after theirs.

    Pages of each stream are numbered, and the last is marked as such. The end that it states (its granule position) lies
    behind that of the page before it. Where it does not, libsndfile stops there, FFmpeg before the last page.
    """
    inside, holes, early = False, 0, False
    numbers: dict[int, int] = {}  # by stream
    positions: dict[int, int] = {}
    open_streams: set[int] = set()
    expected = start
    for at, end, flags, position, stream, number in _pages(file, start, size):
        if flags & FIRST and inside:
            return Section(
                start, at, cut=bool(open_streams), holes=holes + early, mixed=len(numbers) > 1, foreign=early
            )
        inside = inside or not flags & FIRST
        holes += at != expected or number not in (numbers.get(stream, number - 1) + 1, 0xFFFFFFFF)
        expected = end
        numbers[stream] = number
        early = early or bool(flags & LAST) and 0 <= position < positions.get(stream, 0)
        positions[stream] = position
        (open_streams.discard if flags & LAST else open_streams.add)(stream)
    return Section(
        start,
        size,
        cut=bool(open_streams) or expected > size,
        holes=holes + early,
        mixed=len(numbers) > 1,
        foreign=early,
    )


FIRST, LAST = 2, 4  # flags of a page: the first or the last one of its stream


def _pages(file: BinaryIO, start: int, size: int) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Yield where each page of an Ogg file begins and ends, its flags, its granule position, its stream and its number in
    that.
    """
    at = start
    while at + 27 <= size:
        file.seek(at)
        head = file.read(27 + 255)
        if head[:4] != b"OggS":
            if at > start and begins(file, at):
                yield at, at, FIRST, 0, 0, 0
                return
            at = _resynchronize(file, at + 1, size)
            continue
        end = at + 27 + head[26] + sum(head[27 : 27 + head[26]])
        yield at, end, head[5], *struct.unpack_from("<qII", head, 6)
        at = end


def _resynchronize(file: BinaryIO, at: int, size: int) -> int:
    """Return where the next page begins."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = content.find(b"OggS", at)
    return found if found >= 0 else size


def _end_of_mp4(file: BinaryIO, start: int, size: int) -> int:
    """Return where the next file begins behind the MP4 file at `start`."""
    at = start
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, name = struct.unpack_from(">I4s", head)
        if at > start and begins(file, at):
            return at
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length == 0 and name == b"mdat":
            return size
        if length < 8 or at + length > size and name not in (b"mdat", b"moov", b"moof"):
            return find_beginning(file, at, size)
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
            return find_beginning(file, start + 4, size, ("matroska",))
        length = int.from_bytes(head[4 : 4 + width], "big") - (1 << 7 * width)
        if length == (1 << 7 * width) - 1:  # not known while it was written
            return find_beginning(file, start + 4, size, ("matroska",))
        at += 4 + width + length
    return at if at >= size else find_beginning(file, at, size)


def _stated_by_asf(file: BinaryIO, start: int) -> int:
    """Return the number of bytes that an ASF file (WMA, WMV) says that it has, 0 if it does not say."""
    file.seek(start)
    head = file.read(1 << 16)
    at = head.find(_ASF_PROPERTIES)
    return int.from_bytes(head[at + 40 : at + 48], "little") if 0 <= at <= len(head) - 48 else 0


def _end_of_wavpack(file: BinaryIO, start: int, size: int) -> tuple[int, int]:
    """Return where the blocks of a WavPack file end, or the sample numbers in them begin again, and the same behind tags."""
    at = end = start
    while at + 32 <= size:
        file.seek(at)
        name, length, ape, index, _, flags = struct.unpack("<4sI4xIIII4x", file.read(32))
        if name == b"APET":  # a tag, whose length leaves its first 32 bytes out
            at += 32 + ape
            continue
        if (
            name != b"wvpk" or at > start and index == 0 and flags & 1 << 11
        ):  # the first of several for the same samples
            break
        at += length + 8
        end = at
    return min(end, size), min(at, size)
