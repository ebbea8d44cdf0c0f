"""Tell which sound files all browsers can play, and copy others to a format that they can play."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from enhance_cli.audio.formats import output_format
from enhance_cli.audio.info import LOSSY, AudioInfo
from enhance_cli.audio.read import AudioFile
from enhance_cli.audio.resample import resample_blocks
from enhance_cli.audio.write import AudioWriter

_PLAYED = {
    "WAV": {"PCM_U8", "PCM_16", "PCM_24", "FLOAT"},
    "WAVEX": {"PCM_U8", "PCM_16", "PCM_24", "FLOAT"},
    "FLAC": {"PCM_S8", "PCM_16", "PCM_24"},
    "OGG": {"VORBIS", "OPUS"},
    "MP3": {"MPEG_LAYER_III"},
}
_LOWEST, _HIGHEST, _CHANNELS = 3000, 192_000, 8
USUAL_RATE = 48_000


def browsers_play(info: AudioInfo) -> bool:
    """Return whether browsers play exactly the samples that are read here.

    If there are notes, the content of the file differs from its header, which browsers rely on.
    """
    usual = info.subtype in _PLAYED.get(info.container, ()) and info.decoder == "libsndfile"
    return usual and _LOWEST <= info.rate <= _HIGHEST and info.channels <= _CHANNELS and not info.notes


def copy_suffix(info: AudioInfo) -> str:
    """Return the suffix of a copy: .opus for lossy sources, .flac for others."""
    return ".opus" if info.subtype in LOSSY else ".flac"


def write_browser_copy(
    audio: AudioFile, path: Path, *, peak: float = 1.0, start: float = 0.0, duration: float | None = None
) -> float:
    """Write `audio` from `start` s for `duration` s to `path`, and return the gain in dB of the copy.

    FLAC has 16 bits with dither, and is attenuated if `peak`, the highest sample, is above full scale. More than eight
    channels are mixed to mono. Raises AudioError if a file cannot be read or written.
    """
    info = audio.info
    mixed = info.channels > _CHANNELS
    rate = info.rate if _LOWEST <= info.rate <= _HIGHEST else USUAL_RATE
    if mixed:
        info = replace(info, channels=1, layout=None, mask=None, ambisonic=False)
    suffix = copy_suffix(info)
    depth = "16" if suffix == ".flac" else None
    rate = USUAL_RATE if suffix == ".opus" else rate
    fmt = output_format(info, suffix, bit_depth=depth, rate=rate)
    gain = 1 / peak if peak > 1 and depth else 1.0
    with AudioWriter(path, replace(fmt, dither=depth is not None), info.channels) as writer:
        blocks = audio.blocks(start=start, duration=duration)
        if mixed:
            blocks = (block.mean(axis=0, keepdims=True) for block in blocks)
        for block in resample_blocks(blocks, audio.info.rate, rate, info.channels):
            writer.write(block * np.float32(gain))
    return 20 * float(np.log10(gain))
