"""Hold the facts about a sound file that are known when it has been opened."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from enhance_cli.audio.channels import Layout

FLOATS = ("FLOAT", "DOUBLE")
LOSSY = frozenset({"VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III", "AAC", "AC3", "EAC3"})
"""Lossy subtypes, which have a bit rate instead of a bit depth."""


@dataclass(frozen=True)
class Track:
    """Describe one sound track of a file: its number from 1, codec, channels, and language and title where they are known."""

    number: int
    codec: str
    channels: int
    language: str = ""
    title: str = ""

    def __str__(self) -> str:
        channels = "mono" if self.channels == 1 else f"{self.channels} channels"
        said = [self.language, self.title, self.codec, channels]
        return f"{self.number} ({', '.join(filter(None, said))})"


@dataclass(frozen=True)
class Chapter:
    """Name a part of a recording, from `start` to `end` in seconds."""

    start: float
    end: float
    title: str


def cut_chapters(chapters: Sequence[Chapter], start: float, duration: float | None) -> tuple[Chapter, ...]:
    """Return the chapters within the part from `start` for `duration` seconds, with times relative to `start`."""
    stop = float("inf") if duration is None else start + duration
    parts = [(max(c.start, start) - start, min(c.end, stop) - start, c.title) for c in chapters]
    return tuple(Chapter(*part) for part in parts if part[1] > part[0])


@dataclass(frozen=True)
class AudioInfo:
    """Hold facts about one file.

    `frames`: samples of one channel, None if they are known only after decoding. `layout`: loudspeaker of each channel, if
    the file states it. `mask`: channel mask of a WAVE_FORMAT_EXTENSIBLE header, or of the comment in FLAC with that name.
    `bits`: used bits of an integer sample, if they are fewer than the subtype has. `codec`: FFmpeg's name of the codec, if
    FFmpeg reads the file. `late`: samples of silence before sound that begins after the picture. `tags`: texts of
    containers that only FFmpeg reads. `film`: there are pictures, other than a cover.
    `notes`: deviations from the header. `recordings`: (start, end) in bytes of each recording, if several were joined.
    """

    path: Path
    container: str  # WAV, WAVEX, RF64, FLAC, OGG, MP3, AIFF, CAF, W64, M4A, MP4, MOV, MKV, ...
    subtype: str  # PCM_16, PCM_24, FLOAT, VORBIS, OPUS, MPEG_LAYER_III, AAC, ALAC_24, FLAC_24, WAVPACK_24, ...
    rate: int  # Hz
    channels: int
    frames: int | None
    decoder: str  # libsndfile or ffmpeg
    bitrate: int | None = None  # bits per second of the sound alone, for lossy subtypes
    layout: Layout | None = None
    mask: int | None = None
    ambisonic: bool = False
    bits: int | None = None
    tracks: tuple[Track, ...] = ()
    track: int = 1
    codec: str = ""
    late: int = 0
    chapters: tuple[Chapter, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    film: bool = False
    notes: tuple[str, ...] = ()
    recordings: tuple[tuple[int, int], ...] = ()


@dataclass
class Findings:
    """Collect facts that are known only after reading a file to its end: notes, and the bit rate of the sound alone.

    `left_out`: samples that the header counts, but that are only a jump of the time stamps.
    """

    notes: list[str] = field(default_factory=list)
    bitrate: int | None = None
    left_out: int = 0


def is_lossless(subtype: str) -> bool:
    """Return whether a subtype holds integers or floats, and so keeps samples as they are (up to its depth)."""
    return depth(subtype) is not None or subtype in FLOATS


def depth(subtype: str) -> int | None:
    """Return the bits of an integer subtype (PCM_24, ALAC_24, FLAC_24: 24), or None for floats and lossy subtypes."""
    if subtype in ("PCM_S8", "PCM_U8"):
        return 8
    found = re.fullmatch(r"[A-Z]+_(\d\d)", subtype)
    return int(found.group(1)) if found else None
