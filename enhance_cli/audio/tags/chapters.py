"""Read chapters and cue sheets from the tags of a file, cut them to the processed part, and write them to the output.

The encoder of M4A writes chapters itself. In MP3 they are CHAP frames (ID3v2 Chapter Frame Addendum), in FLAC and Ogg
comments named CHAPTER001, CHAPTER001NAME, ..., in WAV cue points with labels. Cue points of WAV and markers of AIFF are also
read as chapters.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mutagen
from mutagen import aiff, flac, id3, mp3

from enhance_cli.audio.containers.chunks import Form, promise, read_payload
from enhance_cli.audio.info import Chapter
from enhance_cli.audio.tags import riff_tags
from enhance_cli.audio.tags.pictures import tags_of

_TIME = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
COMMENT = re.compile(r"CHAPTER\d{1,3}(?:NAME|URL)?", re.IGNORECASE)


def read_chapters(file: Any) -> tuple[Chapter, ...]:
    """Return the chapters in the tags of an open file. If the end of the last one is not known, it is infinite."""
    if isinstance(getattr(file, "tags", None), id3.ID3):
        frames: list[Any] = file.tags.getall("CHAP")
        spans = [(frame.start_time / 1000, frame.end_time / 1000, _title(frame)) for frame in frames]
    else:
        comments: Any = getattr(file, "tags", None)
        named = comments.as_dict() if hasattr(comments, "as_dict") else {}
        tags = {key.upper(): values[0] for key, values in named.items()}
        return _each_to_the_next(
            (_seconds(time), tags.get(f"{key}NAME", ""))
            for key, value in tags.items()
            if re.fullmatch(r"CHAPTER\d{1,3}", key) and (time := _TIME.match(value))
        )
    return tuple(Chapter(*span) for span in sorted(spans))


def _each_to_the_next(starts: Iterable[tuple[float, str]]) -> tuple[Chapter, ...]:
    """Return chapters with the given (start in seconds, title), each of which ends where the next one begins."""
    ordered = sorted(starts)
    ends = [start for start, _ in ordered[1:]] + [float("inf")]
    return tuple(Chapter(start, end, title) for (start, title), end in zip(ordered, ends))


def read_markers(path: Path, form: Form) -> tuple[Chapter, ...]:
    """Return the cue points of a WAV with their labels, or the markers of an AIFF, as chapters."""
    with open(path, "rb") as file:
        stated = promise(file)
        if stated is None or not stated.rate > 0:
            return ()
        marks = form.find(b"MARK") if form.kind == "AIFF" else form.find(b"cue ")
        if marks is None or form.kind not in ("AIFF", "RIFF", "RF64"):
            return ()
        body = read_payload(file, marks)
        if form.kind == "AIFF":
            return _each_to_the_next((at / stated.rate, name) for at, name in _aiff_marks(body))
        labels: dict[int, str] = {}
        for chunk in form.chunks:
            text = read_payload(file, chunk) if chunk.name == b"LIST" else b""
            if text[:4] == b"adtl":
                labels |= _labels(text[4:], form.order)
    points = (struct.unpack_from(form.order + "II4sIII", body, at) for at in range(4, len(body) - 23, 24))
    return _each_to_the_next((point[5] / stated.rate, labels.get(point[0], "")) for point in points)


def _aiff_marks(body: bytes) -> Iterator[tuple[int, str]]:
    at = 2
    while at + 7 <= len(body):
        position, length = struct.unpack_from(">IB", body, at + 2)
        yield position, body[at + 7 : at + 7 + length].decode("utf-8", "replace")
        at += 7 + length + (length + 1) % 2


def _labels(body: bytes, order: str) -> dict[int, str]:
    found = {}
    while len(body) >= 8:
        name, size = struct.unpack_from(order + "4sI", body)
        if name == b"labl" and size >= 4 and len(body) >= 12:
            text = body[12 : 8 + size].rstrip(b"\0")
            found[struct.unpack_from(order + "I", body, 8)[0]] = text.decode("utf-8", "replace")
        body = body[8 + size + size % 2 :]
    return found


def copy_id3_chapters(old: mp3.MP3, new: mp3.MP3, start: float, duration: float | None) -> None:
    """Copy the chapters of an MP3 to another, with pictures and links, and times relative to `start` in seconds."""
    tags: Any = old.tags or id3.ID3()
    frames: list[Any] = tags.getall("CHAP")
    end = float("inf") if duration is None else duration
    kept = []
    for frame in frames:
        begin, stop = max(frame.start_time / 1000 - start, 0), min(frame.end_time / 1000 - start, end)
        if stop > begin:
            parts = list(frame.sub_frames.values())
            kept.append(frame.element_id)
            times = {"start_time": round(1000 * begin), "end_time": round(1000 * stop)}
            tags_of(new).add(id3.CHAP(element_id=frame.element_id, sub_frames=parts, **times))
    for table in tags.getall("CTOC") if kept else []:
        children = [name for name in table.child_element_ids if name in kept or f"CTOC:{name}" in tags]
        parts = list(table.sub_frames.values())
        table = id3.CTOC(element_id=table.element_id, flags=table.flags, child_element_ids=children, sub_frames=parts)
        tags_of(new).add(table)


def write_chapters(
    path: Path, file: mutagen.FileType | None, chapters: Sequence[Chapter], wave: bool, rate: int
) -> bool:
    """Write chapters to an output other than M4A. Its tags still have to be saved. Returns whether it can hold chapters.

    `wave`: the output is a WAV.
    """
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
    if file is None or isinstance(file, aiff.AIFF):
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
    return True


def copy_cue_sheet(old: object, new: mutagen.FileType | None, same_time: bool) -> bool:
    """Copy the cue sheet of a FLAC to another of the same length and rate, which must be saved. Returns False if it is lost."""
    sheet = getattr(old, "cuesheet", None)
    if sheet is None:
        return True
    if not isinstance(new, flac.FLAC) or not same_time:
        return False
    new.metadata_blocks.append(sheet)
    new.cuesheet = sheet
    return True


def _title(frame: Any) -> str:
    titles = frame.sub_frames.getall("TIT2")
    return str(titles[0]) if titles else ""


def _seconds(time: re.Match[str]) -> float:
    hours, minutes, seconds = time.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
