"""Reads what libsndfile cannot (m4a, AAC, video, some valid Opus) by PyAV if it is installed, else by an
`ffmpeg` program.

Both give the first or best audio track as float blocks `(C, n)`, in constant memory. How long such a track
is, only decoding tells. An MP4 file says where its sound ends inside the last AAC packet; FFmpeg leaves
that padding in, so it is cut here.
"""

from __future__ import annotations

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

from enhance_cli.audio.info import AudioInfo
from enhance_cli.errors import AudioError

INSTALL = "pip install 'enhance-cli[video]', or put ffmpeg on the PATH"
_PADDING = 4096  # samples: more than the last packet of any AAC can be filled up with
_CONTAINERS = {"mov": "M4A", "matroska": "MKV", "asf": "ASF", "mpegts": "TS"}


def open_foreign(path: Path, refusal: str) -> tuple[AudioInfo, Callable[[int, int], Iterator[np.ndarray]]]:
    """Open a file that libsndfile refused, for the reason `refusal`: (info, decode(first sample, samples per block)).

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
        with open(path, "rb") as file, av.open(file, metadata_errors="replace") as container:
            stream = container.streams.best("audio")
            if stream is None:
                _fail_not_audio(path, "it has no audio track")
            yield container, stream

    try:
        with track() as (container, stream):
            frame = next(container.decode(stream), None)
            if frame is None:
                raise AudioError(f"{path} holds no audio samples", "record or copy it again")
            info = AudioInfo(
                path,
                _container(container.format.name, bool(container.streams.video)),
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

    def pieces() -> Iterator[np.ndarray]:
        done, spare = 0, []
        with track() as (container, stream):
            claimed = round(stream.duration * stream.time_base * info.rate) if stream.duration else None
            ends_early = info.container in ("M4A", "MP4") and claimed
            planar = av.AudioResampler(format=kind, layout=layout, rate=info.rate)
            try:
                for decoded in container.decode(stream):
                    for frame in planar.resample(decoded):
                        piece = frame.to_ndarray()
                        done += piece.shape[1]
                        beyond = done - claimed if ends_early else 0
                        if 0 < beyond <= _PADDING:
                            keep = max(piece.shape[1] - beyond, 0)
                            spare.append(piece[:, keep:])
                            piece = piece[:, :keep]
                        elif spare:  # it goes on well past the end it claimed: that claim was wrong, all of it is sound
                            yield from spare
                            spare = []
                        yield piece
            except (av.FFmpegError, ValueError) as error:
                raise AudioError(
                    f"{path} is damaged after {done / info.rate:.2f} s ({error})", "repair it"
                ) from None
        if claimed and done < claimed - max(0.01 * claimed, 0.1 * info.rate) and info.container != "AAC":
            raise AudioError(
                f"{path} is truncated: only {done} of {claimed} samples can be read", "copy it again"
            )

    return info, pieces


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
            process.wait()
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
        if header is None:
            _fail_not_audio(path, (said.strip().splitlines() or ["ffmpeg said nothing"])[-1].strip())
        rate, channels = header
        names = re.search(r"Input #0, (\S+), from", said)
        codec = re.search(r"Audio: (\w+)(?:.*?, s(\d+)p?)?", said)
        info = AudioInfo(
            path,
            _container(names.group(1) if names else "unknown", ": Video:" in said),
            _subtype(codec.group(1), int(codec.group(2) or 32)) if codec else "UNKNOWN",
            rate,
            channels,
            None,
            "ffmpeg",
            int(match.group(1)) * 1000 if (match := re.search(r"Audio: .*?(\d+) kb/s", said)) else None,
        )

    def pieces() -> Iterator[np.ndarray]:
        with running() as (process, _, _log):
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
