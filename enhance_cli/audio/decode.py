"""Reads what libsndfile cannot (m4a, AAC, video, some valid Opus) by PyAV if it is installed, else by an
`ffmpeg` program.

Both give the first or best audio track as float blocks `(C, n)`, in constant memory. How long such a track
is, only decoding tells. An MP4 file says where its sound ends inside the last AAC packet; FFmpeg leaves
that padding in, so it is cut here.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from enhance_cli.audio.bounded import BoundedFile
from enhance_cli.audio.info import AudioInfo
from enhance_cli.errors import AudioError

INSTALL = "pip install 'enhance-cli[video]', or put ffmpeg on the PATH"
_PADDING = 4096  # samples: more than the last packet of any AAC can be filled up with
_RAW = {".g722": "g722"}  # files without any header, which nothing but their name gives away
_CONTAINERS = {"mov": "M4A", "matroska": "MKV", "asf": "ASF", "mpegts": "TS"}


def open_foreign(path: Path, refusal: str) -> tuple[AudioInfo, Callable[[int, int], Iterator[np.ndarray]]]:
    """Open a file that libsndfile refused, for the reason `refusal`: (info, decode(first sample, samples per
    block)).

    Raises AudioError if it is no audio after all, or if neither PyAV nor ffmpeg is there to tell.
    """
    try:
        import av  # noqa: F401
    except ImportError:
        if shutil.which("ffmpeg") is None:
            raise AudioError(
                f"{path} cannot be read by libsndfile ({refusal.strip('. ')})",
                f"if it is m4a, AAC, Opus or video, {INSTALL}; else it may not be audio",
            ) from None
        info, pieces = _open_ffmpeg(path)
    else:
        info, pieces = _open_pyav(path)

    def decode(first: int, size: int) -> Iterator[np.ndarray]:
        return _regroup(pieces(), first, size)

    return info, decode


class _Source(BoundedFile):
    """A file for FFmpeg, which learns by a negative number that there is nothing where it wants to go."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError):
            return -errno.EINVAL


