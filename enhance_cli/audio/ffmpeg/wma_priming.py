"""Keep the beginning of WMA: FFmpeg drops two frames of it, of which only one precedes the sound if FFmpeg has written it.

The first frame of the decoder is always half of a transform. Encoders of Microsoft precede the sound by one frame more.
"""

from __future__ import annotations

from typing import Any

from av.codec.context import Flags2

_CODECS = ("wmav1", "wmav2")


def frames_before_sound(container: Any, stream: Any) -> int:
    """Tell the decoder of WMA to drop nothing. Returns the frames that precede the sound, 0 for other codecs."""
    if stream.codec_context.name not in _CODECS:
        return 0
    stream.codec_context.flags2 |= Flags2.skip_manual
    texts = {**stream.metadata, **container.metadata}
    by_ffmpeg = any(key.lower() in ("encoder", "wm/encodingsettings") and "Lav" in text for key, text in texts.items())
    return 1 if by_ffmpeg else 2
