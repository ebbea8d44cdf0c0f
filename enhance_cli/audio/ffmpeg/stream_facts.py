"""Choose a sound track of an open container of FFmpeg, and describe it: format, loudspeakers, length, tags, chapters."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Any

from av.stream import Disposition

from enhance_cli.audio.ffmpeg.avi_index import Runs
from enhance_cli.audio.ffmpeg.time_stamps import Clock, origin

# containers whose duration is only estimated, or not needed to detect missing sound
_GUESSED = ("aac", "mp3", "loas", "ogg", "wav")
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_DEPTHS = {"u8": 8, "u8p": 8, "s16": 16, "s16p": 16}
_BESIDE = Disposition.comment | Disposition.hearing_impaired | Disposition.visual_impaired | Disposition.descriptions
# 7.1 of QuickTime, and the order in which FFmpeg's muxer writes the channels for the same code
_SIDES_FIRST = ["FL", "FR", "FC", "LFE", "SL", "SR", "BL", "BR"]
_BACKS_FIRST = ["FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"]


def settle_layouts(container: Any) -> dict[int, list[str]]:
    """Return the loudspeakers of sound tracks with a custom layout, by stream index, and replace these layouts.

    The new layout states only the number of channels. This works around a bug: PyAV frees the memory of a custom layout
    again with every object that it creates from it, including each frame, which crashes the process. So this function must
    be called before any such object is created.
    """
    found = {}
    for stream in container.streams.audio:
        context = stream.codec_context
        if context is None:
            continue
        layout = context.layout
        if " channels (" in layout.name:  # not a standard layout, so it may be a custom one
            found[stream.index] = [channel.name for channel in layout.channels]
            context.layout = f"{layout.nb_channels} channels"  # the object above has freed the memory of the old one
    return found


def choose(container: Any, track: str | None) -> Any:
    """Return the requested stream: by number from 1, by language, or the one that a player would choose."""
    streams = container.streams.audio
    if not streams:
        raise ValueError("it has no audio track")
    if track is None:
        return played(streams)
    if track.isdigit():
        if not 1 <= int(track) <= len(streams):
            raise ValueError(f"it has no sound track {track}, only {len(streams)}")
        return streams[int(track) - 1]
    for stream in streams:
        if (stream.language or "").lower()[:2] == track.lower()[:2]:
            return stream
    languages = ", ".join(dict.fromkeys(stream.language or "unknown" for stream in streams))
    raise ValueError(f"it has no sound track in the language {track}, only {languages}")


def played(streams: Sequence[Any]) -> Any:
    """Return the first default track, or else the first track. Commentaries and descriptions are the last choice."""
    known = [stream for stream in streams if stream.codec_context is not None and stream.codec_context.sample_rate]
    return max(known or streams, key=lambda s: (not s.disposition & _BESIDE, bool(s.disposition & Disposition.default)))


def describe(
    container: Any,
    stream: Any,
    frame: Any,
    flags: bytes,
    *,
    speakers: list[str] | None,
    counted: bool,
    empty: Runs,
) -> dict:
    """Return the description of a file from its first frame, and bytes 24 to 28 of its first packet (`flags`).

    `speakers`: loudspeakers of the channels, if the frame does not name them. `counted`: the header states the true length.
    `empty`: runs of chunks without sound in an AVI.
    """
    codec, format_ = stream.codec_context, frame.format
    names = [channel.name for channel in frame.layout.channels]
    if speakers and frame.layout.name == f"{len(speakers)} channels":
        names = speakers
    if names == _SIDES_FIRST and "Lavf" in container.metadata.get("encoder", ""):
        names = _BACKS_FIRST
    bits = _bits(codec, format_, flags)
    picture = Disposition.attached_pic  # a file whose only picture is a cover is not a film
    rate = frame.sample_rate
    begin_of_all = origin(container)
    earlier = begin_of_all or 0.0
    claimed = _claimed(container, stream, rate, begin_of_all) if counted else None
    streams = container.streams.audio
    return {
        "container": container.format.name, "brand": container.metadata.get("major_brand", ""), "codec": codec.name,
        "film": any(not video.disposition & picture for video in container.streams.video),
        "float": format_.name.startswith(("flt", "dbl")), "double": bits > 24, "bits": bits, "rate": rate,
        "late": Clock(container, stream, rate, empty=empty).place(frame)[0],
        "channels": frame.layout.nb_channels, "speakers": names, "claimed": claimed,
        "bitrate": stream.codec_context.bit_rate or (None if container.streams.video else container.bit_rate),
        "track": streams.index(stream) + 1,
        "tracks": [
            [n, s.codec_context.name if s.codec_context else "", s.codec_context.channels if s.codec_context else 0,
             s.language or "", _title(s)] for n, s in enumerate(streams, 1)
        ],
        "tags": _texts(container, stream),
        "chapters": [
            [float(c["start"] * c["time_base"]) - earlier, float(c["end"] * c["time_base"]) - earlier,
             c["metadata"].get("title", "")]
            for c in container.chapters()
        ],
    }  # fmt: skip


def _claimed(container: Any, stream: Any, rate: int, begin_of_all: float | None) -> int | None:
    """Return the number of samples that the header states, or None if it states the length of something else.

    `begin_of_all`: time of the first stream's begin in seconds, if it is known.
    """
    name = container.format.name.split(",")[0]
    if name == "asf" and len(container.streams) > 1:
        return None  # the stated length is that of the film. containers/sections.py detects missing bytes
    if (
        name == "avi" and stream.frames and stream.time_base
    ):  # FFmpeg may estimate the duration from the size of the file
        return round(stream.frames * stream.time_base * rate)
    if stream.duration is not None and name not in _GUESSED:
        timed = stream.start_time and begin_of_all is not None and name != "asf"
        begin = stream.start_time * stream.time_base if timed else 0
        return round((stream.duration * stream.time_base + begin - (begin_of_all or 0.0)) * rate)
    return None


def _title(stream: Any) -> str:
    said = stream.metadata.get("title") or stream.metadata.get("name", "")
    return said or ("commentary" if stream.disposition & Disposition.comment else "")


def _texts(container: Any, stream: Any) -> dict[str, str]:
    """Return the texts of a file, including the title of its track if it differs from that of the file."""
    texts = {**stream.metadata, **container.metadata}
    title = stream.metadata.get("title")
    return texts | ({"track title": title} if title and title != texts["title"] else {})


def _bits(codec: Any, format_: Any, flags: bytes) -> int:
    """Return the number of bits per sample in the file. FFmpeg decodes samples of 24 bits to 32 bits."""
    name, extra = codec.name, bytes(codec.extradata or b"")
    if format_.name in _DEPTHS:
        return _DEPTHS[format_.name]
    if format_.name.startswith("flt"):
        return 24
    if format_.name.startswith("dbl"):
        return 53
    if name == "flac" and len(extra) >= 18:
        return ((extra[12] & 1) << 4 | extra[13] >> 4) + 1
    if name == "alac" and len(extra) >= 24:
        return extra[len(extra) - 24 + 5]
    if name == "tta" and len(extra) >= 10:
        return struct.unpack_from("<H", extra, 8)[0]
    if name == "wavpack" and len(flags) == 4:  # bytes of a sample, and by how many bits it was shifted
        (value,) = struct.unpack("<I", flags)
        return 8 * ((value & 3) + 1) - (value >> 13 & 31)
    return 32 if name.startswith(("pcm_s32", "pcm_u32", "pcm_s64")) else 24


def expected_seconds(container: Any, stream: Any) -> float:
    """Return the seconds of sound that AVI, Matroska and Ogg with pictures state, 0 if unknown. They may be wrong."""
    name = container.format.name.split(",")[0]
    seconds = 0.0
    if name == "avi" and stream.frames:
        seconds = float(stream.frames * stream.time_base)
    elif name == "matroska" and len(container.streams) == len(container.streams.audio) == 1 and container.duration:
        seconds = container.duration / 1_000_000
    elif name == "matroska" and (stated := _CLOCK.fullmatch(stream.metadata.get("DURATION", ""))):
        hours, minutes, rest = stated.groups()
        seconds = 3600 * int(hours) + 60 * int(minutes) + float(rest)
    elif name == "ogg" and len(container.streams) > 1 and stream.duration:
        seconds = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    return seconds - (origin(container) or 0.0)
