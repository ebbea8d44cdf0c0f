"""Write the common fields of a recording, such as title and artist, into a file in the way of its format."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path

import mutagen
from mutagen import aiff, id3, mp3, mp4

from enhance_cli.audio.containers.chunks import Form
from enhance_cli.audio.tags import riff_tags
from enhance_cli.audio.tags.pictures import tags_of
from enhance_cli.audio.tags.sources import CAF_KEYS, FIELDS


def write_fields(
    path: Path, form: Form | None, file: mutagen.FileType | None, fields: dict[str, list[str]]
) -> list[str]:
    """Write the common fields to a file of any format. Returns the names of those that it cannot hold."""
    if not fields:
        return []
    if form is not None and form.kind in ("RIFF", "RF64"):
        known = {FIELDS[field][2]: texts for field, texts in fields.items() if FIELDS[field][2]}
        info = b"INFO" + b"".join(_info(name, "; ".join(texts)) for name, texts in known.items())
        riff_tags.append_chunk(path, b"LIST", info)
        return [field for field in fields if not FIELDS[field][2]]
    if form is not None and form.kind == "CAF":
        said = {CAF_KEYS[field]: "; ".join(texts) for field, texts in fields.items() if field in CAF_KEYS}
        body = b"".join(f"{key}\0{text}\0".encode() for key, text in said.items())
        riff_tags.append_chunk(path, b"info", struct.pack(">I", len(said)) + body)
        return [field for field in fields if field not in CAF_KEYS]
    if file is None:
        return list(fields)
    for field, texts in fields.items():
        _set(file, field, texts)
    return []


def _set(file: mutagen.FileType, field: str, texts: Sequence[str]) -> None:
    frame, atom, _ = FIELDS[field]
    tags = tags_of(file)
    if isinstance(file, mp3.MP3 | aiff.AIFF):
        extra = {"lang": "eng", "desc": ""} if frame == "COMM" else {}
        tags.add(getattr(id3, frame)(encoding=id3.Encoding.UTF8, text=texts, **extra))
    elif isinstance(file, mp4.MP4):
        convert = {"trkn": _pair, "disk": _pair, "tmpo": _whole}.get(atom)
        tags[atom] = [convert(texts[0])] if convert else texts
    else:
        tags[field] = texts


def _info(name: str, text: str) -> bytes:
    raw = text.encode("utf-8") + b"\0"
    return struct.pack("<4sI", name.encode("ascii"), len(raw)) + raw + bytes(len(raw) % 2)


def _pair(text: str) -> tuple[int, int]:
    """Return (3, 12) for "3/12", as MP4 counts tracks."""
    numbers = [int(part) if part.strip().isdigit() else 0 for part in text.split("/")]
    return numbers[0], numbers[1] if len(numbers) > 1 else 0


def _whole(text: str) -> int:
    """Return 128 for "128.3 BPM", as MP4 holds the tempo, or 0 (not known) for a text without a number."""
    number = re.match(r"\s*(\d{1,4}(\.\d*)?)", text)
    return round(float(number[1])) if number else 0
