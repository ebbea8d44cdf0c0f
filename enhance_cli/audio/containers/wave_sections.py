"""Find the end of recordings in the WAV family, AU and VOC, and samples that their headers do not count.

The WAV family is WAV, RF64, AIFF, CAF and W64.
"""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from typing import BinaryIO

from enhance_cli.audio.containers import padding
from enhance_cli.audio.containers.beginnings import find_beginning
from enhance_cli.audio.containers.chunks import KNOWN, Form, is_streamed, promise, raw_format
from enhance_cli.audio.containers.section import SLACK, Raw, Section, Window, bytes_per_sample

_ENDINGS = (b"TAG", b"APETAGEX", b"3DI", b"LYRICSBEGIN")
_AU = {1: "ULAW", 2: "PCM_S8", 3: "PCM_16", 4: "PCM_24", 5: "PCM_32", 6: "FLOAT", 7: "DOUBLE", 27: "ALAW"}
_LAST = re.compile(rb"LIST|bext|iXML|id3 |ID3 |cue |_PMX|fact|JUNK|smpl|PEAK")  # chunks after the samples
_LAST_CHUNKS = 1 << 22  # bytes at the end that are searched for these chunks
_TEXT = bytes(range(32, 127)) + b"\t\r\n\0"
_GARBAGE = 1 << 16  # fewer bytes before another file are garbage and not samples that the header does not count
_PADDING_SEARCHED = 1 << 16  # bytes of samples


def wave_section(file: BinaryIO, start: int, size: int, form: Form) -> Section:
    """Return the section of the file of the WAV family at `start`, which has the chunks `form`."""
    section = _section(file, start, size, form)
    return section if section.raw else _with_padded_samples(file, section, form)


def _with_padded_samples(file: BinaryIO, section: Section, form: Form) -> Section:
    """Return the section of a WAV, with its samples if they have 17 to 24 bits in 4 bytes, whose lowest byte is 0.

    libsndfile reads them as 3 bytes, unless they have 24 bits and a short header.
    """
    described, audio = form.description, form.audio
    if form.kind not in ("RIFF", "RF64") or described is None or audio is None:
        return section
    first = section.start + audio.start
    if first + audio.size > section.end:
        return section
    window = Window(file, section.start, section.end)
    window.seek(described.start)
    tag, channels, rate, block, bits = struct.unpack(form.order + "HHI4xHH", window.read(16).ljust(16, b"\0"))
    kind = raw_format(window, form)
    if not 16 < bits <= 24 or block != 4 * channels or kind is None or kind[0] != "PCM_32" or (tag, bits) == (1, 24):
        return section
    window.seek(audio.start)
    if any(window.read(min(audio.size, _PADDING_SEARCHED))[0 if kind[1] == "LITTLE" else 3 :: 4]):
        return section
    return replace(section, raw=Raw(*kind, rate, channels, first, first + audio.size, None))


def _section(file: BinaryIO, start: int, size: int, form: Form) -> Section:
    """Return the section as far as its end and its number of samples are concerned."""
    window = Window(file, start, size)
    audio = form.audio
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
    if end <= audio.start + form.before_samples:
        return Section(start, start + end, empty=True)
    others = sum(chunk.size for chunk in form.chunks if chunk.name == audio.name and chunk is not audio)
    if form.streamed:
        return _uncounted(file, start, start + end, form)
    rest = max(end - form.end, 0)
    if rest <= SLACK or last is not audio:
        return Section(start, start + end, left=others + (rest if rest > SLACK else 0))
    window.seek(form.end)
    behind = window.read(min(rest, 1 << 20))
    if behind.startswith(_ENDINGS) or len(behind) == rest and not behind.strip(b"\0"):
        return Section(start, start + end)
    if len(behind) == rest and not behind.translate(None, _TEXT):  # of a program that appends notes
        return Section(start, start + end, left=rest)
    if start + end < size and rest < min(_GARBAGE, form.end - audio.start):
        return Section(start, start + end, left=rest)
    return _uncounted(file, start, start + end, form)


def _uncounted(file: BinaryIO, start: int, end: int, form: Form) -> Section:
    """Return the section of a file of the WAV family with more samples than its header counts."""
    window = Window(file, start, end)
    audio = form.audio
    promised, kind = promise(window), raw_format(window, form)
    if audio is None or promised is None or kind is None or not promised.frame_bytes:
        return Section(start, end, left=0 if form.streamed else end - start - form.end)
    first = audio.start + form.before_samples
    last = end - start
    if form.kind in ("RIFF", "RF64"):
        wrapped = None if form.streamed else _wrapped_end(window, audio.start, audio.size, last)
        last = wrapped or _start_of_chunks(window, form, audio.start if form.streamed else form.end, last)
    subtype, endian = kind
    counted = None if form.streamed else max(promised.promised // promised.frame_bytes, 0)
    raw = Raw(subtype, endian, round(promised.rate), promised.channels, start + first, start + last, counted)
    return Section(start, end, raw)


def _wrapped_end(window: Window, start: int, size: int, end: int) -> int | None:
    """Return the end of the samples of a WAV above 4 GB whose size lost its upper 32 bits, None if that is not the case."""
    true = start + size
    while (true := true + (1 << 32)) < end:
        window.seek(true + true % 2)
        name = window.read(4)
        if name in (b"LIST", b"bext", b"iXML", b"id3 ", b"cue ", b"_PMX", b"fact", b"JUNK", b"smpl"):
            return true
    return None


def _start_of_chunks(window: Window, form: Form, first: int, end: int) -> int:
    """Return the end of the samples of a WAV with a wrong length.

    It is where a sequence of known chunks, or an ID3v1 tag, begins that reaches to the last byte, or else `end`. The chunks
    are searched for from byte `first` on.
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
        if len(tail) <= at + SLACK and at <= len(tail) + 1:
            return begin + found.start()
    return end


def au_section(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    """Return the section of the AU file that begins at `start` with the bytes `head`."""
    offset, counted, code, rate, channels = struct.unpack(">IIIII", head[4:24])
    first = start + offset
    if code not in _AU or not 1 <= channels <= 256 or rate == 0:
        return Section(start, size)
    streamed = is_streamed(counted)
    if not streamed and first + counted < size and padding.is_padding(file, first + counted, size):
        return Section(start, first + counted)
    next_file = find_beginning(file, first if streamed else first + counted, size)
    if not streamed and next_file - first - counted <= SLACK:
        return Section(start, next_file, cut=first + counted > size + SLACK)
    if not streamed and next_file < size and next_file - first - counted < min(_GARBAGE, counted):
        return Section(start, next_file, left=next_file - first - counted)
    promised = None if streamed else counted // (bytes_per_sample(_AU[code]) * channels)
    return Section(start, next_file, Raw(_AU[code], "BIG", rate, channels, first, next_file, promised))


def voc_section(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    """Return the section of a VOC file. libsndfile reads the headers of its later blocks as samples."""
    at, blocks = start + int.from_bytes(head[20:22], "little"), 0
    while at + 4 <= size:
        file.seek(at)
        kind, length = (block := file.read(4))[0], int.from_bytes(block[1:], "little")
        if not 1 <= kind <= 9:
            at += kind == 0
            break
        blocks += kind in (1, 2, 3, 9)
        at += 4 + length
    return Section(start, find_beginning(file, min(at, size), size), foreign=blocks > 1, cut=at > size + SLACK)
