"""Recognize the beginning of a sound file by its signature.

A file may contain several recordings that were joined end to end, with tags, zeros or garbage between them. So if a
recording ends before its file does, the next beginning is searched for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from enhance_cli.audio.containers.bounded import Readable
from enhance_cli.audio.containers.mpeg import tag_size

_BLOCK = 1 << 23  # bytes that are searched at a time
_LARGE = 1 << 26  # in more bytes only some formats are searched for, since each takes half a second per gigabyte
_COMMON = ("flac", "wav", "aiff", "ogg", "mp4", "id3")
_LONGEST = 64  # bytes of the longest beginning
_SILENCE = bytes(_BLOCK + _LONGEST)
# format -> bytes to search for, their position in the file, and the pattern that the beginning of the file must match
_KINDS: dict[str, tuple[bytes, int, re.Pattern[bytes]]] = {
    kind: (literal, place, re.compile(pattern, re.DOTALL))
    for kind, literal, place, pattern in (
        ("flac", b"fLaC", 0, rb"fLaC[\x00\x80]\x00\x00\x22"),
        ("wav", b"WAVE", 8, rb"(?:RIFF|RIFX|RF64|BW64)....WAVE"),
        ("aiff", b"FORM", 0, rb"FORM....AIF[FC]"),
        ("caf", b"caff\0", 0, rb"caff\x00[\x01\x02]\x00\x00desc"),
        ("w64", b"riff\x2e\x91\xcf\x11", 0, rb"riff"),
        ("ogg", b"OggS\0\2", 0, rb"OggS\x00\x02\x00{8}"),
        ("mp4", b"ftyp", 4, rb"\x00\x00[\x00\x01].ftyp[ -~]{4}"),
        ("matroska", b"\x1aE\xdf\xa3", 0, rb"\x1aE\xdf\xa3.{1,40}(?:webm|matroska)"),
        ("wavpack", b"wvpk", 0, rb"wvpk....[\x02-\x10]\x04.{6}\x00{4}"),
        ("tta", b"TTA1", 0, rb"TTA1[\x01\x02]\x00"),
        ("nut", b"nut/", 0, rb"nut/multimedia container\x00"),
        ("au", b".snd\0\0", 0, rb"\.snd\x00\x00..(?:....)\x00\x00\x00[\x01-\x1b]\x00"),
        ("nist", b"NIST_1A\n", 0, rb"NIST_1A\n +1024\n"),
        ("voc", b"Creative Voice File\x1a", 0, rb"Creative Voice File\x1a"),
        ("flv", b"FLV\1", 0, rb"FLV\x01[\x01\x04\x05]\x00\x00\x00\x09\x00{4}"),
        ("avi", b"AVI LIST", 8, rb"RIFF....AVI LIST"),
        ("asf", b"0&\xb2u\x8ef\xcf\x11", 0, rb"0&\xb2u\x8ef\xcf\x11\xa6\xd9\x00\xaa\x00b\xcel"),
        ("amr", b"#!AMR", 0, rb"#!AMR(?:-WB)?\n"),
        ("svx", b"8SVX", 8, rb"FORM....8SVX"),
        ("svx of 16 bits", b"16SV", 8, rb"FORM....16SV"),
        ("avr", b"2BIT", 0, rb"2BIT.{8}(?:\x00\x00|\xff\xff)\x00[\x08\x10]"),
        (
            "ircam",
            b"d\xa3",
            0,
            rb"d\xa3[\x01-\x04]\x00(?:...[\x45-\x48][\x01-\x40]\x00{3}|[\x45-\x48]...\x00{3}[\x01-\x40]\x00)",
        ),
        ("paf", b"paf\0", 1, rb" paf\x00{4}\x00{3}[\x00\x01]"),
        ("fap", b"fap ", 0, rb"fap \x00{4}[\x00\x01]\x00{3}"),
        ("pvf", b"PVF1\n", 0, rb"PVF1\n\d+ \d+ \d+\n"),
        ("mat4", b"samplerate\0", 20, rb".{4}(?:\x00{3}\x01|\x01\x00{3}).{12}samplerate\x00"),
        ("mat5", b"MATLAB 5.0 MAT-file", 0, rb"MATLAB 5.0 MAT-file"),
        ("wve", b"ALawSoundFile**", 0, rb"ALawSoundFile\*\*"),
        ("xi", b"Extended Instrument: ", 0, rb"Extended Instrument: .{22}\x1a"),
        ("sds", b"\xf0\x7e", 0, rb"\xf0\x7e[\x00-\x7f]\x01[\x00-\x7f]{2}[\x08-\x1c][\x00-\x7f]{13}\xf7"),
        ("id3", b"ID3", 0, rb"ID3[\x02-\x04]\x00[\x00\x10\x20\x40\x80\xc0][\x00-\x7f]{4}"),
    )
}


def begins(file: Readable, at: int) -> bool:
    """Return whether a sound file, or an ID3 tag before one, begins at byte `at`."""
    return at >= 0 and any(_fits(file, at, pattern) for _, _, pattern in _KINDS.values())


def find_beginning(
    file: Readable, at: int, end: int, kinds: tuple[str, ...] = (), own: tuple[str, ...] = _COMMON
) -> int:
    """Return the position of the next sound file in bytes `at` to `end`, or `end` if there is none.

    `kinds`: formats to search for, by default all. `own`: formats to search for by default if there are many bytes.
    """
    kinds = kinds or (tuple(_KINDS) if end - at < _LARGE else own)
    while at < end:
        file.seek(at)
        block = file.read(min(_BLOCK + _LONGEST, end - at))
        if not block:
            break
        searched = kinds if block != _SILENCE else ()
        for place in sorted({found for kind in searched for found in _places(block, kind)}):
            if any(_fits(file, at + place, _KINDS[kind][2]) for kind in kinds):
                return at + place
        at += _BLOCK
    return end


def _places(block: bytes, kind: str) -> Iterator[int]:
    literal, place, _ = _KINDS[kind]
    found = block.find(literal)
    while found >= 0:
        if found >= place:
            yield found - place
        found = block.find(literal, found + 1)


def _fits(file: Readable, at: int, pattern: re.Pattern[bytes]) -> bool:
    file.seek(at)
    head = file.read(_LONGEST)
    if not pattern.match(head):
        return False
    if not head.startswith(b"ID3"):
        return True
    file.seek(at + tag_size(head))  # a tag alone is not a recording
    behind = file.read(_LONGEST)
    frame = behind[:1] == b"\xff" and len(behind) > 1 and behind[1] >= 0xE2
    return frame or any(p.match(behind) for kind, (_, _, p) in _KINDS.items() if kind != "id3")
