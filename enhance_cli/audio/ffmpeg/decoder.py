"""Decode with FFmpeg's libraries in a separate process, so that a file that crashes one of them affects no other file.

This is run as a program. Requests are lines of JSON on standard input, answers are messages (process.py) on standard
output. The types of messages are H (JSON object that describes the file), S (interleaved float samples), N (a note), J (samples
that a jump of the time stamps leaves out), R (bits per second of the decoded sound), F (reason of a failure) and E (end). The
process ends when its input is closed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import av

from enhance_cli.audio.ffmpeg import edit_lists
from enhance_cli.audio.ffmpeg.avi_index import empty_chunks
from enhance_cli.audio.ffmpeg.process import Source, described, path_of, restart_watch, send, start
from enhance_cli.audio.ffmpeg.stream_facts import choose, describe, expected_seconds, settle_layouts
from enhance_cli.audio.ffmpeg.time_stamps import Clock
from enhance_cli.audio.ffmpeg.wavpack_masks import fitted, is_unnamed
from enhance_cli.audio.ffmpeg.wma_priming import frames_before_sound

SLACK = 0.5  # seconds by which the stated length may exceed the true one


def main() -> None:
    out = start()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            _serve(request, out)
        except BrokenPipeError:  # the parent no longer reads
            return
        except Exception as error:  # noqa: BLE001 - a damaged file may cause any error
            send(out, b"F", described(error))


def _serve(request: dict, out: BinaryIO) -> None:
    restart_watch()
    path = path_of(request["path"])
    with open(path, "rb") as file:
        source = Source(file, request["start"], request["end"])
        file_head = source.read(8)
        empty_of_tracks = empty_chunks(source)
        edits_of_tracks = edit_lists.pieces(source) if file_head[4:] in edit_lists.BEGINNINGS else {}
        with contextlib.ExitStack() as stack:
            container, stream, speakers = _opened(source, request, stack)
            edits = edits_of_tracks.get(stream.index)
            if edits:
                container, stream, speakers = _opened(source, request, stack, edit_lists.IGNORED)
            if stream.codec_context is None:
                raise ValueError("its codec is unknown")
            for other in container.streams:
                if other is not stream:
                    with contextlib.suppress(Exception):
                        other.discard = "all"
            stream.codec_context.thread_count = 1
            counter = Counter(stream)
            packets = map(counter.count, container.demux(stream))
            if stream.codec_context.name == "wavpack":
                packets = map(fitted, packets)
            head = next(packets)
            if head.has_sidedata("encryption_info"):
                raise ValueError("its sound is encrypted")
            decoded = (frame for packet in itertools.chain([head], packets) for frame in packet.decode())
            frames = itertools.islice(decoded, frames_before_sound(container, stream), None)
            first = next(frames, None)
            if first is None:
                raise ValueError("it holds no audio samples")
            counted = file_head[:4] != b"RIFF" or file_head[4:8] != b"\xff" * 4  # otherwise it was written to a pipe
            empty = empty_of_tracks.get(stream.index, [])
            facts = describe(
                container, stream, first, bytes(head)[24:28],
                speakers=speakers.get(stream.index), counted=counted, empty=empty,
            )  # fmt: skip
            if stream.codec_context.name == "wavpack" and is_unnamed(head):
                facts["speakers"] = []  # FFmpeg makes them up
            edited = edit_lists.EditedFrames(container, stream, facts["rate"], edits) if edits else None
            if edited:
                facts |= {"late": edited.late, "claimed": edited.frames}
            send(out, b"H", json.dumps(facts).encode())
            if request["samples"]:
                clock = edited or Clock(
                    container, stream, facts["rate"], empty=empty, from_first=request.get("timed", False)
                )
                _decode(container, stream, first, frames, facts, clock, out)
                if counter.incomplete:
                    send(out, b"N", counter.note.encode())
                if counter.bitrate:
                    send(out, b"R", str(counter.bitrate).encode())
    send(out, b"E", b"")


def _opened(
    source: Source, request: dict, stack: contextlib.ExitStack, options: dict[str, str] | None = None
) -> tuple[Any, Any, dict[int, list[str]]]:
    """Open the file. Returns its container, the stream to decode, and the loudspeakers of tracks with a custom layout."""
    source.seek(0)
    opened = av.open(source, format=request.get("format"), options=options, metadata_errors="replace")
    container: Any = stack.enter_context(opened)
    speakers = settle_layouts(container)
    return container, choose(container, request.get("track")), speakers


class Counter:
    """Count the bytes and the duration of the packets of a stream, since Matroska does not state a bit rate.

    `incomplete`: number of packets of which FFmpeg has not found all bytes.
    """

    def __init__(self, stream: Any):
        self._time_base, self._bytes, self._units = stream.time_base, 0, 0
        self.incomplete, self._first = 0, 0.0

    def count(self, packet: Any) -> Any:
        """Return the packet."""
        if packet.size and packet.is_corrupt:
            self.incomplete += 1
            if self.incomplete == 1:
                self._first = float(self._units * (self._time_base or 0))
        self._bytes += packet.size
        self._units += packet.duration or 0
        return packet

    @property
    def note(self) -> str:
        """Return how many packets are incomplete, and where the first of them is."""
        packets = "packet is" if self.incomplete == 1 else "packets are"
        return f"{self.incomplete} {packets} incomplete, the first at {self._first:.2f} s"

    @property
    def bitrate(self) -> int:
        """Return the bits per second, or 0 if the packets do not state their duration."""
        return round(8 * self._bytes / (self._units * self._time_base)) if self._units and self._time_base else 0


def _decode(
    container: Any,
    stream: Any,
    first: Any,
    more: Iterator,
    facts: dict,
    clock: Clock | edit_lists.EditedFrames,
    out: BinaryIO,
) -> None:
    rate, channels = facts["rate"], facts["channels"]
    width = 8 if facts["double"] else 4
    packed = av.AudioResampler(format="dbl" if facts["double"] else "flt", layout=first.layout, rate=rate)
    sent = 0  # samples
    for silence, frame, skip, end in clock.placed(first, more):
        if frame.sample_rate != rate or frame.layout.nb_channels != channels:
            raise ValueError(
                f"at {sent / rate:.2f} s it changes to {frame.sample_rate} Hz and {frame.layout.nb_channels} channels"
            )
        sent += silence + end - skip
        while silence > 0:
            piece = min(silence, 65536)
            send(out, b"S", bytes(piece * channels * width))
            silence -= piece
        if skip == end:
            continue
        frame.pts = None
        for converted in packed.resample(frame):
            send(out, b"S", memoryview(converted.planes[0])[skip * channels * width : end * channels * width])
    for note in clock.notes():
        send(out, b"N", note.encode())
    if isinstance(clock, Clock) and clock.left_out:
        send(out, b"J", str(clock.left_out).encode())
        return
    held, expected = clock.position / rate, expected_seconds(container, stream)
    if held < expected - max(0.01 * expected, SLACK):
        send(out, b"N", f"{expected:.2f} s of sound are stated, and {held:.2f} s were found".encode())


if __name__ == "__main__":
    main()
