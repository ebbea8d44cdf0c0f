"""Carry texts, pictures and chapters between files whose tags mutagen reads, and to and from WAV.

Between files of one kind everything is copied. Between kinds the common fields below are, and the rest is named, so
that the user can be told. Files are recognized by content, since an output is tagged before it gets its name.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import mutagen
from mutagen import apev2, flac, id3, mp3, mp4, oggflac, oggopus, oggvorbis

from enhance_cli.audio import riff_tags
from enhance_cli.audio.bounded import BoundedFile
from enhance_cli.audio.chapters import COMMENT, copy_cue_sheet, read_chapters, write_chapters
from enhance_cli.audio.chunks import Form, read_payload
from enhance_cli.audio.info import AudioInfo, cut_chapters
from enhance_cli.audio.pictures import OGG_KEY, read_pictures, tags_of, write_pictures
from enhance_cli.audio.wave_facts import Change, describes_level

KINDS = [flac.FLAC, oggvorbis.OggVorbis, oggopus.OggOpus, oggflac.OggFLAC, mp3.MP3, mp4.MP4]
_COMMENTS = (flac.FLAC, oggvorbis.OggVorbis, oggopus.OggOpus, oggflac.OggFLAC)  # all have Vorbis comments
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
# Facts about the samples of the old encoder, which are not true of the new ones.
_TECHNICAL = {
    "TSSE", "TLEN", "TENC", "encoder", "\xa9too", "----:com.apple.iTunes:iTunSMPB", "waveformatextensible_channel_mask",
}  # fmt: skip
# Names that FFmpeg has for fields -> field. Then those of facts about the file rather than the recording.
_FFMPEG = {
    "track": "tracknumber", "disc": "discnumber", "album_artist": "albumartist", "year": "date", "creation_time": "date",
    "description": "comment",
}  # fmt: skip
_OF_THE_FILE = {
    "encoder", "major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id", "language", "duration",
    "software", "isfoundry", "number_of_frames", "bps", "number_of_bytes", "timecode", "encoded_by", "time_reference",
}  # fmt: skip


def copy_fields(
    source: Path,
    target: Path,
    forms: tuple[Form | None, Form | None],
    rate: int,
    *,
    info: AudioInfo | None,
    change: Change,
) -> list[str]:
    """Copy the descriptions of a file to the one made from it. Returns the names of fields that could not be carried.

    `forms`: chunks of both, None for files that have none. `rate`: that of `target` in Hz, as its chunks say, or 0. Other
    arguments as in `tags.copy_tags`. Raises OSError as the file system gives it.
    """
    before, after = forms
    try:
        old, new = _opened(source), mutagen.File(target, options=KINDS)
        lost = _copy_texts(source, target, before, after, old, new, info, change)
        known = info.chapters if info and info.chapters else read_chapters(old)
        chapters = cut_chapters(known, change.start, change.duration)
        if chapters and not isinstance(new, mp4.MP4):
            wave = after is not None and after.kind in ("RIFF", "RF64")
            if not write_chapters(target, new, chapters, wave, rate):
                lost.append("chapters")
        elif chapters and not (info and info.chapters):
            lost.append("chapters")
        whole = not change.start and _same_length(old, new)
        if not copy_cue_sheet(old, new, whole):
            lost.append("cuesheet")
        return sorted(set(lost))
    except mutagen.MutagenError as error:
        return [f"all tags ({error})"]


def _opened(path: Path) -> mutagen.FileType | None:
    with open(path, "rb") as file:
        try:
            return mutagen.File(BoundedFile(file), options=KINDS)
        except mutagen.MutagenError:
            file.seek(0)
            try:
                return flac.FLAC(BoundedFile(file))  # behind an ID3 tag, by which it was taken for an MP3
            except mutagen.MutagenError:
                pass
            raise


def _same_length(old: mutagen.FileType | None, new: mutagen.FileType | None) -> bool:
    if not isinstance(old, flac.FLAC) or not isinstance(new, flac.FLAC):
        return False
    return (old.info.sample_rate, old.info.total_samples) == (new.info.sample_rate, new.info.total_samples)


def _copy_texts(
    source: Path,
    target: Path,
    before: Form | None,
    after: Form | None,
    old: mutagen.FileType | None,
    new: mutagen.FileType | None,
    info: AudioInfo | None,
    change: Change,
) -> list[str]:
    """Carry texts and pictures. Returns the names of those that could not be."""
    named = info if info is not None and info.tags and not (old is not None and old.tags) else None
    if before is None and not named and not (old and (old.tags or getattr(old, "pictures", None))):
        return _annotation(source) + _from_ape(source, target, after, new, {})
    lost = _from_ape(source, target, after, new, old.tags) if isinstance(old, mp3.MP3) else []
    try:
        pictures = read_pictures(old)
    except (ValueError, mutagen.MutagenError):
        pictures, lost = [], [*lost, "pictures"]
    if old is not None and type(old) is type(new) and not isinstance(new, _COMMENTS):
        return lost + _copy_all(old, new, change)
    kept = write_pictures(new, pictures)
    if pictures and not kept:
        lost.append("APIC" if isinstance(old, mp3.MP3) else "covr" if isinstance(old, mp4.MP4) else "pictures")
    if isinstance(old, _COMMENTS) and isinstance(new, _COMMENTS):
        return lost + _copy_all(old, new, change)
    if named:
        fields, others = _from_ffmpeg(named)
    else:
        fields, others = _read(source, before, old, change)
    if pictures and kept and new is not None:
        new.save()
    return lost + others + _write(target, after, new, fields)


def _from_ffmpeg(info: AudioInfo) -> tuple[dict[str, list[str]], list[str]]:
    """Return the common fields that FFmpeg has read, and the names of the rest."""
    fields: dict[str, list[str]] = {}
    lost = []
    for key, text in info.tags.items():
        name = key.lower()
        field = name if name in _FIELDS else _FFMPEG.get(name)
        if field and text and field not in fields:
            fields[field] = [text]
        elif not field and name not in _OF_THE_FILE and not name.startswith(("_", "com.apple.quicktime.player")):
            lost.append(key)
    return fields, lost


def _from_ape(source: Path, target: Path, form: Form | None, new: mutagen.FileType | None, frames: Any) -> list[str]:
    """Carry the items of an APEv2 tag, which MP3 files of some programs have, that are not in their ID3 `frames` too."""
    try:
        tags = apev2.APEv2(source)
    except mutagen.MutagenError:
        return []
    names = {"track": "tracknumber", "year": "date", "album artist": "albumartist", "disc": "discnumber"}
    fields, lost = {}, []
    for key, value in tags.items():
        name = names.get(key.lower(), key.lower())
        if name in _FIELDS and isinstance(value, apev2.APETextValue):
            if not any(key.startswith(_FIELDS[name][0]) for key in frames or ()):
                fields[name] = list(value)
        elif not key.lower().startswith("mp3gain"):
            lost.append(key)
    return lost + _write(target, form, new, fields)


def _annotation(source: Path) -> list[str]:
    """Return ["annotation"] for an AU file with a text in its header, which no other format has a place for."""
    with open(source, "rb") as file:
        head = file.read(8)
        if head[:4] != b".snd" or len(head) < 8:
            return []
        file.seek(24)
        return ["annotation"] if file.read(min(struct.unpack(">I", head[4:])[0] - 24, 4096)).strip(b"\0") else []


def _copy_all(old: mutagen.FileType, new: mutagen.FileType, change: Change) -> list[str]:
    lost: list[str] = []
    if old.tags:
        tags = tags_of(new)
        for key in old.tags.keys():  # noqa: SIM118 - Vorbis comments iterate over pairs
            if key.split(":")[0] in _TECHNICAL or key in _TECHNICAL or key.lower() in (OGG_KEY, *_TECHNICAL):
                continue
            if change.gain and describes_level(key):
                lost.append(key)
            elif not key.startswith(("CHAP:", "CTOC:")) and not COMMENT.fullmatch(key):
                tags[key] = old.tags[key]
    if isinstance(old, mp3.MP3) and old.tags and old.tags.version[:2] == (2, 3):
        new.tags.update_to_v23()
        new.save(v2_version=3)
    else:
        new.save()
    return lost


def _read(
    path: Path, form: Form | None, file: mutagen.FileType | None, change: Change
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the common fields of a file, and the names of all others."""
    if form is not None:
        return _read_info(path, form)
    if file is None or not file.tags:
        return {}, []
    column = {mp3.MP3: 0, mp4.MP4: 1}.get(type(file))
    names = {(ids[column] if column is not None else field): field for field, ids in _FIELDS.items()}
    fields: dict[str, list[str]] = {}
    lost = []
    for key in file.tags.keys():  # noqa: SIM118
        name = key.split(":")[0] if column == 0 else key if column == 1 else key.lower()
        if name in names:
            fields[names[name]] = _texts(file.tags[key])
        elif name in ("APIC", "CHAP", "CTOC", "covr", OGG_KEY) or COMMENT.fullmatch(name):
            continue  # carried by chapters.py and pictures.py
        elif name not in _TECHNICAL and key not in _TECHNICAL and not (change.gain and describes_level(key)):
            lost.append(name)
        elif change.gain and describes_level(key):
            lost.append(key)
    return fields, lost


