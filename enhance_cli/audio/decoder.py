"""Decode by FFmpeg's libraries in a process of its own, so that a file that crashes one of them costs only that file.

It is run as a program. Requests are lines of JSON on standard input. The answers are messages on standard output: a
type (1 byte), a length (4 bytes, little endian), and so many bytes. The types are H, a JSON object that describes the
file, S, interleaved float samples, N, a note, R, the bits per second of the sound that was read, F, a failure in words,
E, the end. The process ends with its input, and
it ends itself after SECONDS of work without a message, or if it takes more than MEMORY.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import av

from enhance_cli.audio.time_stamps import Clock, origin

SECONDS = 8.0  # of processor time
MEMORY = 1 << 31  # bytes of address space, beyond those that the process has at its start
# containers whose duration is a guess, or not needed to know that some of the sound is missing
_GUESSED = ("aac", "mp3", "loas", "ogg", "wav")
SLACK = 0.5  # seconds by which the stated length may be wrong
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_DEPTHS = {"u8": 8, "u8p": 8, "s16": 16, "s16p": 16}


def main() -> None:
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes our input
    bound_memory()
    av.logging.set_level(av.logging.PANIC)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a library that prints must not spoil the messages
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            _serve(request, out)
        except BrokenPipeError:  # the parent has lost interest
            return
        except Exception as error:  # noqa: BLE001 - whatever a damaged file brings about is that file's failure
            send(out, b"F", str(getattr(error, "strerror", None) or error or type(error).__name__).encode())


def _serve(request: dict, out: BinaryIO) -> None:
    restart_watch()
    path = os.fsdecode(bytes.fromhex(request["path"]))
    with open(path, "rb") as file:
        source = Source(file, request["start"], request["end"])
        file_head = source.read(8)
        source.seek(0)
        with av.open(source, format=request.get("format"), metadata_errors="replace") as opened:
            container: Any = opened
            speakers = settle_layouts(container)
            stream = choose(container, request.get("track"))
            if stream.codec_context is None:
                raise ValueError("its codec is unknown")
            for other in container.streams:
                if other is not stream:
                    with contextlib.suppress(Exception):
                        other.discard = "all"
            stream.codec_context.thread_count = 1
            counter = Counter(stream)
            packets = map(counter.count, container.demux(stream))
            head = next(packets)
            frames = (frame for packet in itertools.chain([head], packets) for frame in packet.decode())
            first = next(frames, None)
            if first is None:
                raise ValueError("it holds no audio samples")
            counted = file_head[:4] != b"RIFF" or file_head[4:8] != b"\xff" * 4  # else it was written into a pipe
            facts = _facts(container, stream, first, bytes(head)[24:28], speakers.get(stream.index), counted)
            send(out, b"H", json.dumps(facts).encode())
            if request["samples"]:
                _decode(container, stream, first, frames, facts, out)
                if counter.bitrate:
                    send(out, b"R", str(counter.bitrate).encode())
    send(out, b"E", b"")


class Counter:
    """Count the bytes and the seconds of the packets of a stream, since Matroska states no bit rate."""

    def __init__(self, stream: Any):
        self._time_base, self._bytes, self._units = stream.time_base, 0, 0

    def count(self, packet: Any) -> Any:
        """Return the packet."""
        self._bytes += packet.size
        self._units += packet.duration or 0
        return packet

    @property
    def bitrate(self) -> int:
        """Return bits per second, or 0 where the packets do not state how long they are."""
        return round(8 * self._bytes / (self._units * self._time_base)) if self._units and self._time_base else 0


def settle_layouts(container: Any) -> dict[int, list[str]]:
    """Return the loudspeakers of sound tracks with an order of their own, by stream index, and leave only their number.

    PyAV frees the memory of such a layout once more with every object that it makes of it, each frame included, which
    ends the process. No object may be made of one before this.
    """
    found = {}
    for stream in container.streams.audio:
        context = stream.codec_context
        if context is None:
            continue
        layout = context.layout
        if " channels (" in layout.name:  # no usual one, so perhaps with a list of its own
            found[stream.index] = [channel.name for channel in layout.channels]
            context.layout = f"{layout.nb_channels} channels"  # the object above frees the one before
    return found


def choose(container: Any, track: str | None) -> Any:
    """Return the stream that is asked for: by number from 1, by language, or the one FFmpeg holds for the best."""
    streams = container.streams.audio
    if not streams:
        raise ValueError("it has no audio track")
    if track is None:
        return container.streams.best("audio") or streams[0]
    if track.isdigit():
        if not 1 <= int(track) <= len(streams):
            raise ValueError(f"it has no sound track {track}, only {len(streams)}")
        return streams[int(track) - 1]
    for stream in streams:
        if (stream.language or "").lower()[:2] == track.lower()[:2]:
            return stream
    languages = ", ".join(dict.fromkeys(stream.language or "unknown" for stream in streams))
    raise ValueError(f"it has no sound track in the language {track}, only {languages}")


def _facts(container: Any, stream: Any, frame: Any, flags: bytes, speakers: list[str] | None, counted: bool) -> dict:
    """Return the description of a file, given its first frame, bytes 24 to 28 of its first packet, the loudspeakers of
    its channels where the frame does not name them, and whether the writer of its header knew its length.
    """
    codec, format_ = stream.codec_context, frame.format
    names = [channel.name for channel in frame.layout.channels]
    if speakers and frame.layout.name == f"{len(speakers)} channels":
        names = speakers
    bits = _bits(codec, format_, flags)
    picture = av.stream.Disposition.attached_pic  # a cover does not make a song a film
    rate = frame.sample_rate
    begin_of_all = origin(container)
    earlier = begin_of_all or 0.0
    claimed = None
    name = container.format.name.split(",")[0]
    if not counted or name == "asf" and len(container.streams) > 1:
        pass  # it states the length of the film, and sections.py finds whether bytes are missing
    elif stream.duration is not None and name not in _GUESSED:
        timed = stream.start_time and begin_of_all is not None and name != "asf"
        begin = stream.start_time * stream.time_base if timed else 0
        claimed = round((stream.duration * stream.time_base + begin - earlier) * rate)
    elif container.format.name == "avi" and stream.frames and stream.time_base:
        claimed = round(stream.frames * stream.time_base * rate)
    streams = container.streams.audio
    return {
        "container": container.format.name, "brand": container.metadata.get("major_brand", ""), "codec": codec.name,
        "film": any(not video.disposition & picture for video in container.streams.video),
        "float": format_.name.startswith(("flt", "dbl")), "double": bits > 24, "bits": bits, "rate": rate,
        "late": Clock(container, stream, rate).place(frame)[0],
        "channels": frame.layout.nb_channels, "speakers": names, "claimed": claimed,
        "bitrate": stream.codec_context.bit_rate or (None if container.streams.video else container.bit_rate),
        "track": streams.index(stream) + 1,
        "tracks": [
            [n, s.codec_context.name if s.codec_context else "", s.codec_context.channels if s.codec_context else 0,
             s.language or "", s.metadata.get("title") or s.metadata.get("name", "")] for n, s in enumerate(streams, 1)
        ],
        "tags": _texts(container, stream),
        "chapters": [
            [float(c["start"] * c["time_base"]) - earlier, float(c["end"] * c["time_base"]) - earlier,
             c["metadata"].get("title", "")]
            for c in container.chapters()
        ],
    }  # fmt: skip


def _texts(container: Any, stream: Any) -> dict[str, str]:
    """Return the texts of a file, among them the title of its track where that is another one."""
    texts = {**stream.metadata, **container.metadata}
    title = stream.metadata.get("title")
    return texts | ({"track title": title} if title and title != texts["title"] else {})


def _bits(codec: Any, format_: Any, flags: bytes) -> int:
    """Return the number of bits of a sample that the file stores. FFmpeg gives 24 of them in 32."""
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


def _decode(container: Any, stream: Any, first: Any, frames: Iterator, facts: dict, out: BinaryIO) -> None:
    rate, channels = facts["rate"], facts["channels"]
    width = 8 if facts["double"] else 4
    packed = av.AudioResampler(format="dbl" if facts["double"] else "flt", layout=first.layout, rate=rate)
    clock = Clock(container, stream, rate)
    frame = first
    while frame is not None:
        if frame.sample_rate != rate or frame.layout.nb_channels != channels:
            where = clock.position / rate
            raise ValueError(
                f"at {where:.2f} s it changes to {frame.sample_rate} Hz and {frame.layout.nb_channels} channels"
            )
        silence, skip = clock.place(frame)
        while silence > 0:
            piece = min(silence, 65536)
            send(out, b"S", bytes(piece * channels * width))
            silence -= piece
        frame.pts = None
        for converted in packed.resample(frame):
            data = memoryview(converted.planes[0])[: converted.samples * channels * width]
            send(out, b"S", data[skip * channels * width :])
            skip = 0
        frame = next(frames, None)
    for note in clock.notes():
        send(out, b"N", note.encode())
    held, expected = clock.position / rate, _expected(container, stream)
    if held < expected - max(0.01 * expected, SLACK):
        send(out, b"N", f"{expected:.2f} s of sound are stated, and {held:.2f} s were found".encode())


def _expected(container: Any, stream: Any) -> float:
    """Return the seconds of sound that AVI, Matroska and Ogg with pictures state, 0 if unknown. They are not always right."""
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


class Source:
    """Provide a part of a file to FFmpeg. A seek beyond its ends is answered with a negative number."""

    def __init__(self, file: BinaryIO, start: int, end: int):
        self._file, self._start, self._length, self._at = file, start, end - start, 0

    def read(self, size: int = -1) -> bytes:
        left = max(self._length - self._at, 0)
        self._file.seek(self._start + self._at)
        data = self._file.read(min(size, left, 64 << 20) if size >= 0 else min(left, 64 << 20))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence not in (0, 1, 2):
            return -22
        target = (0, self._at, self._length)[whence] + offset
        if not 0 <= target < 1 << 62:
            return -22
        self._at = target
        return target

    def tell(self) -> int:
        return self._at


def send(out: BinaryIO, kind: bytes, data: bytes | memoryview) -> None:
    restart_watch()
    view = memoryview(struct.pack("<cI", kind, len(data)) + bytes(data))
    while view:
        view = view[out.write(view) :]


def restart_watch() -> None:
    """Give the work up to the next message SECONDS. The signal then ends the process, even in a loop of a library."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, SECONDS)


def bound_memory() -> None:
    if sys.platform == "linux":
        import resource

        with open("/proc/self/statm", "rb") as statm:
            now = int(statm.read().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        bound = now + MEMORY
        if soft != resource.RLIM_INFINITY:
            bound = min(bound, soft)
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))


if __name__ == "__main__":
    main()
