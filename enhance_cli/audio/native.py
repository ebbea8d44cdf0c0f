"""Read files with libsndfile, whole or one section of them, with the loudspeakers of the header."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NoReturn

import numpy as np
import soundfile

from enhance_cli.audio.containers import mpeg
from enhance_cli.audio.containers.native_headers import (
    as_in_header,
    check_samples,
    counted_by_fact,
    samples_counted,
    speakers,
)
from enhance_cli.audio.containers.section import PatchedWindow, Section, Window, bytes_per_sample
from enhance_cli.audio.info import LOSSY, AudioInfo, Findings
from enhance_cli.audio.library_messages import caught_messages
from enhance_cli.errors import AudioError

Decode = Callable[[int, int], Iterator[np.ndarray]]  # (first sample, samples per block) -> blocks

_RAW_CONTAINER = "RAW"
_UNKNOWN = 2**62  # libsndfile's frame count for streams without one is near 2**63
_UNREADABLE = (soundfile.SoundFileError, ValueError)  # ValueError if libsndfile reports a position after the end
_DOUBLE = ("PCM_32", "DOUBLE", "ALAC_32")  # subtypes that float32 cannot hold
_ADPCM = ("IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32")


class CountError(soundfile.SoundFileError):
    """Report that libsndfile reads another number of samples than the header counts: `held` of `promised`."""

    def __init__(self, held: int, promised: int):
        super().__init__(f"only {held} of {promised} samples can be read")
        self.held, self.promised = held, promised


def open_native(path: Path, section: Section) -> tuple[AudioInfo, Decode, Findings]:
    """Open a section of a file with libsndfile. The findings are complete when it has been read to its end.

    Raises SoundFileError for formats it does not read, and CountError, one of these, where it does not find all
    samples.
    """
    reader = _Reader(path, section)
    return reader.info, reader.blocks, reader.findings


class _Reader:
    """Read one section of a file with libsndfile. Raises as `open_native`."""

    def __init__(self, path: Path, section: Section):
        self._path, self._section = path, section
        self._printed: list[str] = []  # by the decoder of MP3
        self._is_mp3 = _is_mp3(path, section)
        self._opened = _opener(path, section, self._printed if self._is_mp3 else None)
        self.findings = Findings()
        self.info = self._describe()
        self._printed_before = len(self._printed)

    def blocks(self, first: int, size: int) -> Iterator[np.ndarray]:
        """Yield (C, n) blocks of `size` samples from the sample `first` on. Raises AudioError where it is damaged."""
        frames, dtype, done = self.info.frames, _dtype(self.info.subtype), first
        with self._opened() as sound:
            if frames is not None and first >= frames:
                return
            try:
                with self._jump() if first else self._listen():
                    _go_to(sound, first)
                    block = sound.read(size, dtype, always_2d=True)
                while len(block):
                    if frames is not None:
                        block = block[: frames - done]
                    done += len(block)
                    yield np.ascontiguousarray(block.T)
                    if done == frames:
                        break
                    with self._listen():
                        block = sound.read(size, dtype, always_2d=True)
            except _UNREADABLE as error:
                message = f"{self._path} is damaged after sample {done} ({error})"
                raise AudioError(message, "repair or convert it") from None
            finally:
                _add_notes(self.findings, self._printed[self._printed_before :], self.info)
        if frames is not None and done != frames:
            fail_truncated(self._path, done, frames, "samples")

    def _describe(self) -> AudioInfo:
        path, section = self._path, self._section
        with self._opened() as sound:
            frames = self._count(sound)
            container = _RAW_CONTAINER if section.raw else sound.format
            subtype, rate, count = sound.subtype, sound.samplerate, sound.channels
        if subtype in _ADPCM and frames is not None:
            frames = counted_by_fact(path, section, frames)
        size = section.end - section.start
        bitrate = int(size * 8 * rate / frames) if subtype in LOSSY and frames else None
        info = AudioInfo(
            path, container, subtype, rate, count, frames, "libsndfile", bitrate,
            notes=tuple(map(_told, self._printed)), **speakers(path, section, container, subtype, count),
        )  # fmt: skip
        return as_in_header(path, section, section.raw, info) if section.raw else info

    def _count(self, sound: soundfile.SoundFile) -> int | None:
        """Return the samples of each channel, None for a stream that does not state them."""
        path, section = self._path, self._section
        frames = sound.frames if sound.frames < _UNKNOWN else None
        if sound.format == "W64" and frames is not None and (counted := samples_counted(path, section)) is not None:
            frames = min(frames, counted)
        if frames == 0:  # a recorder that was cut off never filled the length in; FFmpeg can read those
            raise CountError(0, 0)
        if sound.format in ("WAV", "WAVEX") and sound.subtype.startswith("MPEG"):
            raise soundfile.SoundFileError("MP3 in a WAV header, whose length libsndfile only guesses")
        if sound.format == "SVX" and sound.channels > 1:
            raise soundfile.SoundFileError(
                "8SVX has one channel behind the other, which libsndfile takes for interleaved"
            )
        check_samples(path, section, sound)
        guessed = sound.format == "MP3" and _length_is_guessed(path, section)
        if frames is None or (held := self._count_readable(sound)) == frames:
            return frames
        if guessed and held:
            return held
        raise CountError(held, frames)

    def _count_readable(self, sound: soundfile.SoundFile) -> int:
        """Return how many of the promised samples can be read. FLAC and MP3 promise a number outside of any chunk."""
        held = 0
        with suppress(*_UNREADABLE), self._jump():
            if sound.seekable():
                sound.seek(sound.frames - 1)
                if len(sound.read(1)) == 1:
                    return sound.frames
        with suppress(*_UNREADABLE), self._opened() as again, self._jump():  # libsndfile is not itself after a failure
            while count := len(again.read(1024)):
                held += count
        return held

    def _jump(self) -> AbstractContextManager:
        """Return a context for a jump. The decoder of MP3 complains about the bits that it then lacks of earlier frames."""
        return caught_messages([]) if self._is_mp3 else nullcontext()

    def _listen(self) -> AbstractContextManager:
        """Return a context in which messages of the decoder of MP3 are collected."""
        return caught_messages(self._printed) if self._is_mp3 else nullcontext()


def fail_truncated(path: Path, held: int, promised: int, unit: str) -> NoReturn:
    """Raise an AudioError with the part of a file that can be read."""
    raise AudioError(
        f"{path} is truncated: only {held} of {promised} {unit} can be read",
        "copy it again, or keep the part that is there: ffmpeg -i IN OUT.wav",
    )


def _told(line: str) -> str:
    """Return a note with a line that libmpg123 has printed, without the place in its source code."""
    return "libmpg123 says of it: " + re.sub(r"^\[[^]]*\]\s*", "", line)


def _add_notes(findings: Findings, said: list[str], info: AudioInfo) -> None:
    """Add notes on the lines that libmpg123 has printed while reading, one for each kind of line."""
    kind = lambda note: re.sub(r"0x[0-9a-f]+|\d+", "N", note)
    kinds = {kind(note) for note in (*info.notes, *findings.notes)}
    for note in map(_told, said):
        if kind(note) not in kinds:
            kinds.add(kind(note))
            findings.notes.append(note)


def _is_mp3(path: Path, section: Section) -> bool:
    with open(path, "rb") as file:
        file.seek(section.start)
        head = file.read(2)
    return head == b"ID" or len(head) == 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0


def _opener(
    path: Path, section: Section, said: list[str] | None
) -> Callable[[], AbstractContextManager[soundfile.SoundFile]]:
    """Return a function that opens a section for libsndfile as a context manager.

    `said`: receives the lines that its MP3 decoder prints, None to leave them alone.

    libsndfile is not given the name of the file, since it would read any text file called .au or .vox as raw audio. This
    also allows names that are not valid UTF-8.
    """

    @contextmanager
    def opened() -> Iterator[soundfile.SoundFile]:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            if raw := section.raw:
                frame = bytes_per_sample(raw.subtype) * raw.channels
                window = Window(file, raw.start, raw.end - (raw.end - raw.start) % frame)
                with soundfile.SoundFile(
                    window, format="RAW", subtype=raw.subtype, endian=raw.endian, samplerate=raw.rate,
                    channels=raw.channels,
                ) as sound:  # fmt: skip
                    yield sound
                return
            whole = section.start == 0 and section.end == os.fstat(descriptor).st_size and not section.patches
            window = PatchedWindow(file, section.start, section.end, section.patches)
            # On Windows, libsndfile uses another C runtime, in which this file descriptor is not valid.
            source = descriptor if whole and sys.platform != "win32" else window
            with nullcontext() if said is None else caught_messages(said):
                sound = _SoundFile(source, closefd=False)
            with sound:
                yield sound

    return opened


class _SoundFile(soundfile.SoundFile):
    """Read without a seek after every read, which fails at the end of a FLAC without a length (written to a pipe)."""

    def seekable(self) -> bool:
        return self.frames < _UNKNOWN and super().seekable()


def _dtype(subtype: str) -> str:
    return "float64" if subtype in _DOUBLE else "float32"


def _go_to(sound: soundfile.SoundFile, first: int) -> None:
    """Go from the beginning to sample `first`. In GSM 6.10 and similar codecs, all samples before it are decoded."""
    if sound.seekable():
        sound.seek(first)
        return
    while first > 0 and (count := len(sound.read(min(first, 65536)))):
        first -= count


def _length_is_guessed(path: Path, section: Section) -> bool:
    """Return whether libsndfile guesses the length of an MP3. Raises SoundFileError if it may be far from the truth."""
    with open(path, "rb") as file:
        window = Window(file, section.start, section.end)
        if mpeg.states_length(window):
            return False
        if mpeg.varies(window):
            raise soundfile.SoundFileError("an MP3 of varying bitrate that does not state its length")
        return True
