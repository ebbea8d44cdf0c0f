"""What a sound file is: container, sample type, rate, channels, and length where it is known before
decoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LOSSY = frozenset({"VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III", "AAC"})
"""Subtypes whose samples do not survive a round trip, and which therefore have a bit rate instead of a depth.
"""


@dataclass(frozen=True)
class AudioInfo:
    """Facts about one file. `frames` counts samples of one channel, None where only decoding can tell."""

    path: Path
    container: str  # WAV, WAVEX, RF64, FLAC, OGG, MP3, AIFF, CAF, W64, M4A, ...
    subtype: str  # PCM_16, PCM_24, FLOAT, VORBIS, OPUS, MPEG_LAYER_III, AAC, ...
    rate: int  # Hz
    channels: int
    frames: int | None
    decoder: str  # libsndfile, pyav or ffmpeg
    bitrate: int | None = None  # bits per second, for lossy subtypes
