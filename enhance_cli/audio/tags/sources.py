"""Read the common fields of a file, such as title and artist, and its pictures.

Sources are Vorbis comments, ID3 (in MP3, TTA, a chunk of WAV or AIFF, or before any file), MP4 atoms, APEv2, chunks of WAV,
AIFF and CAF, and the texts that FFmpeg finds. All functions return the fields by their names in FLAC, and the names of all
others.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mutagen
from mutagen import apev2, flac, id3, mp3, mp4, oggflac, oggopus, oggvorbis, trueaudio

from enhance_cli.audio.containers.bounded import BoundedFile, Readable
from enhance_cli.audio.containers.chunks import Form, read_payload
from enhance_cli.audio.info import AudioInfo
from enhance_cli.audio.tags import riff_tags
from enhance_cli.audio.tags.chapters import COMMENT
from enhance_cli.audio.tags.pictures import BACK_COVER, FRONT_COVER, OGG_KEY, picture_of
from enhance_cli.audio.tags.wave_facts import describes_level

Fields = tuple[dict[str, list[str]], list[str]]

KINDS = [flac.FLAC, oggvorbis.OggVorbis, oggopus.OggOpus, oggflac.OggFLAC, mp3.MP3, mp4.MP4]
# field of FLAC and OGG: (ID3 frame, MP4 atom, WAV INFO chunk)
FIELDS = {
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
    "bpm": ("TBPM", "tmpo", ""),
}
CAF_KEYS = {  # of Apple's Core Audio Format specification, "Information Chunk"
    "title": "title", "artist": "artist", "album": "album", "date": "recorded date", "genre": "genre",
    "comment": "comments", "tracknumber": "track number", "composer": "composer", "copyright": "copyright",
    "bpm": "tempo",
}  # fmt: skip
ITUNES = ("iTunSMPB", "iTunPGAP")  # descriptions of comments in which iTunes keeps the delay of its encoder
_AIFF = {b"NAME": "title", b"AUTH": "artist", b"(c) ": "copyright", b"ANNO": "comment"}
# Facts about the samples of the old encoder, which are not true for the new samples.
TECHNICAL = {
    "TSSE", "TLEN", "TENC", "MLLT", "ASPI", "SEEK", "encoder", "\xa9too", "----:com.apple.iTunes:iTunSMPB",
    "waveformatextensible_channel_mask",
}  # fmt: skip
# Names of fields in FFmpeg and APEv2.
_OTHER_NAMES = {
    "track": "tracknumber", "disc": "discnumber", "album_artist": "albumartist", "album artist": "albumartist",
    "year": "date", "creation_time": "date", "description": "comment", "tempo": "bpm", "tmpo": "bpm", "tbpm": "bpm",
}  # fmt: skip
# Facts about the file, not about the recording.
_OF_THE_FILE = {
    "encoder", "major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id", "language", "duration",
    "software", "isfoundry", "number_of_frames", "bps", "number_of_bytes", "timecode", "encoded_by", "time_reference",
}  # fmt: skip


class ID3Tags:
    """Hold ID3 tags outside of an MP3, with the same attribute `tags` as mutagen's files."""

    def __init__(self, tags: id3.ID3):
        self.tags = tags


Tagged = mutagen.FileType | ID3Tags | None


def open_tags(path: Path, form: Form | None) -> Tagged:
    """Return the tags of a file. `form`: its chunks if it has any. Raises MutagenError if they are damaged."""
    with open(path, "rb") as file:
        if form is not None:
            chunk = form.find(b"id3 ") or form.find(b"ID3 ")
            return ID3Tags(id3.ID3(io.BytesIO(read_payload(file, chunk)))) if chunk else None
        bounded = BoundedFile(file)
        begins_with_id3 = bounded.read(3) == b"ID3"
        bounded.seek(0)
        try:
            return _opened(bounded)
        except mutagen.MutagenError:
            if not begins_with_id3:
                raise
        bounded.seek(0)
        try:  # a FLAC after an ID3 tag, because of which it was mistaken for an MP3
            return flac.FLAC(bounded)
        except mutagen.MutagenError:
            bounded.seek(0)
            return ID3Tags(id3.ID3(bounded))


