"""Write sound files block by block, exactly.

Integers are computed here and not by libsndfile, which scales floats by 2^(b-1)-1 when writing but by 2^(b-1) when
reading, so that a file that is read and written would change.

A WAV that would pass 4 GB, or whose length is not known beforehand, becomes RF64 (EBU Tech 3306).
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import sys
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile

from enhance_cli.audio import channels as speakers
from enhance_cli.audio.containers import chunks
from enhance_cli.audio.ffmpeg.encode import Encoder, is_encoded_here
from enhance_cli.audio.film.rewrite import FilmEncoder
from enhance_cli.audio.formats import OutputFormat
from enhance_cli.audio.info import FLOATS, LOSSY, depth
from enhance_cli.audio.integers import quantize
from enhance_cli.audio.tags import riff_tags
from enhance_cli.errors import NO_ROOM, AudioError, OutputError

_LARGEST = 2**32 - 2**24  # bytes of audio in a file with 32-bit lengths, with room for the header, tags and pictures
_TAKE_FLOATS = (*FLOATS, "VORBIS", "OPUS", "MPEG_LAYER_III")  # the others get integers from `quantize`
_WHOLE_BLOCKS = ("IMA_ADPCM", "MS_ADPCM", "GSM610")  # libsndfile pads their last block with old samples
# (sample rate in Hz, dB): below this rate, libvorbis raises the level by so much in its long blocks. Measured with noise and
# tones at 48 to 250 kb/s for each channel
_VORBIS_RAISES = ((26_000, 0.0), (40_000, 0.06), (46_000, 0.065), (float("inf"), 0.08))
_PIECE = 16384  # samples at a time: libvorbis keeps them on the stack


class _Unsynced(soundfile.SoundFile):
    """Close files without waiting for the disk, since they are synced once before they are renamed."""

    def flush(self) -> None:
        pass


class AudioWriter:
    """Write a file from blocks of (C, n) floats. It is complete when the writer is closed. A context manager.

    `frames`: number of samples, if known, which decides between WAV and RF64. Raises OutputError for a full disk and
    similar problems, and if the file does not hold all samples, AudioError if the format has no encoder.
    """

    def __init__(self, path: str | os.PathLike, fmt: OutputFormat, channels: int, frames: int | None = None):
        self.path, self.format, self.channels, self.written = Path(path), fmt, channels, 0
        stored = 0 if fmt.subtype in _TAKE_FLOATS else depth(fmt.subtype) or 16
        self._bits = fmt.bits or stored
        self._bytes = channels * {"FLOAT": 4, "DOUBLE": 8}.get(fmt.subtype, (stored + 7) // 8)
        self._foreign = is_encoded_here(fmt) or fmt.film is not None
        self._gain = np.float32(_vorbis_gain(fmt.rate) if fmt.subtype == "VORBIS" else 1.0)
        self._sink: FilmEncoder | Encoder | soundfile.SoundFile
        try:
            if fmt.film is not None:
                self._sink = FilmEncoder(self.path, fmt, fmt.film, channels)
            elif self._foreign:
                self._sink = Encoder(self.path, fmt, channels)
            else:
                self._sink = self._open(_container(fmt.container, self._bytes, frames))
        except (soundfile.SoundFileError, OSError) as error:
            self._fail(error)

    @cached_property
    def _random(self) -> np.random.Generator:
        """Return the generator of dither, with a fixed seed. It is created on demand, since its module is slow to import."""
        return np.random.default_rng(0)

    def _open(self, container: str) -> soundfile.SoundFile:
        level = _compression(self.format, self.channels)
        name = str(self.path) if sys.platform == "win32" else os.fsencode(self.path)
        rate, subtype = self.format.rate, self.format.subtype
        return _Unsynced(name, "w", rate, self.channels, subtype, format=container, compression_level=level)

    def write(self, block: np.ndarray) -> None:
        """Append (C, n) samples. Beyond full scale they are clipped if the format holds integers."""
        if self.format.order is not None:
            block = block[list(self.format.order)]
        for begin in range(0, block.shape[1], _PIECE):
            piece = block[:, begin : begin + _PIECE]
            self.written += piece.shape[1]
            if self.format.container == "AIFF" and self.written * self._bytes > _LARGEST:
                raise AudioError(
                    f"{self.path} would pass 4 GB, which AIFF cannot hold", "choose --format wav, w64 or caf"
                )
            if self._foreign:
                self._sink.write(self._dithered(piece))
                continue
            values = quantize(self._dithered(piece), self._bits) if self._bits else piece
            if self._gain != 1:
                values = values * self._gain
            try:
                self._sink.write(np.ascontiguousarray(values.T))
            except (soundfile.SoundFileError, AssertionError, OSError) as error:
                self._fail(error)

    def _dithered(self, piece: np.ndarray) -> np.ndarray:
        """Return (C, n) samples with triangular noise (two steps wide), unless all are exact multiples of a step."""
        if not self.format.dither or not self._bits:
            return piece
        steps = piece.astype(np.float64) * 2.0 ** (self._bits - 1)
        if np.array_equal(steps, np.rint(steps)):
            return piece
        noise = self._random.random((2, *steps.shape)).sum(axis=0) - 1
        return (steps + noise) / 2.0 ** (self._bits - 1)

    def close(self) -> None:
        """Finish the file and check that it holds every sample."""
        try:
            if self.format.subtype in _WHOLE_BLOCKS:
                rest = -self.written % _block_length(self.format, self.channels)
                self._sink.write(np.zeros((rest, self.channels), np.int16))
            self._sink.close()
            if self._foreign:
                return
            if self.format.subtype in FLOATS:
                _clear_peak_time(self.path)
            _name_speakers(self.path, self.format)
            if self.format.subtype in _WHOLE_BLOCKS:
                _count_in_fact(self.path, self.written)
            held = soundfile.info(os.fspath(self.path) if sys.platform == "win32" else os.fsencode(self.path)).frames
        except (soundfile.SoundFileError, OSError) as error:
            self._fail(error)
        missing = held < self.written if self.format.subtype in _WHOLE_BLOCKS else held != self.written
        if missing and self._bytes:
            self._fail(f"it does not hold all {self.written} samples")

    def _fail(self, reason: object) -> None:
        known = getattr(reason, "error_string", None) or getattr(reason, "strerror", None) or str(reason)
        message = f"{self.path} could not be written ({(known or 'short write').rstrip('.')})"
        raise OutputError(message, NO_ROOM)

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
            return
        with contextlib.suppress(Exception):  # the error that caused this is the one to report
            self._sink.abort() if isinstance(self._sink, FilmEncoder) else self._sink.close()


def as_read(block: np.ndarray, fmt: OutputFormat) -> np.ndarray:
    """Return (C, n) samples as they will be read from a file of this format, float64. For lossy formats, unchanged."""
    if fmt.subtype in _TAKE_FLOATS or fmt.subtype in LOSSY:
        return block.astype(np.float32 if fmt.subtype == "FLOAT" else block.dtype).astype(np.float64)
    whole = quantize(block, fmt.bits or depth(fmt.subtype) or 16)
    return whole / -float(np.iinfo(whole.dtype).min)


def _vorbis_gain(rate: int) -> float:
    """Return the factor that compensates the rise in level by libvorbis at `rate` Hz."""
    raised = next(decibels for highest, decibels in _VORBIS_RAISES if rate < highest)
    return 10 ** (-raised / 20)


def _container(container: str, frame_bytes: int, frames: int | None) -> str:
    large = frames is None or frames * frame_bytes > _LARGEST
    return "RF64" if container in ("WAV", "WAVEX") and large else container


def _block_length(fmt: OutputFormat, channels: int) -> int:
    """Return the number of samples in a block, which is determined by writing one."""
    with io.BytesIO() as file:
        soundfile.write(file, np.zeros((1, channels)), fmt.rate, fmt.subtype, format=fmt.container)
        file.seek(0)
        return soundfile.info(file).frames


def _compression(fmt: OutputFormat, channels: int) -> float | None:
    """Return libsndfile's compression level, 0 (most bits) to 1, that comes nearest to fmt.bitrate."""
    if fmt.bitrate is None:
        return None
    kilobits = fmt.bitrate / 1000
    if fmt.subtype == "OPUS":
        level = (256 - kilobits / channels) / 250
    else:  # libvorbis' kilobits for one channel of a pair at 44.1 kHz
        per_channel = kilobits / channels * max(44100 / fmt.rate, 1)
        level = 1 - np.interp(per_channel, (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 250), np.linspace(0, 1, 11))
    return float(np.clip(level, 0, 0.99))


