"""Carries title, artist, pictures, time code and whatever else a file says about itself to the file made
from it.

Between files of one kind everything is copied; between kinds the common fields below are; the rest is
named, so that the user can be told. Files are recognised by content, since an output is tagged before it
gets its name.
"""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import mutagen
from mutagen import flac, id3, mp3, mp4, oggflac, oggopus, oggvorbis

from enhance_cli.audio import riff_tags
from enhance_cli.audio.bounded import BoundedFile
from enhance_cli.audio.chunks import Form, read_payload, walk
from enhance_cli.errors import AudioError

_KINDS = [flac.FLAC, oggvorbis.OggVorbis, oggopus.OggOpus, oggflac.OggFLAC, mp3.MP3, mp4.MP4]
_COMMENTS = (flac.FLAC, oggvorbis.OggVorbis, oggopus.OggOpus, oggflac.OggFLAC)  # all have Vorbis comments
_PICTURE = "metadata_block_picture"
# field of FLAC and OGG: (ID3 frame, MP4 atom, WAV INFO chunk)
_FIELDS = {
    "title": ("TIT2", "\xa9nam", "INAM"),
    "artist": ("TPE1", "\xa9ART", "IART"),
    "album": ("TALB", "\xa9alb", "IPRD"),
    "date": ("TDRC", "\xa9day", "ICRD"),
    "genre": ("TCON", "\xa9gen", "IGNR"),
    "comment": ("COMM", "\xa9cmt", "ICMT"),
    "tracknumber": ("TRCK", "trkn", "ITRK"),
    "discnumber": ("TPOS", "disk", ""),
    "albumartist": ("TPE2", "aART", ""),
    "composer": ("TCOM", "\xa9wrt", ""),
    "copyright": ("TCOP", "cprt", "ICOP"),
}
# What the old encoder said about its own samples, which is not true of the new ones.
_TECHNICAL = {"TSSE", "TLEN", "TENC", "encoder", "\xa9too", "----:com.apple.iTunes:iTunSMPB"}


def copy_tags(source: Path, target: Path, start: float = 0.0) -> list[str]:
    """Copy what `source` says about itself to `target`, an audio file that begins `start` s into it.

    Returns the names of what could not be carried (none: []). Raises AudioError if `target` cannot be
    written.
    """
    try:
        with open(source, "rb") as old, open(target, "rb") as new:
            before, after = walk(old), walk(new)
        if riff_tags.can_copy(before, after):
            return riff_tags.copy_chunks(source, target, start)
        with open(source, "rb") as file:
            old = mutagen.File(BoundedFile(file), options=_KINDS)
        if before is None and not (old and (old.tags or getattr(old, "pictures", None))):
            return []
        new = mutagen.File(target, options=_KINDS)
        if isinstance(old, _COMMENTS) and isinstance(new, _COMMENTS):
            return _copy_pictures(old, new) + _copy_all(old, new)
        if old is not None and type(old) is type(new):
            return _copy_all(old, new)
        fields, lost = _read(source, before, old)
        return sorted({*lost, *_write(target, after, new, fields)})
    except mutagen.MutagenError as error:
        return [f"all tags ({error})"]
    except OSError as error:
        raise AudioError(f"{target} could not be tagged ({error.strerror})", "is the disk full?") from None


def _copy_pictures(old: mutagen.FileType, new: mutagen.FileType) -> list[str]:
    """FLAC keeps them apart from its comments, Ogg among them, as base64. Returns ["pictures"] if they are damaged."""
    if isinstance(old, flac.FLAC):
        pictures = old.pictures
    else:
        try:
            pictures = [flac.Picture(base64.b64decode(text)) for text in (old.tags or {}).get(_PICTURE, [])]
        except (ValueError, mutagen.MutagenError):
            return ["pictures"]
    if isinstance(new, flac.FLAC):
        for picture in pictures:
            new.add_picture(picture)
    elif pictures:
        if new.tags is None:
            new.add_tags()
        new.tags[_PICTURE] = [base64.b64encode(picture.write()).decode() for picture in pictures]
    return []


