"""Copy cover pictures between FLAC, Ogg, MP3, AIFF and M4A, and from WMA and Matroska. Each format stores them differently."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import mutagen
from mutagen import aiff, asf, flac, id3, mp3, mp4

from enhance_cli.audio.containers.matroska import attachments

OGG_KEY = "metadata_block_picture"
FRONT_COVER, BACK_COVER = 3, 4  # kinds of pictures in ID3v2
_MP4_FORMATS = {"image/jpeg": mp4.MP4Cover.FORMAT_JPEG, "image/png": mp4.MP4Cover.FORMAT_PNG}


def read_pictures(file: Any) -> list[flac.Picture]:
    """Return the pictures of a file. Raises ValueError or MutagenError if they are damaged."""
    if isinstance(file, flac.FLAC):
        return list(file.pictures)
    tags = getattr(file, "tags", None)
    if not tags:
        return []
    if isinstance(tags, id3.ID3):
        return [
            picture_of(frame.data, frame.type, mime=frame.mime, description=frame.desc) for frame in tags.getall("APIC")
        ]
    if isinstance(file, mp4.MP4):
        kinds = {format_: mime for mime, format_ in _MP4_FORMATS.items()}
        covers = tags.get("covr", [])
        return [picture_of(bytes(c), FRONT_COVER, mime=kinds.get(c.imageformat, "image/jpeg")) for c in covers]
    return [flac.Picture(base64.b64decode(text)) for text in tags.get(OGG_KEY, [])]


def write_pictures(file: mutagen.FileType | None, pictures: list[flac.Picture]) -> bool:
    """Add pictures to a file without saving it. Returns whether it can hold all of them."""
    if not pictures:
        return True
    if isinstance(file, flac.FLAC):
        for picture in pictures:
            file.add_picture(picture)
        return True
    if file is None:
        return False
    tags = tags_of(file)
    if isinstance(file, mp3.MP3 | aiff.AIFF):
        for number, p in enumerate(pictures):
            desc = p.desc or " " * number  # two of one type must not share a description
            tags.add(id3.APIC(encoding=id3.Encoding.UTF8, mime=p.mime, type=p.type, desc=desc, data=p.data))
        return True
    if isinstance(file, mp4.MP4):
        known = [p for p in pictures if p.mime in _MP4_FORMATS]
        tags["covr"] = [mp4.MP4Cover(p.data, _MP4_FORMATS[p.mime]) for p in known]
        return len(known) == len(pictures)
    tags[OGG_KEY] = [base64.b64encode(picture.write()).decode() for picture in pictures]
    return True


def tags_of(file: mutagen.FileType) -> Any:
    """Return the tags of a file, after adding empty ones if it has none: texts by name, or the frames of an MP3."""
    if file.tags is None:
        file.add_tags()
    return file.tags


def pictures_of_asf(path: Path) -> list[flac.Picture]:
    """Return the pictures of a WMA. A WM/Picture has kind, size, type and description in UTF-16, and data.

    Raises ValueError or MutagenError if its tags are damaged.
    """
    found = []
    try:
        attributes = asf.ASF(path).get("WM/Picture", [])
    except KeyError as error:  # a type of value that does not exist
        raise ValueError(f"no kind of value: {error}") from None
    for attribute in attributes:
        raw = bytes(attribute.value)
        texts = re.match(rb"(?:(?!\0\0)..)*\0\0(?:(?!\0\0)..)*\0\0", raw[5:], re.DOTALL)
        if texts:
            found.append(picture_of(raw[5 + texts.end() :], raw[0]))
    return found


def pictures_of_matroska(path: Path) -> tuple[list[flac.Picture], list[str]]:
    """Return the pictures attached to a Matroska file, and names for other attachments, such as fonts."""
    pictures, others = [], []
    with open(path, "rb") as file:
        for attached in attachments(file, 0, path.stat().st_size):
            if attached.mime.startswith("image/") and attached.data:
                text = attached.description or attached.name
                pictures.append(picture_of(attached.data, FRONT_COVER, mime=attached.mime, description=text))
            else:
                others.append(f"attachment {attached.name}")
    return pictures, others


def picture_of(data: bytes, kind: int, *, mime: str | None = None, description: str = "") -> flac.Picture:
    """Return a picture of this kind, as numbered in ID3v2. With `mime` None, its first bytes tell PNG from JPEG."""
    picture = flac.Picture()
    picture.data, picture.type, picture.desc = data, kind, description
    picture.mime = mime if mime is not None else "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    return picture
