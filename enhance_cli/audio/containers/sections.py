"""Find the recordings in a file from its bytes, without trusting the lengths in its header.

This detects, without decoding, files that were joined end to end, chained Ogg streams, tags before the recording, and
headers that state fewer samples than there are. A file that agrees with its header is one section from the first byte to
the last.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from enhance_cli.audio.containers import flac_frames, frame_walks, matroska, mpeg, old_headers, padding
from enhance_cli.audio.containers.beginnings import begins, find_beginning
from enhance_cli.audio.containers.chunks import walk
from enhance_cli.audio.containers.container_ends import (
    end_of_flac_header,
    end_of_matroska,
    end_of_mp4,
    end_of_wavpack,
    ogg_section,
    stated_by_asf,
)
from enhance_cli.audio.containers.section import SLACK, Section, Window
from enhance_cli.audio.containers.wave_sections import au_section, voc_section, wave_section

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_AC3 = b"\x0bw"


def find_sections(path: Path) -> list[Section]:
    """Return the recordings in a file, in order. A file of unknown format is one recording."""
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
    """Return the recording that begins at byte `start`, by the first format of the table that fits."""
    file.seek(start)
    head = file.read(64)
    begin = padding.front_end(file, start, size)
    if begin > start and begin < size and (section := _behind_tags(file, start, begin, size)):
        return section
    for at, beginnings, find in _FORMATS:
        if head[at:].startswith(beginnings) and (section := find(file, start, size, head)):
            return section
    return Section(start, size)


def _wave(file: BinaryIO, start: int, size: int, head: bytes) -> Section | None:
    form = walk(Window(file, start, size))
    return wave_section(file, start, size, form) if form else None


def _au(file: BinaryIO, start: int, size: int, head: bytes) -> Section | None:
    return au_section(file, start, size, head) if len(head) >= 24 else None


def _flac(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    end = find_beginning(file, end_of_flac_header(file, start), size)
    return Section(start, end, understated=flac_frames.counts_less(file, start, end))


def _ogg(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    return ogg_section(file, start, size)


def _matroska(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    end = end_of_matroska(file, start, size)
    return Section(start, min(end, size), cut=end > size or matroska.breaks_off(file, start, min(end, size)))


def _wavpack(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    end, behind = end_of_wavpack(file, start, size)
    following = find_beginning(file, behind, size)
    tags = following < size or padding.is_padding(file, end, size)
    return Section(start, end if tags else size, following=following)


def _avi(file: BinaryIO, start: int, size: int, head: bytes) -> Section | None:
    if head[:4] != b"RIFF":
        return None
    stated = start + 8 + int.from_bytes(head[4:8], "little")
    end = find_beginning(file, min(stated, size), size)  # a large one continues after it
    return Section(start, end, cut=stated > end + SLACK)


def _asf(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    stated = start + stated_by_asf(file, start)
    end = find_beginning(file, stated if start < stated <= size else start + len(_ASF), size, ("asf",))
    return Section(start, end, cut=stated > end + SLACK)


def _ac3(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    end = padding.end_of_sound(file, start, size)  # FFmpeg would read anything after the frames as a damaged frame
    return Section(start, end, cut=frame_walks.ac3_breaks_off(file, start, end))


def _truehd(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    end = padding.end_of_sound(file, start, size)
    return Section(start, end, cut=frame_walks.truehd_breaks_off(file, start, end))


def _program_stream(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    return Section(start, size, cut=frame_walks.program_stream_breaks_off(file, start, size))


def _mp4(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    return Section(start, end_of_mp4(file, start, size))


def _old(file: BinaryIO, start: int, size: int, head: bytes) -> Section | None:
    """Return the section of a file with a rare header that states where it ends, None for other files."""
    stated = old_headers.stated_end(file, start)
    if stated is None:
        return None
    end = find_beginning(file, max(min(stated, size) - SLACK, start + 5), size)
    left = max(end - stated, 0) if old_headers.is_read_as_stated(head[:32]) else 0
    return Section(start, end, cut=stated > end + SLACK, left=left if left > SLACK else 0)


def _uncounted(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    return Section(start, find_beginning(file, start + 4, size))


def _amr(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    return Section(start, find_beginning(file, start + 5, size, ("amr",)))


def _mp3(file: BinaryIO, start: int, size: int, head: bytes) -> Section:
    window = Window(file, start, size)
    mp3 = mpeg.first_recording(window, lambda at, end: find_beginning(window, at, end))
    end, behind = start + mp3.end, start + mpeg.end_of_frames(window)
    if end == size and padding.is_padding(file, behind, size):
        end = behind
    following, cut = start + mp3.following, end == size < behind
    return Section(start, end, understated=mp3.understated, holes=mp3.gaps, following=following, cut=cut)


# Place of the bytes that tell the format, those bytes, and the function that finds the end: the first that returns a section
_FORMATS: tuple[tuple[int, tuple[bytes, ...], Callable[[BinaryIO, int, int, bytes], Section | None]], ...] = (
    (0, (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"caff"), _wave),
    (0, (b".snd",), _au),
    (0, (b"fLaC",), _flac),
    (0, (b"OggS",), _ogg),
    (0, (b"\x1aE\xdf\xa3",), _matroska),
    (0, (b"wvpk",), _wavpack),
    (8, (b"AVI ",), _avi),
    (0, (_ASF,), _asf),
    (0, (_AC3, b"w\x0b"), _ac3),  # with its bytes in order, and swapped
    (4, frame_walks.MAJOR_SYNCS, _truehd),
    (0, (b"\0\0\1\xba",), _program_stream),
    (4, (b"ftyp",), _mp4),
    (0, (b"Creative Voice File\x1a",), voc_section),
    (0, (b"",), _old),  # which has many beginnings
    (0, (b"TTA1", b"nut/", b"FLV\1", b"d\xa3", b" paf", b"fap ", b"PVF1\n", b"Extended Instrument: "), _uncounted),
    (0, (b"#!AMR",), _amr),
    (0, (b"ID3", b"\xff"), _mp3),
)


def _behind_tags(file: BinaryIO, start: int, begin: int, size: int) -> Section | None:
    """Return the section that begins at `begin`, after tags and zero bytes, or None if its reader needs to see these.

    An MP3 is read including its own tag. After several tags or zero bytes, it is read from its first frame on.
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