def _copy_all(old: mutagen.FileType, new: mutagen.FileType) -> list[str]:
    if old.tags:
        if new.tags is None:
            new.add_tags()
        for key in old.tags.keys():  # noqa: SIM118 - Vorbis comments iterate over pairs
            if key.split(":")[0] not in _TECHNICAL and key not in _TECHNICAL and key.lower() != _PICTURE:
                new.tags[key] = old.tags[key]
    new.save()
    return []


def _read(path: Path, form: Form | None, file: mutagen.FileType | None) -> tuple[dict[str, list[str]], list[str]]:
    """The common fields of a file, and the names of all else it says."""
    if form is not None:
        return _read_info(path, form)
    if file is None or not file.tags:
        return {}, []
    column = {mp3.MP3: 0, mp4.MP4: 1}.get(type(file))
    names = {(ids[column] if column is not None else field): field for field, ids in _FIELDS.items()}
    fields: dict[str, list[str]] = {}
    lost = ["pictures"] if getattr(file, "pictures", None) else []
    for key in file.tags.keys():  # noqa: SIM118
        name = key.split(":")[0] if column == 0 else key if column == 1 else key.lower()
        if name in names:
            fields[names[name]] = _texts(file.tags[key])
        elif name not in _TECHNICAL and key not in _TECHNICAL:
            lost.append(name)
    return fields, lost


def _texts(value) -> list[str]:
    values = getattr(value, "text", value)
    return ["/".join(str(n) for n in v if n) if isinstance(v, tuple) else str(v) for v in values]


def _read_info(path: Path, form: Form) -> tuple[dict[str, list[str]], list[str]]:
    names = {ids[2]: field for field, ids in _FIELDS.items() if ids[2]}
    fields: dict[str, list[str]] = {}
    lost = []
    with open(path, "rb") as file:
        for chunk in form.chunks:
            file.seek(chunk.start)
            if chunk.name != b"LIST" or file.read(4) != b"INFO":
                if form.kind in ("RIFF", "RF64", "AIFF", "CAF") and chunk.name not in riff_tags.AUDIO:
                    lost.append(chunk.name.decode("ascii").strip())
                continue
            body = read_payload(file, chunk, skip=4)
            while len(body) >= 8:
                name, size = struct.unpack_from("<4sI", body)
                name, text = name.decode("latin-1"), body[8 : 8 + size].rstrip(b"\0")
                body = body[8 + size + size % 2 :]
                if name in names:
                    fields[names[name]] = [_decode(text)]
                elif name != "ISFT":
                    lost.append(name)
    return fields, lost


def _decode(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")


def _write(path: Path, form: Form | None, file: mutagen.FileType | None, fields: dict[str, list[str]]) -> list[str]:
    """Write the common fields to a file of any kind; returns the names of those it has no place for."""
    if not fields:
        return []
    if form is not None and form.kind in ("RIFF", "RF64"):
        known = {_FIELDS[field][2]: texts for field, texts in fields.items() if _FIELDS[field][2]}
        info = b"INFO" + b"".join(_info(name, "; ".join(texts)) for name, texts in known.items())
        riff_tags.append_chunk(path, b"LIST", info)
        return [field for field in fields if not _FIELDS[field][2]]
    if file is None:
        return list(fields)
    if file.tags is None:
        file.add_tags()
    for field, texts in fields.items():
        frame, atom, _ = _FIELDS[field]
        if isinstance(file, mp3.MP3):
            extra = {"lang": "eng", "desc": ""} if frame == "COMM" else {}
            file.tags.add(getattr(id3, frame)(encoding=id3.Encoding.UTF8, text=texts, **extra))
        elif isinstance(file, mp4.MP4):
            file.tags[atom] = [_pair(texts[0])] if atom in ("trkn", "disk") else texts
        else:
            file.tags[field] = texts
    file.save()
    return []


def _info(name: str, text: str) -> bytes:
    raw = text.encode("utf-8") + b"\0"
    return struct.pack("<4sI", name.encode("ascii"), len(raw)) + raw + bytes(len(raw) % 2)


def _pair(text: str) -> tuple[int, int]:
    """ "3/12" -> (3, 12), as MP4 counts tracks."""
    numbers = [int(part) if part.strip().isdigit() else 0 for part in text.split("/")]
    return numbers[0], numbers[1] if len(numbers) > 1 else 0
