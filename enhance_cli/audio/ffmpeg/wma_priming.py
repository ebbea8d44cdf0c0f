"""Keep the beginning of WMA. FFmpeg drops two frames there, which is one too many if FFmpeg has written the file.

The first decoded frame is always incomplete, since a transform covers two frames. Microsoft's encoders put one more frame
before the sound, FFmpeg's does not.
"""

from __future__ import annotations

from typing import Any

from av.codec.context import Flags2

_CODECS = ("wmav1", "wmav2")


def frames_before_sound(container: Any, stream: Any) -> int:
    """Set the decoder of WMA to drop nothing. Returns the number of frames before the sound, 0 for other codecs."""
    if stream.codec_context.name not in _CODECS:
        return 0
    stream.codec_context.flags2 |= Flags2.skip_manual
    texts = {**stream.metadata, **container.metadata}
    by_ffmpeg = any(key.lower() in ("encoder", "wm/encodingsettings") and "Lav" in text for key, text in texts.items())
    return 1 if by_ffmpeg else 2