def _clear_peak_time(path: Path) -> None:
    """Clear the time stamp in the PEAK chunk of a float file, so that equal runs give equal files."""
    with open(path, "r+b") as file:
        form = chunks.walk(file)
        peak = form.find(b"PEAK") if form else None
        if peak:
            file.seek(peak.start + 4)
            file.write(bytes(4))


def _name_speakers(path: Path, fmt: OutputFormat) -> None:
    """Write the loudspeaker of each channel and the number of used bits into the header."""
    if fmt.container in ("CAF", "AIFF") and fmt.layout:
        name = b"chan" if fmt.container == "CAF" else b"CHAN"
        riff_tags.append_chunk(path, name, speakers.to_core_audio(fmt.layout))
    if fmt.container == "FLAC" and fmt.mask is not None:
        from mutagen.flac import FLAC

        tagged = FLAC(path)
        tagged["WAVEFORMATEXTENSIBLE_CHANNEL_MASK"] = f"0x{fmt.mask:04X}"
        tagged.save()
    if fmt.container not in ("WAVEX", "RF64"):
        return
    with open(path, "r+b") as file:
        form = chunks.walk(file)
        described = form.find(b"fmt ") if form else None
        if described is None or described.size < 40:
            return
        if fmt.bits:
            file.seek(described.start + 18)
            file.write(struct.pack("<H", fmt.bits))
        if fmt.mask is not None:
            file.seek(described.start + 20)
            file.write(struct.pack("<I", fmt.mask))
        if fmt.ambisonic:
            file.seek(described.start + 28)
            file.write(speakers.AMBISONIC)


def _count_in_fact(path: Path, frames: int) -> None:
    """Write the number of samples into the `fact` chunk. The rest of the last block is padding."""
    with open(path, "r+b") as file:
        form = chunks.walk(file)
        fact = form.find(b"fact") if form else None
        if form is not None and fact is not None and fact.size >= 4:
            file.seek(fact.start)
            file.write(struct.pack(form.order + "I", frames))
