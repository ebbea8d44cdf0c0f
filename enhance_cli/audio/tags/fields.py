"""Copy texts, pictures and chapters between files whose tags mutagen reads, and to and from WAV, AIFF and CAF.

Between files of the same format, everything is copied. Between formats, the common fields (see sources.py) are copied, and
the names of all others are returned, so that the user can be told. Formats are recognized by content, since an output is
tagged before it gets its final name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen
from mutagen import aiff, apev2, flac, mp3, mp4, oggflac, oggopus, oggvorbis

from enhance_cli.audio.containers.chunks import Form, walk
from enhance_cli.audio.info import AudioInfo, Chapter, cut_chapters
from enhance_cli.audio.tags.chapters import (
    COMMENT,
    copy_cue_sheet,
    copy_id3_chapters,
    read_chapters,
    read_markers,
    write_chapters,
)
from enhance_cli.audio.tags.mark import MARK, annotation
from enhance_cli.audio.tags.pictures import (
    OGG_KEY,
    pictures_of_asf,
    pictures_of_matroska,
    read_pictures,
    tags_of,
    write_pictures,
)
from enhance_cli.audio.tags.sources import (
    ITUNES,
    KINDS,
    TECHNICAL,
    Fields,
    Tagged,
    from_ape,
    from_chunks,
    from_ffmpeg,
    from_file,
    from_id3,
    front_tags,
    has_id3,
    is_named_by_number,
    open_tags,
    places_of_mp4,
)
from enhance_cli.audio.tags.wave_facts import Change, describes_level
from enhance_cli.audio.tags.writing import write_fields

_COMMENTS = (flac.FLAC, oggvorbis.OggVorbis, oggopus.OggOpus, oggflac.OggFLAC)  # all have Vorbis comments
_TIMED = ("SYLT", "ETCO", "POSS")  # ID3 frames with times from the beginning of the file
_FOREIGN = (b"riff", b"aiff", b"w64 ")  # blocks with the chunks of the file from which a FLAC was made
_ASF, _MATROSKA = b"\x30\x26\xb2\x75", b"\x1aE\xdf\xa3"


@dataclass(frozen=True)
class _File:
    """Hold a file with its chunks (None if it has none) and its tags as mutagen reads them."""

    path: Path
    form: Form | None
    tags: Any


def copy_fields(
    source: Path,
    target: Path,
    forms: tuple[Form | None, Form | None],
    rate: int,
    *,
    info: AudioInfo | None,
    change: Change,
) -> list[str]:
    """Copy the metadata of a file to its output. Returns the names of fields that could not be copied.

    `forms`: chunks of both files, None for files without chunks. `rate`: rate of `target` in Hz according to its chunks, or
    0. For other arguments see carry.copy_tags. Errors of the file system are raised as OSError.
    """
    before, after = forms
    try:
        old = open_tags(source, before)
        new = aiff.AIFF(target) if after and after.kind == "AIFF" else mutagen.File(target, options=KINDS)
        files = _File(source, before, old), _File(target, after, new)
        lost = _copy_texts(*files, info, change)
        lost += _copy_chapters(*files, rate, info, change)
        whole = not change.start and _same_length(old, new)
        if not copy_cue_sheet(old, new, whole):
            lost.append("cuesheet")
        lost += _copy_blocks(old, new, whole)
        _save(old, new)
        return sorted(set(lost))
    except mutagen.MutagenError as error:
        return [f"all tags ({error})"]


def chapters_of(path: Path) -> tuple[Chapter, ...]:
    """Return the chapters in the tags, cue points or markers of a file, none if they cannot be read."""
    try:
        with open(path, "rb") as file:
            form = walk(file)
        return (read_markers(path, form) if form else ()) or read_chapters(open_tags(path, form))
    except (OSError, mutagen.MutagenError):
        return ()


def _save(old: Tagged, new: mutagen.FileType | None) -> None:
    """Save the tags of an output if there are any, ID3 in the version of the input."""
    if new is None or not (new.tags or isinstance(new, flac.FLAC)):
        return
    if not isinstance(new, mp3.MP3 | aiff.AIFF):
        new.save()
    elif isinstance(old, mp3.MP3) and old.tags and old.tags.version[:2] == (2, 3):
        new.tags.update_to_v23()
        new.save(v2_version=3)
    else:
        new.save(v2_version=4)


def _same_length(old: Tagged, new: mutagen.FileType | None) -> bool:
    if not isinstance(old, flac.FLAC) or not isinstance(new, flac.FLAC):
        return False
    return (old.info.sample_rate, old.info.total_samples) == (new.info.sample_rate, new.info.total_samples)


def _copy_chapters(source: _File, target: _File, rate: int, info: AudioInfo | None, change: Change) -> list[str]:
    """Copy chapters, except to M4A, whose encoder has written them. Returns ["chapters"] if they could not be copied."""
    old, new, after = source.tags, target.tags, target.form
    if isinstance(old, mp3.MP3) and isinstance(new, mp3.MP3):
        copy_id3_chapters(old, new, change.start, change.duration)
        return []
    if info and info.chapters:
        known = info.chapters
    else:
        known = (read_markers(source.path, source.form) if source.form else ()) or read_chapters(old)
    chapters = cut_chapters(known, change.start, change.duration)
    if not chapters or isinstance(new, mp4.MP4):
        return []
    wave = after is not None and after.kind in ("RIFF", "RF64")
    return [] if write_chapters(target.path, new, chapters, wave, rate) else ["chapters"]


def _copy_blocks(old: Tagged, new: mutagen.FileType | None, whole: bool) -> list[str]:
    """Copy the blocks of a FLAC that belong to other programs (APPLICATION). Returns the names of those left out.

    Blocks with the chunks of a WAV are copied only to a file of the same length, since the chunks state the length.
    """
    lost = []
    for block in old.metadata_blocks if isinstance(old, flac.FLAC) else ():
        if block.code == 2:
            name = bytes(block.data[:4])
            if isinstance(new, flac.FLAC) and (whole or name not in _FOREIGN):
                new.metadata_blocks.append(block)
            else:
                lost.append(f"APPLICATION {name.decode('latin-1')}")
    return lost


def _copy_texts(source: _File, target: _File, info: AudioInfo | None, change: Change) -> list[str]:
    """Copy texts and pictures. Returns the names of those that could not be copied."""
    old, new = source.tags, target.tags
    texts = info is not None and info.tags and (not (old is not None and old.tags) or is_named_by_number(old))
    named = info if texts else None
    lost = places_of_mp4(info) if isinstance(old, mp4.MP4) and not named else []
    try:
        pictures, attached = _pictures(source.path, old)
    except (ValueError, mutagen.MutagenError):
        pictures, attached = [], ["pictures"]
    lost += attached
    fields, others = _fields(source.path, source.form, old, named, change)
    more, unknown, covers = _of_ape(source.path, source.form, old)
    fields, pictures, lost = {**more, **fields}, pictures or covers, lost + unknown
    if isinstance(old, flac.FLAC) and (front := front_tags(source.path)):
        more, unknown = from_id3(front, change.gain)
        fields, lost = {**more, **fields}, lost + unknown
    same = old is not None and type(old) is type(new) and not named
    if same and not isinstance(new, _COMMENTS):
        return lost + write_fields(target.path, target.form, new, more) + _copy_all(old, new, change)
    kept = write_pictures(new, pictures)
    if pictures and not kept:
        lost.append("APIC" if has_id3(old) else "covr" if isinstance(old, mp4.MP4) else "pictures")
    if isinstance(old, _COMMENTS) and isinstance(new, _COMMENTS):
        missing = {key: value for key, value in more.items() if key not in old}
        return lost + write_fields(target.path, target.form, new, missing) + _copy_all(old, new, change)
    return lost + others + write_fields(target.path, target.form, new, fields)


def _pictures(source: Path, old: Tagged) -> tuple[list[flac.Picture], list[str]]:
    """Return the pictures of a file, and names for the other files that are attached to it."""
    if old is not None:
        return read_pictures(old), []
    with open(source, "rb") as file:
        head = file.read(4)
    if head == _MATROSKA:
        return pictures_of_matroska(source)
    return (pictures_of_asf(source) if head == _ASF else []), []


def _fields(source: Path, before: Form | None, old: Tagged, info: AudioInfo | None, change: Change) -> Fields:
    """Return the common fields of a file, and the names of all others."""
    if info is not None:
        return from_ffmpeg(info)
    if before is None:
        return from_file(old, change.gain) if old is not None else ({}, _au_annotation(source))
    fields, lost = from_chunks(source, before, _carried(source, before, old))
    more, others = from_file(old, change.gain)
    return {**more, **fields}, lost + others


def _carried(source: Path, form: Form, old: Tagged) -> tuple[bytes, ...]:
    """Return the names of chunks that are copied as tags or as chapters."""
    tags = (b"id3 ", b"ID3 ") if old is not None else ()
    return (*tags, b"cue ", b"adtl", b"MARK") if read_markers(source, form) else tags


def _of_ape(source: Path, before: Form | None, old: Tagged) -> tuple[dict, list[str], list[flac.Picture]]:
    """Return the contents of an APEv2 tag (WavPack, some MP3s), without the fields that the ID3 tags have as well."""
    if before is not None or not (old is None or isinstance(old, mp3.MP3)):
        return {}, [], []
    try:
        return from_ape(apev2.APEv2(source), old.tags or () if old is not None else ())
    except mutagen.MutagenError:
        return {}, [], []


def _au_annotation(source: Path) -> list[str]:
    """Return ["annotation"] for an AU file with a text in its header, which no other format has a place for."""
    text = (annotation(source) or "").strip("\0")
    return ["annotation"] if text and not text.startswith(f"{MARK}=") else []


def _copy_all(old: mutagen.FileType, new: mutagen.FileType, change: Change) -> list[str]:
    lost: list[str] = []
    if old.tags:
        tags = tags_of(new)
        for key in old.tags.keys():  # noqa: SIM118 - Vorbis comments iterate over pairs
            frame, *rest = key.split(":")
            if frame in TECHNICAL or key in TECHNICAL or key.lower() in (OGG_KEY, *TECHNICAL):
                continue
            if frame == "COMM" and rest and rest[0] in ITUNES:
                continue
            timed = change.start and isinstance(old, mp3.MP3) and frame in _TIMED
            sheet = isinstance(old, _COMMENTS) and change.start and key.lower() == "cuesheet"
            if change.gain and describes_level(key) or timed or sheet:
                lost.append(key)
            elif frame not in ("CHAP", "CTOC") and not COMMENT.fullmatch(key):
                tags[key] = old.tags[key]
    return lost