def _opened(file: BoundedFile) -> Any:
    """Return the tags of a file of any format, or None. Raises MutagenError, also if mutagen fails on a damaged file."""
    try:
        return mutagen.File(file, options=KINDS)
    except IndexError as error:  # an Ogg page without a packet
        raise mutagen.MutagenError(str(error)) from None


def has_tags(file: Readable) -> bool:
    """Return whether a file has tags that describe its recording."""
    try:
        tags: Any = getattr(_opened(BoundedFile(file)), "tags", None)
    except mutagen.MutagenError:
        return False
    keys: list[str] = list(tags.keys()) if tags else []
    return any(key.lower() not in TECHNICAL and key not in TECHNICAL for key in keys)


def front_tags(path: Path) -> id3.ID3 | None:
    """Return the ID3 tags before a FLAC, None if there are none."""
    with open(path, "rb") as file:
        if file.read(3) != b"ID3":
            return None
        try:
            return id3.ID3(BoundedFile(file))
        except mutagen.MutagenError:
            return None


def has_id3(file: object) -> bool:
    """Return whether the tags of a file are ID3."""
    return isinstance(file, mp3.MP3 | ID3Tags | trueaudio.TrueAudio)


def is_named_by_number(file: Tagged) -> bool:
    """Return whether an MP4 has its texts under numbers (mdta). FFmpeg reads their names, mutagen does not."""
    keys: list[str] = list(file.tags or ()) if isinstance(file, mp4.MP4) else []
    return any(key.startswith("\0") for key in keys)


def from_ffmpeg(info: AudioInfo) -> Fields:
    """Return the common fields that FFmpeg has read."""
    fields: dict[str, list[str]] = {}
    lost = []
    for key, text in info.tags.items():
        name = key.lower().removeprefix("com.apple.quicktime.")
        field = name if name in FIELDS else _OTHER_NAMES.get(name)
        if field and text and field not in fields:
            fields[field] = [text]
        elif not field and name not in _OF_THE_FILE and not name.startswith(("_", "player")):
            lost.append(key)
    return fields, lost


def places_of_mp4(info: AudioInfo | None) -> list[str]:
    """Return the names of texts of phones and cameras in an MP4, which are outside of the tags that mutagen reads."""
    beside = ("location", "make", "model", "com.apple.quicktime.", "com.android.")
    return [key for key in (info.tags if info else ()) if key.lower().startswith(beside)]


def from_file(file: Tagged, gain: float) -> Fields:
    """Return the common fields of an open file. `gain`: gain of the samples in dB, which makes tags about levels wrong."""
    if file is None or not file.tags:
        return {}, []
    if has_id3(file):
        return from_id3(file.tags, gain)
    atoms = isinstance(file, mp4.MP4)
    names = {(ids[1] if atoms else field): field for field, ids in FIELDS.items()}
    fields: dict[str, list[str]] = {}
    lost = []
    for key in file.tags.keys():  # noqa: SIM118 - Vorbis comments iterate over pairs
        name = key if atoms else key.lower()
        if name in names:
            fields[names[name]] = _texts(file.tags[key])
        elif name not in ("covr", OGG_KEY) and not COMMENT.fullmatch(name) and name not in TECHNICAL:
            lost.append(name)
    return fields, lost