def _texts(value: Any) -> list[str]:
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
                if chunk.name not in riff_tags.AUDIO:
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
    """Write the common fields to a file of any kind. Returns the names of those it has no place for."""
    if not fields:
        return []
    if form is not None and form.kind in ("RIFF", "RF64"):
        known = {_FIELDS[field][2]: texts for field, texts in fields.items() if _FIELDS[field][2]}
        info = b"INFO" + b"".join(_info(name, "; ".join(texts)) for name, texts in known.items())
        riff_tags.append_chunk(path, b"LIST", info)
        return [field for field in fields if not _FIELDS[field][2]]
    if file is None:
        return list(fields)
    tags = tags_of(file)
    for field, texts in fields.items():
        frame, atom, _ = _FIELDS[field]
        if isinstance(file, mp3.MP3):
            extra = {"lang": "eng", "desc": ""} if frame == "COMM" else {}
            tags.add(getattr(id3, frame)(encoding=id3.Encoding.UTF8, text=texts, **extra))
        elif isinstance(file, mp4.MP4):
            tags[atom] = [_pair(texts[0])] if atom in ("trkn", "disk") else texts
        else:
            tags[field] = texts
    file.save()
    return []


def _info(name: str, text: str) -> bytes:
    raw = text.encode("utf-8") + b"\0"
    return struct.pack("<4sI", name.encode("ascii"), len(raw)) + raw + bytes(len(raw) % 2)


def _pair(text: str) -> tuple[int, int]:
    """Return (3, 12) for "3/12", as MP4 counts tracks."""
    numbers = [int(part) if part.strip().isdigit() else 0 for part in text.split("/")]
    return numbers[0], numbers[1] if len(numbers) > 1 else 0
