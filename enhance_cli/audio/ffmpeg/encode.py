"""Write formats that libsndfile cannot write, or not well, with FFmpeg's libraries: M4A, FLAC in Ogg, MP3, ALAC in CAF.

Samples are passed interleaved, since PyAV miscounts the planes of 8 and more channels. The time scale of an M4A is set to
its sample rate, so that its length can be stated to the sample. The first frame of an MP3 states how many samples the
encoder has added at the beginning and at the end, which libsndfile omits at low bit rates. LAME lowers the level by up to
0.45 dB, which is compensated here.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from enhance_cli.audio.channels import Layout
from enhance_cli.audio.containers import mpeg
from enhance_cli.audio.formats import OutputFormat
from enhance_cli.audio.info import Chapter, depth
from enhance_cli.audio.integers import quantize
from enhance_cli.errors import NO_ROOM, OutputError

_BY_COUNT = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1(back)", 8: "7.1"}
_MUXERS = {"M4A": "ipod", "MP3": "mp3", "OGG": "ogg", "CAF": "caf"}


def is_encoded_here(fmt: OutputFormat) -> bool:
    """Return whether a format is written by this module."""
    if fmt.container == "CAF":  # libsndfile's encoder spoils loud stereo of more than 16 bits
        return fmt.subtype.startswith("ALAC")
    return fmt.container in ("M4A", "MP3") or (fmt.container == "OGG" and fmt.subtype.startswith("FLAC"))


class Encoder:
    """Encode a file: `write` (C, n) blocks, then `close`. Raises OutputError where the encoder or the disk refuses."""

    def __init__(self, path: Path, fmt: OutputFormat, channels: int):
        import av

        self._av, self._path, self._rate, self._position = av, path, fmt.rate, 0
        codec, kind, self._packed = _codec(fmt)
        self._bits = 0 if self._packed == "flt" else depth(fmt.subtype)
        self._gain = np.float32(_lame_gain(fmt)) if fmt.container == "MP3" else None
        self._layout = _aac_layout(fmt.layout, channels) if codec == "aac" else layout_name(fmt.layout, channels)
        self._file = open(path, "wb")  # noqa: SIM115 - closed in close()
        options = {"M4A": {"movie_timescale": str(fmt.rate)}, "MP3": {"id3v2_version": "0"}}.get(fmt.container, {})
        try:
            muxer = _MUXERS[fmt.container]
            self._container = av.open(_Sink(self._file), "w", format=muxer, options=options)
            self._stream = _add_stream(self._container, fmt, codec, self._layout, kind)
            self._resampler = av.AudioResampler(format=kind, layout=self._layout, rate=fmt.rate)
        except (av.FFmpegError, ValueError) as error:
            self._file.close()
            self._fail(error)

    def write(self, block: np.ndarray) -> None:
        """Append (C, n) samples."""
        if self._bits:
            samples = quantize(block, self._bits)
        else:
            samples = block.astype(np.float32)
            samples = samples if self._gain is None else samples * self._gain
        frame = self._av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T).reshape(1, -1), format=self._packed, layout=self._layout
        )
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._position, Fraction(1, self._rate)
        self._position += block.shape[1]
        self._encode(frame)

    def _encode(self, frame: Any) -> None:
        try:
            for converted in self._resampler.resample(frame):
                self._container.mux(self._stream.encode(converted))
        except (self._av.FFmpegError, OSError) as error:
            self._fail(error)

    def close(self) -> None:
        """Finish the file."""
        try:
            self._encode(None)
            self._container.mux(self._stream.encode(None))
            self._container.close()
        except (self._av.FFmpegError, OSError) as error:
            self._fail(error)
        finally:
            self._file.close()
        if self._gain is not None:
            mpeg.state_length(self._path, self._position)

    def _fail(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{self._path} could not be written ({reason})", NO_ROOM) from None


class _Sink:
    """Write to a file for FFmpeg. Unlike FFmpeg's own output, it raises an exception if not all bytes can be written."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.name = ""
        self.seek, self.tell, self.write = file.seek, file.tell, file.write


