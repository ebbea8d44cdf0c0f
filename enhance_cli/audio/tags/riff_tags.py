"""Copy every chunk that is not audio from one WAV/RF64 (or AIFF) file to another.

These are Broadcast WAV description and time code, iXML, cue points and their labels, INFO texts, ID3 and ADM. They are
appended after the audio, so that the samples do not have to be moved.

Positions are counted in samples. If the rate or the beginning differs, time codes and cue points are adjusted. If the rate or
the length differs, loops and the markers of other formats are left out.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from enhance_cli.audio.containers.chunks import Form, promise, read_payload, walk
from enhance_cli.audio.tags.positions import true_cart, true_cue, true_labels
from enhance_cli.audio.tags.wave_facts import Change, true_bext, true_ixml

_PIECE = 1 << 20
_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of chunks of W64, after their four letters
# Chunks that describe the samples themselves, which are new, or that are padding.
AUDIO = frozenset(
    b"fmt |data|fact|ds64|JUNK|junk|PAD |FLLR|PEAK|levl|slnt|COMM|SSND|FVER|desc|pakt|kuki|chan|free|peak|CHAN|enhB|edct".split(
        b"|"
    )
)
_POSITIONS = (b"smpl", b"plst", b"MARK", b"INST", b"mark", b"regn")
_OLD_SAMPLES = (b"MD5 ", b"ovvw")  # a checksum and an overview of the samples that were replaced
_CHANNELS = (b"chna", b"axml")  # meanings of channels

_CORRECTED = {b"iXML": true_ixml, b"cue ": true_cue, b"adtl": true_labels, b"cart": true_cart}


def can_copy(source: Form | None, target: Form | None) -> bool:
    """Return whether chunks of one file can be copied to the other."""
    families = [("RIFF", "RF64"), ("AIFF",), ("CAF",)]
    if source is None or target is None:
        return False
    return any(source.kind in f and target.kind in f for f in families)


def copy_chunks(source: Path, target: Path, change: Change = Change()) -> list[str]:
    """Copy the chunks of `source` to `target`, with corrections to those that describe the samples.

    They are appended, except for bext, which must come before the samples. Returns the names of those left out.
    """
    lost: list[str] = []
    with open(source, "rb") as old, open(target, "r+b") as new:
        before, after = _form(old), _form(new)
        rate_before, rate_after, same_time = _compare(old, new)
        present = {chunk.name for chunk in after.chunks}
        front, without_cues = [], False
        for chunk in before.chunks:
            if chunk.name in AUDIO or (chunk.name in present and chunk.name != b"LIST"):
                continue
            payload = read_payload(old, chunk)
            kind = payload[:4] if chunk.name == b"LIST" else chunk.name
            moved = kind in _OLD_SAMPLES or kind in _POSITIONS and not same_time
            moved = moved or bool(kind in _CHANNELS and change.channel)
            if moved or len(payload) < chunk.size or not _fits(new, after, payload):
                lost.append(kind.decode("ascii", "replace").strip())
                continue
            if kind == b"bext" and before.order == after.order:
                front.append(true_bext(payload, before.order, rate_before, rate_after, change))
                continue
            if kind in _CORRECTED:
                payload = _CORRECTED[kind](payload, before.order, rate_before, rate_after, change)
            if not payload:  # there is no cue point within the output
                without_cues = True
            if not payload or kind == b"adtl" and without_cues:
                continue
            _append(new, after, chunk.name, payload)
        for payload in front:
            _insert(new, _form(new), b"bext", payload)
    return lost


def append_chunk(target: Path, name: bytes, payload: bytes) -> None:
    """Append one chunk to a WAV, RF64, AIFF or CAF file."""
    with open(target, "r+b") as file:
        _append(file, _form(file), name, payload)


def insert_chunk(target: Path, name: bytes, payload: bytes) -> None:
    """Insert one chunk before the samples of a WAV, RF64 or W64 file."""
    with open(target, "r+b") as file:
        _insert(file, _form(file), name, payload)


def _form(file: BinaryIO) -> Form:
    """Return the chunks of a file. Raises ValueError for a file without chunks."""
    form = walk(file)
    if form is None:
        raise ValueError("not a file of chunks")
    return form


def _compare(old: BinaryIO, new: BinaryIO) -> tuple[float, float, bool]:
    """Return both sample rates, and whether positions in both files have the same meaning (equal rate and length)."""
    a, b = promise(old), promise(new)
    if a is None or b is None:
        return 1.0, 1.0, False
    equal = a.rate == b.rate
    if a.frame_bytes and b.frame_bytes:
        equal = equal and a.held // a.frame_bytes == b.held // b.frame_bytes
    return a.rate, b.rate, equal


def _fits(file: BinaryIO, form: Form, payload: bytes) -> bool:
    return form.kind == "RF64" or file.seek(0, 2) + len(payload) + 16 < 2**32


def _insert(file: BinaryIO, form: Form, name: bytes, payload: bytes) -> None:
    """Insert a chunk before the samples of a WAV, RF64 or W64 file."""
    data = form.find(b"data")
    if data is None or form.kind not in ("RIFF", "RF64", "W64"):
        _append(file, form, name, payload)
        return
    if form.kind == "W64":
        chunk = struct.pack("<4s12sQ", name, _GUID, 24 + len(payload)) + payload + bytes(-len(payload) % 8)
        insert_bytes(file, data.start - 24, chunk)
    else:
        chunk = struct.pack(form.order + "4sI", name, len(payload)) + payload + bytes(len(payload) % 2)
        insert_bytes(file, data.start - 8, chunk)
    _state_size(file, form)


def insert_bytes(file: BinaryIO, at: int, data: bytes) -> None:
    """Insert bytes into a file. The rest is moved back piece by piece, starting at its end."""
    end = file.seek(0, 2)
    while end > at:
        begin = max(at, end - _PIECE)
        file.seek(begin)
        piece = file.read(end - begin)
        file.seek(begin + len(data))
        file.write(piece)
        end = begin
    file.seek(at)
    file.write(data)


def _append(file: BinaryIO, form: Form, name: bytes, payload: bytes) -> None:
    end = file.seek(0, 2)
    if form.kind == "CAF":
        file.write(struct.pack(">4sq", name, len(payload)) + payload)
        return
    file.write(bytes(end % 2) + struct.pack(form.order + "4sI", name, len(payload)) + payload + bytes(len(payload) % 2))
    _state_size(file, form)


def _state_size(file: BinaryIO, form: Form) -> None:
    """Write the size of the whole file into its header."""
    size = file.seek(0, 2) - 8
    if form.kind == "RF64" and (sizes := form.find(b"ds64")):
        file.seek(sizes.start)
        file.write(struct.pack("<Q", size))
    elif form.kind == "W64":
        file.seek(16)
        file.write(struct.pack("<Q", size + 8))
    else:
        file.seek(4)
        file.write(struct.pack(form.order + "I", size))
