"""Read facts from the headers of files that libsndfile gets wrong or does not provide: lengths and loudspeakers."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import soundfile

from enhance_cli.audio import channels
from enhance_cli.audio.containers.chunks import promise, raw_format, read_payload, walk
from enhance_cli.audio.containers.section import Raw, Section, Window
from enhance_cli.audio.info import FLOATS, AudioInfo, depth

_MASK = b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK="
_BURSTS = (b"\x72\xf8\x1f\x4e", b"\xfe\x7f\x01\x80", b"\xff\x1f\x00\xe8", b"\x7f\xfe\x80\x01", b"\x1f\xff\xe8\x00")
_BURST_SEARCHED = 1 << 16  # bytes of samples
_GSM_BYTES = 65  # of two frames, a block of GSM 6.10 in WAV
_LARGEST_BLOCK = 8192  # samples, where the header does not tell


def samples_counted(path: Path, section: Section) -> int | None:
    """Return the number of samples that the header states. In a W64, libsndfile also reads later chunks as samples."""
    with open(path, "rb") as file:
        stated = promise(Window(file, section.start, section.end))
    return stated.promised // stated.frame_bytes if stated and stated.frame_bytes else None


def check_samples(path: Path, section: Section, sound: soundfile.SoundFile) -> None:
    """Raise SoundFileError if libsndfile would misinterpret the samples.

    It reads floats in a W64 with an extensible header as integers, and AC-3 or DTS in a WAV (IEC 61937) as samples.
    """
    if section.raw or sound.format not in ("WAV", "WAVEX", "RF64", "W64"):
        return
    with open(path, "rb") as file:
        window = Window(file, section.start, section.end)
        form = walk(window)
        if form is None or form.find(b"fmt ") is None or (data := form.find(b"data")) is None:
            return
        stated = raw_format(window, form)
        if stated and (stated[0] in FLOATS) != (sound.subtype in FLOATS):
            raise soundfile.SoundFileError(f"its samples are {stated[0]}, not {sound.subtype}")
        if sound.subtype == "PCM_16" and sound.channels == 2:
            window.seek(data.start)
            beginning = window.read(min(data.size, _BURST_SEARCHED))
            if any(beginning.count(burst) > 1 for burst in _BURSTS):
                raise soundfile.SoundFileError("its samples hold AC-3 or DTS")


def counted_by_fact(path: Path, section: Section, frames: int) -> int:
    """Return the number of samples in the `fact` chunk, if it ends within the last block of `frames`, else `frames`.

    libsndfile writes only half of the number for stereo, which is ignored.
    """
    with open(path, "rb") as file:
        window = Window(file, section.start, section.end)
        form = walk(window)
        fact = form.find(b"fact") if form and form.kind in ("RIFF", "RF64") else None
        if form is None or fact is None or fact.size < 4:
            return frames
        (stated,) = struct.unpack(form.order + "I", read_payload(window, fact)[:4])
        described = form.find(b"fmt ")
        head = read_payload(window, described)[:20] if described else b""
    channels, size, block = (
        struct.unpack_from(form.order + "2x H 8x H 4x H", head) if len(head) == 20 else (1, 0, _LARGEST_BLOCK)
    )
    halved = channels > 1 and stated * channels == frames
    # libsndfile takes the padding of an odd number of GSM blocks for another block, or writes one
    surplus = block if size == _GSM_BYTES else block - 1
    return stated if 0 < frames - stated <= surplus and not halved else frames


def as_in_header(path: Path, section: Section, raw: Raw, info: AudioInfo) -> AudioInfo:
    """Return the description with the container that the header names, and a note if its length is wrong."""
    with open(path, "rb") as file:
        window = Window(file, section.start, section.end)
        form = walk(window)
        window.seek(0)
        kind = form.kind if form else "AU"
        described = speakers(path, section, kind, info.subtype, info.channels)
        extensible = described.get("mask") is not None or described.get("ambisonic", False)
    kind = {"RIFF": "WAVEX" if extensible else "WAV"}.get(kind, kind)
    notes = info.notes
    if raw.promised is not None:
        counted, held = raw.promised / info.rate, (info.frames or 0) / info.rate
        notes += (f"the header counts {counted:.2f} s, but the file holds {held:.2f} s: all of it was read",)
    values = {**vars(info), **described, "container": kind, "notes": notes}
    return AudioInfo(**values)


def speakers(path: Path, section: Section, container: str, subtype: str, count: int) -> dict:
    """Return layout, mask, ambisonic and bits, as far as the header states them."""
    with open(path, "rb") as file:
        window = Window(file, section.start, section.end)
        if container in ("WAV", "WAVEX", "RF64", "RIFF", "W64"):
            return _extensible(window, count, depth(subtype))
        if container == "FLAC" or container == "OGG":
            window.seek(0)
            head = window.read(1 << 16)
            if container == "OGG":
                family = head[at + 18] if (at := head.find(b"OpusHead")) >= 0 and len(head) > at + 18 else 1
                return {"layout": channels.VORBIS_LAYOUTS.get(count) if count > 2 and family <= 1 else None}
            return _flac_speakers(head, count)
        if container in ("CAF", "AIFF") and (form := walk(window)):
            chunk = form.find(b"chan" if container == "CAF" else b"CHAN")
            layout = channels.from_core_audio(read_payload(window, chunk), count) if chunk else None
            info = form.find(b"info")
            by_ffmpeg = info is not None and b"encoder\0Lavf" in read_payload(window, info)
            return {"layout": channels.FLAC_LAYOUTS[8] if by_ffmpeg and layout == channels.CORE_AUDIO_7_1 else layout}
    return {}


def _extensible(file: Window, count: int, depth_stored: int | None) -> dict:
    form = walk(file)
    described = form.find(b"fmt ") if form else None
    if form is None or described is None or described.size < 40:
        return {}
    raw = read_payload(file, described)[:40]
    if len(raw) < 40 or struct.unpack_from(form.order + "H", raw)[0] != 0xFFFE:
        return {}
    bits, mask = struct.unpack_from(form.order + "HI", raw, 18)
    ambisonic = raw[28:40] == channels.AMBISONIC
    return {
        "layout": None if ambisonic else channels.from_mask(mask, count), "mask": mask, "ambisonic": ambisonic,
        "bits": bits if depth_stored and 0 < bits < depth_stored else None,
    }  # fmt: skip


def _first_comment(head: bytes, key: bytes) -> bytes:
    """Return the first comment of Vorbis that begins with `key`, empty if there is none.

    Its length stands in front of it. The bytes behind it are the length of the next comment, which may look like digits.
    """
    at = head.upper().find(key)
    return head[at : at + int.from_bytes(head[max(at - 4, 0) : at], "little")] if at >= 4 else b""


def _flac_speakers(head: bytes, count: int) -> dict:
    """Return layout and mask of a FLAC from its comment, or else the format's default layout for this number of channels."""
    found = re.search(_MASK + rb"(0[xX][0-9a-fA-F]{1,8})", _first_comment(head, _MASK), re.IGNORECASE)
    if found and (layout := channels.from_mask(int(found.group(1), 16), count)):
        return {"layout": layout, "mask": int(found.group(1), 16)}
    return {"layout": None if found or count <= 2 else channels.FLAC_LAYOUTS.get(count)}
