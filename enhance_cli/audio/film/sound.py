"""Encode the new sound track of a film, piece by piece as it arrives from a pipe, in step with the copied packets.

Encoders put a delay before the sound. MP4, MOV and Matroska can state this delay for a track that begins with the
picture. For a track that begins later in MP4 or MOV, and always in AVI, the packets with the delay are left out instead, so
that the new track begins when the old one did.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any, BinaryIO

import av

from enhance_cli.audio.ffmpeg.process import restart_watch

# Samples that FFmpeg's encoders put before the sound
DELAYS = {"libmp3lame": 1105, "mp2": 481, "ac3": 256, "eac3": 256, "aac": 1024}
# Of full scale: a beginning below this level may be decoded without the packet before it, which fades it in
QUIET = 0.1


class Sound:
    """Encode the new sound. `pipe` delivers pieces of samples, each preceded by its length, and a length of zero at the end.

    The first `late` samples are silence before the track begins, which is not encoded. `lead`: seconds of silence that are
    encoded in front of everything. Raises EOFError if the pipe ends too early.
    """

    def __init__(self, pipe: BinaryIO, stream: Any, output: Any, request: dict, *, lead: float = 0.0):
        self._pipe, self._stream, self._output = pipe, stream, output
        self._rate, self._channels, self._late = request["rate"], request["channels"], request["late"]
        self._kind, self._layout = request["samples"], request["layout"]
        self._width = {"s16": 2, "s32": 4, "flt": 4, "dbl": 8}[self._kind] * self._channels
        self._resampler = av.AudioResampler(
            format=stream.codec_context.format.name, layout=self._layout, rate=self._rate
        )
        self._position, self._ended, self._begun = 0, False, False
        self._silence = bytes(round(lead * self._rate) * self._width)
        self._delay = DELAYS.get(request["encoder"], 0)
        self._always = request["muxer"] == "avi"
        self._perhaps = request["muxer"] in ("mp4", "mov") and self._late > 0
        self._first: int | None = None  # packets before this sample are left out

    def go_to(self, seconds: float) -> None:
        """Encode up to a time in seconds, or to the end."""
        while not self._ended and self._position < seconds * self._rate:
            self._next()

    def finish(self) -> None:
        """Encode the rest."""
        while not self._ended:
            self._next()
        self._encode(None)
        self._mux(self._stream.encode(None))

    def _next(self) -> None:
        restart_watch()
        data, self._silence = self._silence, b""
        if not data:
            (length,) = struct.unpack("<I", self._taken(4))
            if not length:
                self._ended = True
                return
            data = self._taken(length)
        count = len(data) // self._width
        skip = min(max(self._late - self._position, 0), count)
        begin, self._position = self._position + skip, self._position + count
        if skip == count:
            return
        data = data[skip * self._width :]
        if not self._begun:
            self._begin(data, begin)
        self._encode(self._frame(data, count - skip, begin))

    def _begin(self, data: bytes, begin: int) -> None:
        """Add silence so that the encoder's delay fills whole packets, if these packets will be left out."""
        self._begun = True
        if not self._delay or not (self._always or self._perhaps and self._is_quiet(data)):
            return
        self._first = begin
        if not self._stream.codec_context.is_open:
            self._stream.codec_context.open()
        silence = -self._delay % (self._stream.codec_context.frame_size or 1)
        if silence:
            self._encode(self._frame(bytes(silence * self._width), silence, begin - silence))

    def _is_quiet(self, data: bytes) -> bool:
        samples = memoryview(data[: self._delay * self._width]).cast("f")  # as all encoders with a delay take them
        return len(samples) == self._delay * self._channels and max(map(abs, samples)) < QUIET

    def _frame(self, data: bytes, count: int, begin: int) -> Any:
        frame = av.AudioFrame(format=self._kind, layout=self._layout, samples=count)
        frame.planes[0].update(data + bytes(frame.planes[0].buffer_size - len(data)))
        frame.sample_rate, frame.pts, frame.time_base = self._rate, begin, Fraction(1, self._rate)
        return frame

    def _encode(self, frame: Any) -> None:
        for converted in self._resampler.resample(frame):
            self._mux(self._stream.encode(converted))

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            if self._first is None or packet.pts is None or packet.pts >= self._first:
                self._output.mux(packet)

    def _taken(self, length: int) -> bytes:
        data = self._pipe.read(length)
        if len(data) < length:
            raise EOFError("the sound ended before its end")
        return data