def _regroup(pieces: Iterator[np.ndarray], skip: int, size: int) -> Iterator[np.ndarray]:
    """Join or split (C, n) pieces into blocks of `size`, leaving out the first `skip` samples."""
    held: list[np.ndarray] = []
    count = 0
    for piece in pieces:
        dropped = min(skip, piece.shape[1])
        skip -= dropped
        held.append(piece[:, dropped:])
        count += piece.shape[1] - dropped
        if count >= size:
            joined = np.concatenate(held, axis=1)
            whole = count - count % size
            yield from np.split(joined[:, :whole], whole // size, axis=1)
            held, count = [joined[:, whole:]], count - whole
    if count:
        yield np.concatenate(held, axis=1)


def _fail_not_audio(path: Path, reason: object) -> None:
    raise AudioError(
        f"{path} is not audio that can be read ({reason})", "if it plays elsewhere, convert it to WAV first"
    )


def _open_pyav(path: Path) -> tuple[AudioInfo, Callable[[], Iterator[np.ndarray]]]:
    import av

    @contextmanager
    def track() -> Iterator:
        # A file object rather than a name: FFmpeg would take "a:b.m4a" for the protocol "a".
        kind = _RAW.get(path.suffix.lower())
        with open(path, "rb") as file, av.open(_Source(file), format=kind, metadata_errors="replace") as container:
            stream = container.streams.best("audio")
            if stream is None:
                _fail_not_audio(path, "it has no audio track")
            yield container, stream

    try:
        with track() as (container, stream):
            frame = next(container.decode(stream), None)
            if frame is None:
                raise AudioError(f"{path} holds no audio samples", "record or copy it again")
            picture = av.stream.Disposition.attached_pic  # a cover does not make a song a film
            film = any(not video.disposition & picture for video in container.streams.video)
            info = AudioInfo(
                path,
                _container(container.format.name, film),
                _subtype(stream.codec_context.name, frame.format.bits),
                frame.sample_rate,
                frame.layout.nb_channels,
                None,
                "pyav",
                stream.bit_rate or container.bit_rate,
            )
            kind = "dblp" if frame.format.bytes > 2 and not frame.format.name.startswith("flt") else "fltp"
            layout = frame.layout
    except (av.FFmpegError, ValueError, EOFError) as error:
        _fail_not_audio(path, getattr(error, "strerror", error))

    def decoded(container, stream) -> Iterator[np.ndarray]:
        planar = av.AudioResampler(format=kind, layout=layout, rate=info.rate)
        done = 0
        try:
            for packet in container.decode(stream):
                for frame in planar.resample(packet):
                    done += frame.samples
                    yield frame.to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            after = f"{done / info.rate:.2f} s ({error})"
            raise AudioError(f"{path} is damaged after {after}", "repair or convert it") from None

    def pieces() -> Iterator[np.ndarray]:
        with track() as (container, stream):
            if stream.duration is None or info.container in ("AAC", "MP3"):  # they have no header: a guess
                yield from decoded(container, stream)
                return
            claimed = round(stream.duration * stream.time_base * info.rate)
            padded = info.container in ("M4A", "MP4")
            yield from _as_claimed(path, decoded(container, stream), claimed, _PADDING if padded else 0)

    return info, pieces


def _as_claimed(path: Path, pieces: Iterator[np.ndarray], claimed: int, padding: int) -> Iterator[np.ndarray]:
    """Cut what follows sample `claimed`, if it is no more than `padding`. Raises AudioError if much is
    missing.
    """
    done = 0
    beyond: list[np.ndarray] = []
    for piece in pieces:
        keep = max(claimed - done, 0)
        done += piece.shape[1]
        if done <= claimed + padding:
            beyond.append(piece[:, keep:])
            yield piece[:, :keep]
        else:  # it goes on: the claim was wrong, and all of it is sound
            yield from beyond
            beyond.clear()
            yield piece
    if done < claimed - max(0.01 * claimed, 4 * _PADDING):
        raise AudioError(f"{path} is truncated: only {done} of {claimed} samples can be read", "copy it again")


def _container(names: str, video: bool) -> str:
    name = names.split(",")[0]
    if name == "mov" and video:
        return "MP4"
    return _CONTAINERS.get(name, name.upper())


def _subtype(codec: str, bits: int) -> str:
    return f"ALAC_{16 if bits <= 16 else 24}" if codec == "alac" else codec.upper()


def _open_ffmpeg(path: Path) -> tuple[AudioInfo, Callable[[], Iterator[np.ndarray]]]:
    # The float samples come wrapped in a WAV header, which tells rate and channels.
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-i", b"file:" + os.fsencode(path)]
    command += ["-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]

    @contextmanager
    def running() -> Iterator:
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
            try:
                header = _wave_header(process.stdout)
                yield process, header, log
            finally:
                process.kill()
                process.wait()
                process.stdout.close()

    with running() as (process, header, log):
        if header is None:
            _fail_not_audio(path, "ffmpeg finds no sound in it")
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
        names = re.search(r"Input #0, (\S+), from", said)
        film = any(": Video:" in line and "attached pic" not in line for line in said.splitlines())
        track = re.search(r"Audio: .*", said).group()  # Audio: alac (...), 48000 Hz, stereo, s16p, 589 kb/s
        codec, bits = re.match(r"Audio: (\w+)", track).group(1), re.search(r", s(\d+)p?\b", track)
        bitrate = re.search(r"(\d+) kb/s", track)
        info = AudioInfo(
            path,
            _container(names.group(1) if names else "unknown", film),
            _subtype(codec, int(bits.group(1)) if bits else 32),
            *header,
            None,
            "ffmpeg",
            int(bitrate.group(1)) * 1000 if bitrate else None,
        )
        channels = info.channels

    def pieces() -> Iterator[np.ndarray]:
        with running() as (process, _, _):
            while raw := process.stdout.read(4 * channels * 16384):
                usable = len(raw) - len(raw) % (4 * channels)
                yield np.frombuffer(raw[:usable], "<f4").reshape(-1, channels).T.copy()
            if process.wait() != 0:
                raise AudioError(f"{path} is damaged: ffmpeg gave up on it", "repair or convert it")

    return info, pieces


def _wave_header(pipe) -> tuple[int, int] | None:
    """Read a WAV header up to the first sample: (rate, channels), or None if there is none."""
    if len(pipe.read(12)) < 12:
        return None
    rate = channels = 0
    while len(head := pipe.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            return rate, channels
        body = pipe.read(size + size % 2)
        if name == b"fmt ":
            channels, rate = struct.unpack_from("<HI", body, 2)
    return None