def _codec(fmt: OutputFormat) -> tuple[str, str, str]:
    """Return FFmpeg's encoder, its sample format, and the interleaved format of the samples to pass to it."""
    if fmt.subtype == "AAC":
        return "aac", "fltp", "flt"
    if fmt.subtype == "MPEG_LAYER_III":
        return "libmp3lame", "fltp", "flt"
    narrow = depth(fmt.subtype) == 16
    if fmt.subtype.startswith("ALAC"):
        return "alac", "s16p" if narrow else "s32p", "s16" if narrow else "s32"
    return "flac", "s16" if narrow else "s32", "s16" if narrow else "s32"


def layout_name(layout: Layout | None, channels: int) -> str:
    """Return FFmpeg's name of a layout, or of the usual layout for this number of channels."""
    import av

    wanted = tuple(sorted(layout)) if layout else None
    for name in (_BY_COUNT.get(channels, ""), *_LAYOUTS):
        if wanted and name and tuple(sorted(speaker.name for speaker in av.AudioLayout(name).channels)) == wanted:
            return name
    return _BY_COUNT.get(channels, f"{channels}c")


_LAYOUTS = (
    "mono", "stereo", "2.1", "3.0", "3.0(back)", "4.0", "quad", "quad(side)", "3.1", "5.0", "5.0(side)", "4.1", "5.1",
    "5.1(side)", "6.0", "6.1", "6.1(back)", "7.0", "7.1", "7.1(wide)",
)  # fmt: skip


def _add_stream(container: Any, fmt: OutputFormat, codec: str, layout: str, kind: str) -> Any:
    """Add a stream to a container and return it. If the container is an M4A, also add the chapters."""
    stream = container.add_stream(codec, rate=fmt.rate, layout=layout, format=kind)
    stream.time_base = Fraction(1, fmt.rate)
    if fmt.bitrate:
        stream.bit_rate = fmt.bitrate
    if fmt.chapters and fmt.container == "M4A":
        container.set_chapters([_as_av(n, chapter) for n, chapter in enumerate(fmt.chapters)])
    return stream


# Layouts without a standard code in AAC. They are described channel by channel (program config element), so that no channel
# is coded as LFE and loses its treble
_DESCRIBED = ("6.1(front)", "hexagonal", "7.0(front)", "7.1(wide-side)", "octagonal")
_WITHOUT_LFE = {6: "6.0", 7: "7.0", 8: "octagonal"}


def _aac_layout(layout: Layout | None, channels: int) -> str:
    """Return FFmpeg's name of a layout, or of one with as many channels in which none is coded as LFE."""
    import av

    for name in _DESCRIBED if layout else ():
        if sorted(speaker.name for speaker in av.AudioLayout(name).channels) == sorted(layout or ()):
            return name
    found = layout_name(layout, channels)
    known = layout is None or len(set(layout) - {speaker.name for speaker in av.AudioLayout(found).channels}) == 0
    return found if known or "LFE" in (layout or ()) else _WITHOUT_LFE.get(channels, found)


def _as_av(number: int, chapter: Chapter) -> dict:
    begin, end = round(1000 * chapter.start), round(1000 * min(chapter.end, 4e6))
    return {
        "id": number, "start": begin, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": chapter.title}
    }  # fmt: skip


# (kb/s, factor): below this bit rate, LAME scales by this factor
_LAME_SCALES = ((176, 0.95), (208, 0.97), (240, 0.98))


def _lame_gain(fmt: OutputFormat) -> float:
    """Return the factor that compensates LAME's presets for constant bit rates (lame 3.100, presets.c)."""
    kilobits = (fmt.bitrate or 0) / 1000
    return 1 / next((scale for most, scale in _LAME_SCALES if kilobits < most), 1.0)