def from_id3(tags: id3.ID3, gain: float) -> Fields:
    """Return the common fields of ID3 tags. Comments with a description are not among them."""
    names = {ids[0]: field for field, ids in FIELDS.items()}
    fields: dict[str, list[str]] = {}
    lost = []
    for key in sorted(tags.keys()):
        name = key.split(":")[0]
        if name == "COMM" and tags[key].desc not in ("", "ID3v1 Comment"):
            lost += [] if tags[key].desc in ITUNES else [key]
        elif name == "COMM":
            fields.setdefault("comment", _texts(tags[key]))
        elif name == "TCON":
            fields["genre"] = list(tags[key].genres)
        elif name in names:
            fields[names[name]] = _texts(tags[key])
        elif name == "CHAP":
            lost += sorted({f"{part} of chapters" for part in tags[key].sub_frames if part != "TIT2"})
        elif name not in ("APIC", "CTOC") and name not in TECHNICAL:
            lost.append(key if gain and describes_level(key) else name)
    return fields, lost


def from_ape(
    tags: apev2.APEv2, known: Iterable[str] = ()
) -> tuple[dict[str, list[str]], list[str], list[flac.Picture]]:
    """Return common fields, names of others, and pictures of an APEv2 tag. `known`: ID3 frames that take precedence."""
    fields: dict[str, list[str]] = {}
    lost: list[str] = []
    pictures: list[flac.Picture] = []
    items: Any = tags.items()
    for key, value in items:
        name = _OTHER_NAMES.get(key.lower(), key.lower())
        if key.lower().startswith("cover art") and b"\0" in bytes(value.value):
            kind = BACK_COVER if "back" in key.lower() else FRONT_COVER
            pictures.append(picture_of(bytes(value.value).partition(b"\0")[2], kind))
        elif name in FIELDS and isinstance(value, apev2.APETextValue):
            if not any(frame.startswith(FIELDS[name][0]) for frame in known):
                fields[name] = list(value)
        elif not key.lower().startswith(("mp3gain", "encoder")):
            lost.append(key)
    return fields, lost, pictures


def from_chunks(path: Path, form: Form, taken: Iterable[bytes] = ()) -> Fields:
    """Return the common fields in the chunks of a WAV, AIFF or CAF. `taken`: chunks that are copied elsewhere."""
    names = {ids[2]: field for field, ids in FIELDS.items() if ids[2]}
    fields: dict[str, list[str]] = {}
    lost = []
    with open(path, "rb") as file:
        for chunk in form.chunks:
            file.seek(chunk.start)
            kind = file.read(4) if chunk.name == b"LIST" else chunk.name
            if chunk.name in riff_tags.AUDIO or kind in taken:
                continue
            if form.kind == "AIFF" and chunk.name in _AIFF:
                fields.setdefault(_AIFF[chunk.name], []).append(_decode(read_payload(file, chunk).rstrip(b"\0")))
            elif form.kind == "CAF" and chunk.name == b"info":
                more, others = _caf_texts(read_payload(file, chunk, skip=4))
                fields.update(more)
                lost += others
            elif kind == b"INFO":
                for name, text in _info_texts(read_payload(file, chunk, skip=4)):
                    if name in names:
                        fields[names[name]] = [_decode(text)]
                    elif name != "ISFT":
                        lost.append(name)
            else:
                lost.append(chunk.name.decode("ascii").strip())
    return fields, lost


def _caf_texts(body: bytes) -> Fields:
    parts = body.split(b"\0")
    names = {key: field for field, key in CAF_KEYS.items()} | {"year": "date"}
    fields, lost = {}, []
    for key, value in zip(parts[::2], parts[1::2]):
        name = _decode(key)
        field = names.get(name) or _OTHER_NAMES.get(name)
        if field:
            fields[field] = [_decode(value)]
        elif name not in ("encoding application", "source encoder", "encoder", "channel layout", ""):
            lost.append(name)
    return fields, lost


def _info_texts(body: bytes) -> Iterable[tuple[str, bytes]]:
    while len(body) >= 8:
        name, size = struct.unpack_from("<4sI", body)
        yield name.decode("latin-1"), body[8 : 8 + size].rstrip(b"\0")
        body = body[8 + size + size % 2 :]


def _texts(value: Any) -> list[str]:
    values = getattr(value, "text", value)
    return ["/".join(str(n) for n in v if n) if isinstance(v, tuple) else str(v) for v in values]


def _decode(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")
