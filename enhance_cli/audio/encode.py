"""Writes AAC and Apple Lossless in M4A by PyAV if it is installed, else by an `ffmpeg` program.

The time scale of the file is set to its sample rate, so that it can state its length to the sample.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from enhance_cli.audio import decode
from enhance_cli.audio.formats import OutputFormat
from enhance_cli.audio.integers import quantise
from enhance_cli.errors import AudioError

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1(back)", 8: "7.1"}


def open_encoder(path: Path, fmt: OutputFormat, channels: int):
    """An object with write((C, n) floats) and close(). Raises AudioError where neither PyAV nor ffmpeg is
    there.
    """
    try:
        import av  # noqa: F401
    except ImportError:
        if shutil.which("ffmpeg") is None:
            raise AudioError(f"{path} cannot be written: M4A needs an encoder", decode.INSTALL) from None
        return _FfmpegEncoder(path, fmt, channels)
    return _PyavEncoder(path, fmt, channels)


def _samples(block: np.ndarray, fmt: OutputFormat) -> np.ndarray:
    if fmt.subtype == "AAC":
        return block.astype(np.float32)
    return quantise(block, 16 if fmt.subtype == "ALAC_16" else 24)


class _PyavEncoder:
    def __init__(self, path: Path, fmt: OutputFormat, channels: int):
        import av

        self._av, self._path, self._format, self._layout, self._position = (
            av,
            path,
            fmt,
            _LAYOUTS[channels],
            0,
        )
        self._kind = {"AAC": "fltp", "ALAC_16": "s16p"}.get(fmt.subtype, "s32p")
        self._file = open(path, "wb")  # noqa: SIM115 - closed in close()
        try:
            self._container = av.open(self._file, "w", format="ipod", options={"movie_timescale": str(fmt.rate)})
            codec = "aac" if fmt.subtype == "AAC" else "alac"
            self._stream = self._container.add_stream(codec, rate=fmt.rate, layout=self._layout, format=self._kind)
            self._stream.time_base = Fraction(1, fmt.rate)
            if fmt.bitrate:
                self._stream.bit_rate = fmt.bitrate
        except (av.FFmpegError, ValueError) as error:
            self._file.close()
            self._fail(error)

    def write(self, block: np.ndarray) -> None:
        samples = np.ascontiguousarray(_samples(block, self._format))
        frame = self._av.AudioFrame.from_ndarray(samples, format=self._kind, layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = (
            self._format.rate,
            self._position,
            Fraction(1, self._format.rate),
        )
        self._position += samples.shape[1]
        self._encode(frame)

    def _encode(self, frame) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except (self._av.FFmpegError, OSError) as error:
            self._fail(error)

    def close(self) -> None:
        try:
            self._encode(None)
            self._container.close()
        except (self._av.FFmpegError, OSError) as error:
            self._fail(error)
        finally:
            self._file.close()

    def _fail(self, error: Exception) -> None:
        raise AudioError(
            f"{self._path} could not be written ({error})", "is the disk full or write-protected?"
        ) from None


class _FfmpegEncoder:
    def __init__(self, path: Path, fmt: OutputFormat, channels: int):
        self._path, self._format = path, fmt
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        raw, codec = "f32le", ["-c:a", "aac", "-b:a", str(fmt.bitrate)]
        if fmt.subtype != "AAC":
            raw, kind = ("s16le", "s16p") if fmt.subtype == "ALAC_16" else ("s32le", "s32p")
            codec = ["-c:a", "alac", "-sample_fmt", kind]
        command = [
            "ffmpeg",
            "-y",
            "-v",
            "error",
            "-f",
            raw,
            "-ar",
            str(fmt.rate),
            "-ac",
            str(channels),
            "-i",
            "pipe:0",
        ]
        command += [*codec, "-movie_timescale", str(fmt.rate), "-f", "ipod", b"file:" + os.fsencode(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=self._log)

    def write(self, block: np.ndarray) -> None:
        try:
            self._process.stdin.write(np.ascontiguousarray(_samples(block, self._format).T).tobytes())
        except OSError:  # it has given up; it says why on close
            self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a broken pipe; why, it says below
            self._process.stdin.close()
        code = self._process.wait()
        with self._log:
            self._log.seek(0)
            said = self._log.read().decode("utf-8", "replace").strip().splitlines()
        if code != 0:
            raise AudioError(
                f"{self._path} could not be written ({(said or ['ffmpeg failed'])[-1]})", "is the disk full?"
            )
