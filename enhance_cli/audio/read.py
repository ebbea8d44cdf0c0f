"""Opens any sound file and yields it in blocks, in constant memory, by libsndfile or (see decode.py) by
FFmpeg.

Decides by content, never by the name. A file that is damaged says so before any work is done on it:
libsndfile itself would read a truncated recording to where it breaks off and call it complete.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import soundfile

from enhance_cli.audio import chunks, decode, mpeg
from enhance_cli.audio.info import LOSSY, AudioInfo
from enhance_cli.errors import AudioError

__all__ = ["AudioFile", "AudioInfo", "open_audio"]

LOWEST_RATE, HIGHEST_RATE, MOST_CHANNELS = 1000, 768_000, 64
_UNKNOWN = 2**62  # libsndfile's frame count for streams without one is near 2**63
_UNREADABLE = (soundfile.SoundFileError, ValueError)  # the latter where libsndfile says that it is past the end
_DOUBLE = ("PCM_32", "DOUBLE", "ALAC_32")  # subtypes that float32 cannot hold
Decode = Callable[[int, int], Iterator[np.ndarray]]  # (first sample, samples per block) -> blocks


def open_audio(path: str | os.PathLike) -> AudioFile:
    """Open a sound file; its `.info` is known, and it can be read, when this returns.

    Raises AudioError for what is missing, unreadable, empty, not audio, truncated, or absurd (rate,
    channels).
    """
    path = Path(path)
    _check_there(path)
    _check_promise(path)
    try:
        info, blocks = _by_libsndfile(path)
    except soundfile.SoundFileError as refusal:
        info, blocks = decode.open_foreign(path, getattr(refusal, "error_string", str(refusal)))
    _check_sane(path, info.rate, info.channels)
    return AudioFile(info, blocks)


class AudioFile:
    """An open sound file: `info`, and `blocks()` as often as wanted. A context manager that closes what is
    left open.
    """

    def __init__(self, info: AudioInfo, decode: Decode):
        self.info = info
        self._decode = decode
        self._running: list[Iterator[np.ndarray]] = []

    def blocks(self, frames: int = 65536, start: float = 0.0, duration: float | None = None) -> Iterator[np.ndarray]:
        """Yield (C, n) blocks, n <= frames, from `start` s for `duration` s (None: to the end).

        float32, but float64 for 32-bit integers and doubles. Raises AudioError where the file is damaged, has
        a sample that is not finite, or ends before `start`.
        """
        first = round(start * self.info.rate)
        wanted = None if duration is None else round(duration * self.info.rate)
        blocks = self._cut(first, wanted, frames)
        self._running.append(blocks)
        return blocks

    def _cut(self, first: int, wanted: int | None, frames: int) -> Iterator[np.ndarray]:
        done = 0
        for block in self._decode(first, frames):
            if wanted is not None:
                block = block[:, : wanted - done]
            if not np.isfinite(block).all():
                self._fail_not_finite(first + done + int(np.argmin(np.isfinite(block).all(axis=0))))
            done += block.shape[1]
            if block.shape[1]:
                yield block
            if done == wanted:
                break
        if not done:
            after = f" after {first / self.info.rate:g} s" if first else ""
            raise AudioError(f"{self.info.path} holds no audio{after}", "choose an earlier start, or another file")

    def _fail_not_finite(self, position: int) -> None:
        raise AudioError(
            f"{self.info.path} has a sample that is not a number (NaN or infinite) at"
            f" {position / self.info.rate:.3f} s (sample {position})",
            "repair it in an editor, or convert it to integers: ffmpeg -i IN -c:a pcm_s24le OUT.wav",
        )

    def close(self) -> None:
        for blocks in self._running:
            blocks.close()
        self._running.clear()

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _check_there(path: Path) -> None:
    try:
        if path.is_dir():
            raise AudioError(f"{path} is a folder, not a file", "name the folder on the command line to take its files")
        with open(path, "rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise AudioError(f"{path} does not exist", "check the name") from None
    except PermissionError:
        raise AudioError(f"{path} may not be read", "change its permissions (chmod +r)") from None
    except (OSError, ValueError) as error:
        raise AudioError(f"{path} cannot be opened ({error})", "check the name and the disk") from None
    if empty:
        raise AudioError(f"{path} is empty (zero bytes)", "copy or record it again")


def _check_promise(path: Path) -> None:
    with open(path, "rb") as file:
        promise = chunks.promise(file)
    if promise is None:
        return
    _check_sane(path, promise.rate, promise.channels)
    if promise.truncated:
        unit, size = ("samples", promise.frame_bytes) if promise.frame_bytes else ("bytes", 1)
        _fail_truncated(path, promise.held // size, promise.promised // size, unit)


def _check_sane(path: Path, rate: float, channels: int) -> None:
    if not 1 <= channels <= MOST_CHANNELS:
        raise AudioError(
            f"{path} has {channels} channels", f"give it between 1 and {MOST_CHANNELS}, or repair its header"
        )
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(f"{path} has a sample rate of {rate:g} Hz", "its header looks damaged; repair or convert it")


def _fail_truncated(path: Path, held: int, promised: int, unit: str) -> None:
    raise AudioError(
        f"{path} is truncated: only {held} of {promised} {unit} can be read",
        "copy it again, or keep what is there with: ffmpeg -i IN OUT.wav",
    )


@contextmanager
def _sound_file(path: Path) -> Iterator[soundfile.SoundFile]:
    # Opened by descriptor, so that libsndfile sees no name: it would take any text called .au or .vox for raw
    # audio.
    # It also keeps names that are not UTF-8 working.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        source = file if sys.platform == "win32" else descriptor  # numbers mean nothing to another C library
        with _SoundFile(source, closefd=False) as sound:
            yield sound


class _SoundFile(soundfile.SoundFile):
    """soundfile seeks after every read, which the last one does not survive in a FLAC that does not state its length, as come
    out of pipes."""

    def seekable(self) -> bool:
        return self.frames < _UNKNOWN and super().seekable()


def _by_libsndfile(path: Path) -> tuple[AudioInfo, Decode]:
    with _sound_file(path) as sound:
        frames = sound.frames if sound.frames < _UNKNOWN else None
        if frames == 0:  # a recorder that was cut off never filled the length in; FFmpeg can read those
            return decode.open_foreign(path, "it holds no audio samples")
        guessed = sound.format == "MP3" and _length_is_guessed(path)
        held = _held(path, sound) if frames is not None else None
        if held != frames:
            if sound.format == "OGG":  # it promises no length; libsndfile has lost its way in a valid Opus file
                return decode.open_foreign(path, f"it gives up after {held} samples")
            if not (guessed and held):
                _fail_truncated(path, held, frames, "samples")
            frames = held
        rate, subtype = sound.samplerate, sound.subtype
        bitrate = int(path.stat().st_size * 8 * rate / frames) if subtype in LOSSY and frames else None
        info = AudioInfo(path, sound.format, subtype, rate, sound.channels, frames, "libsndfile", bitrate)

    def blocks(first: int, size: int) -> Iterator[np.ndarray]:
        done = first
        with _sound_file(path) as sound:
            if frames is not None and first >= frames:
                return
            try:
                _go_to(sound, first)
                while len(block := sound.read(size, _dtype(subtype), always_2d=True)):
                    done += len(block)
                    yield np.ascontiguousarray(block.T)
            except _UNREADABLE as error:
                raise AudioError(f"{path} is damaged after sample {done} ({error})", "repair or convert it") from None
        if frames is not None and done != frames:
            _fail_truncated(path, done, frames, "samples")

    return info, blocks


def _dtype(subtype: str) -> str:
    return "float64" if subtype in _DOUBLE else "float32"


def _go_to(sound: soundfile.SoundFile, first: int) -> None:
    """Go from the beginning to sample `first`; in GSM 6.10 and its like only by decoding what lies before."""
    if sound.seekable():
        sound.seek(first)
        return
    while first > 0 and (count := len(sound.read(min(first, 65536)))):
        first -= count


def _length_is_guessed(path: Path) -> bool:
    """Of an MP3. Raises SoundFileError if the guess may be far from the truth."""
    with open(path, "rb") as file:
        if mpeg.states_length(file):
            return False
        if mpeg.varies(file):
            raise soundfile.SoundFileError("an MP3 of varying bitrate that does not state its length")
        return True


def _held(path: Path, sound: soundfile.SoundFile) -> int:
    """How many of the promised samples can be read. FLAC and MP3 promise a number outside of any chunk."""
    held = 0
    with suppress(*_UNREADABLE):
        if sound.seekable():
            sound.seek(sound.frames - 1)
            if len(sound.read(1)) == 1:
                return sound.frames
    with suppress(*_UNREADABLE), _sound_file(path) as again:  # libsndfile is not itself after a failure
        while count := len(again.read(1024)):
            held += count
    return held
