"""Read chapters and cue sheets from the tags of a file, cut them to the part that was taken, and write them to the
output.

M4A gets its chapters from its encoder, MP3 as CHAP frames (ID3v2 Chapter Frame Addendum), FLAC and Ogg as comments
named CHAPTER001, CHAPTER001NAME, ..., WAV as cue points with labels.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mutagen
from mutagen import flac, id3, mp3

from enhance_cli.audio import riff_tags
from enhance_cli.audio.info import Chapter
from enhance_cli.audio.pictures import tags_of

_TIME = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
COMMENT = re.compile(r"CHAPTER\d{1,3}(?:NAME|URL)?", re.IGNORECASE)


def read_chapters(file: mutagen.FileType | None) -> tuple[Chapter, ...]:
    """Return the chapters in the tags of an open file. The last one without a known end ends at infinity."""
    if isinstance(file, mp3.MP3):
        frames: list[Any] = file.tags.getall("CHAP") if file.tags else []
        spans = [(frame.start_time / 1000, frame.end_time / 1000, _title(frame)) for frame in frames]
    else:
        comments: Any = getattr(file, "tags", None)
        named = comments.as_dict() if hasattr(comments, "as_dict") else {}
        tags = {key.upper(): values[0] for key, values in named.items()}
        starts = sorted(
            (_seconds(time), tags.get(f"{key}NAME", ""))
            for key, value in tags.items()
            if re.fullmatch(r"CHAPTER\d{1,3}", key) and (time := _TIME.match(value))
        )
        ends = [start for start, _ in starts[1:]] + [float("inf")]
        spans = [(start, end, title) for (start, title), end in zip(starts, ends)]
    return tuple(Chapter(*span) for span in sorted(spans))


def write_chapters(
    path: Path, file: mutagen.FileType | None, chapters: Sequence[Chapter], wave: bool, rate: int
) -> bool:
    """Write chapters to an output that is not M4A. Returns whether it can hold them. `wave`: whether it is a WAV."""
    if wave:
        count = len(chapters)
        points = b"".join(
            struct.pack("<II4sIII", n, round(c.start * rate), b"data", 0, 0, round(c.start * rate))
            for n, c in enumerate(chapters, 1)
        )
        labels = b"adtl"
        for number, chapter in enumerate(chapters, 1):
            text = struct.pack("<I", number) + chapter.title.encode() + b"\0"
            labels += struct.pack("<4sI", b"labl", len(text)) + text + bytes(len(text) % 2)
        riff_tags.append_chunk(path, b"cue ", struct.pack("<I", count) + points)
        riff_tags.append_chunk(path, b"LIST", labels)
        return True
    if file is None:
        return False
    tags = tags_of(file)
    if isinstance(file, mp3.MP3):
        names = [f"ch{number}" for number in range(len(chapters))]
        for name, chapter in zip(names, chapters):
            title = id3.TIT2(encoding=id3.Encoding.UTF8, text=[chapter.title])
            begin, end = round(1000 * chapter.start), round(1000 * min(chapter.end, 4e6))
            tags.add(id3.CHAP(element_id=name, start_time=begin, end_time=end, sub_frames=[title]))
        flags = id3.CTOCFlags.TOP_LEVEL | id3.CTOCFlags.ORDERED
        tags.add(id3.CTOC(element_id="toc", flags=flags, child_element_ids=names, sub_frames=[]))
    else:
        for number, chapter in enumerate(chapters, 1):
            minutes, seconds = divmod(chapter.start, 60)
            tags[f"CHAPTER{number:03d}"] = f"{minutes // 60:02.0f}:{minutes % 60:02.0f}:{seconds:06.3f}"
            tags[f"CHAPTER{number:03d}NAME"] = chapter.title
    file.save()
    return True


def copy_cue_sheet(old: mutagen.FileType | None, new: mutagen.FileType | None, same_time: bool) -> bool:
    """Copy the cue sheet of a FLAC to another of the same length and rate. Returns False if one cannot be kept."""
    sheet = getattr(old, "cuesheet", None)
    if sheet is None:
        return True
    if not isinstance(new, flac.FLAC) or not same_time:
        return False
    new.metadata_blocks.append(sheet)
    new.cuesheet = sheet
    new.save()
    return True


def _title(frame: Any) -> str:
    titles = frame.sub_frames.getall("TIT2")
    return str(titles[0]) if titles else ""


def _seconds(time: re.Match[str]) -> float:
    hours, minutes, seconds = time.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
