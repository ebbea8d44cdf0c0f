"""Convert text subtitles to the format of another container, with FFmpeg's decoders and encoders.

SubRip, WebVTT and the timed text of MP4 are plain text with a few marks such as italics, which are kept. Subtitles with
positions and fonts (ASS) and those that are pictures are not converted.
"""

from __future__ import annotations

from typing import Any

_FORMS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}  # by muxer
_TEXTS = ("subrip", "srt", "mov_text", "webvtt", "text")
_NAMES = {"mov_text": "timed text", "subrip": "SubRip", "webvtt": "WebVTT"}


class Subtitles:
    """Convert the packets of a subtitle stream for a new stream of `output`, called `target`."""

    def __init__(self, source: Any, output: Any, muxer: str):
        form = _FORMS[muxer]
        self._decoder = source.codec_context
        self._decoder.open(strict=False)
        self.target = output.add_stream(form)
        self.target.time_base = source.time_base
        self._encoder = self.target.codec_context
        self._encoder.time_base = source.time_base
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self.note = f"the subtitles of stream {source.index} ({self._decoder.name}) are {_NAMES[form]} here"

    def converted(self, packet: Any) -> Any:
        """Return the packet in the new format, or None if it is empty, like those between two subtitles in MP4."""
        shown = self._decoder.decode2(packet)
        if shown is None:
            return None
        new = self._encoder.encode_subtitle(shown)
        new.pts, new.dts, new.duration, new.time_base = packet.pts, packet.pts, packet.duration, packet.time_base
        return new


def can_be_converted(stream: Any, muxer: str) -> bool:
    """Return whether a stream has text subtitles, and the container has a format for them."""
    return stream.type == "subtitle" and muxer in _FORMS and stream.codec_context.name in _TEXTS
