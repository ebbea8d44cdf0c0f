"""Find the recordings in a file by its bytes and not by the lengths in its header.

Files joined end to end, chained Ogg streams, tags in front, and headers that count less than is there are seen here,
without decoding. A file that is as its header says is one section from its first byte to its last.
"""

from __future__ import annotations

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

_WAVE_FAMILY = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"caff")
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_AC3, _AC3_SWAPPED = b"\x0bw", b"w\x0b"  # beginnings of a frame of AC-3 and E-AC-3
_PROGRAM_STREAM = b"\0\0\1\xba"
_UNCOUNTED = (b"TTA1", b"nut/", b"FLV\1", b"d\xa3", b" paf", b"fap ", b"PVF1\n", b"Extended Instrument: ")
_VOC = b"Creative Voice File\x1a"


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
        return wave_section(file, start, size, form)
    if head[:4] == b".snd" and len(head) >= 24:
        return au_section(file, start, size, head)
    if head[:4] == b"fLaC":
        end = find_beginning(file, end_of_flac_header(file, start), size)
        return Section(start, end, understated=flac_frames.counts_less(file, start, end))
    if head[:4] == b"OggS":
        return ogg_section(file, start, size)
    if head[:4] == b"\x1aE\xdf\xa3":
        end = end_of_matroska(file, start, size)
        return Section(start, min(end, size), cut=end > size or matroska.breaks_off(file, start, min(end, size)))
    if head[:4] == b"wvpk":
        end, behind = end_of_wavpack(file, start, size)
        following = find_beginning(file, behind, size)
        tags = following < size or padding.is_padding(file, end, size)
        return Section(start, end if tags else size, following=following)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        stated = start + 8 + int.from_bytes(head[4:8], "little")
        end = find_beginning(file, min(stated, size), size)  # a large one goes on behind it
        return Section(start, end, cut=stated > end + SLACK)
    if head[:16] == _ASF:
        stated = start + stated_by_asf(file, start)
        end = find_beginning(file, stated if start < stated <= size else start + len(_ASF), size, ("asf",))
        return Section(start, end, cut=stated > end + SLACK)
    if head[:2] in (_AC3, _AC3_SWAPPED):  # FFmpeg takes anything behind its frames for a damaged one
        end = padding.end_of_sound(file, start, size)
        return Section(start, end, cut=frame_walks.ac3_breaks_off(file, start, end))
    if frame_walks.is_truehd(head):
        end = padding.end_of_sound(file, start, size)
        return Section(start, end, cut=frame_walks.truehd_breaks_off(file, start, end))
    if head[:4] == _PROGRAM_STREAM:
        return Section(start, size, cut=frame_walks.program_stream_breaks_off(file, start, size))
    if head[4:8] == b"ftyp":
        return Section(start, end_of_mp4(file, start, size))
    if head.startswith(_VOC):
        return voc_section(file, start, size, head)
    if (stated_end := old_headers.stated_end(file, start)) is not None:
        return _with_old_header(file, start, size, stated_end)
    if head.startswith(_UNCOUNTED):
        return Section(start, find_beginning(file, start + 4, size))
    if head[:5] == b"#!AMR":
        return Section(start, find_beginning(file, start + 5, size, ("amr",)))
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


def _with_old_header(file: BinaryIO, start: int, size: int, stated: int) -> Section:
    """Return the section of a file with a rare header, by which it ends at byte `stated`."""
    end = find_beginning(file, max(min(stated, size) - SLACK, start + 5), size)
    file.seek(start)
    left = max(end - stated, 0) if old_headers.is_read_as_stated(file.read(32)) else 0
    return Section(start, end, cut=stated > end + SLACK, left=left if left > SLACK else 0)


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
