"""Open any sound file and read it in blocks, in constant memory, with libsndfile or FFmpeg (see ffmpeg/decode.py).

The format is determined by the content, never by the name. The bytes of a file are trusted more than its header:
recordings that were joined end to end are read one after the other, and samples that the header does not count are read,
too. A damaged file is refused before any work, since libsndfile would read a truncated recording without an error.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from enhance_cli.audio.containers import chunks
from enhance_cli.audio.containers.mpeg_repair import find_patches
from enhance_cli.audio.containers.section import Section, Window
from enhance_cli.audio.containers.sections import find_sections
from enhance_cli.audio.ffmpeg import decode
from enhance_cli.audio.info import AudioInfo, Findings, depth, is_lossless
from enhance_cli.audio.native import CountError, Decode, fail_truncated, open_native
from enhance_cli.errors import AudioError

LOWEST_RATE, HIGHEST_RATE, MOST_CHANNELS = 1000, 768_000, 64
SHORTEST_DELAY = 0.03  # seconds: a longer delay of the sound is reported


def open_audio(path: str | os.PathLike, track: str | None = None) -> AudioFile:
    """Open a sound file, and determine its `info`.

    `track`: number (from 1) or language of a sound track, None for the one that a player would choose. Raises AudioError
    for a file that is missing, unreadable, empty, not audio or truncated, or has an impossible rate or number of channels.
    """
    path = Path(path)
    _check_there(path)
    opened = []
    sections = find_sections(path)
    for section in sections:
        file, used = _open_section(path, section, track)
        file.info = replace(file.info, notes=(*file.info.notes, *_notes(used)))
        opened.append(file)
    file = opened[0] if len(opened) == 1 else _joined(path, opened)
    if len(opened) > 1:
        file.info = replace(file.info, recordings=tuple((section.start, section.end) for section in sections))
    _check_sane(path, file.info.rate, file.info.channels)
    return file


class AudioFile:
    """Hold an open sound file. `blocks()` can be called several times. A context manager that closes the file."""

    def __init__(self, info: AudioInfo, decode: Decode, findings: Findings | None = None):
        self.info = info
        self.decode = decode  # `decode(first, size)` yields all samples from the number `first` on
        self.findings = findings or Findings()
        self._running: list[Generator[np.ndarray, None, None]] = []

    @property
    def notes(self) -> list[str]:
        """Return deviations from the header or the time stamps, complete when the file has been read to its end."""
        late = self.info.late / self.info.rate
        begins = f"the sound begins {late:.3f} s after the picture or the file: silence was put in front"
        return [*self.info.notes, *([begins] if late > SHORTEST_DELAY else []), *self.findings.notes]

    @property
    def bitrate(self) -> int | None:
        """Return the bits per second of the sound, as stated or, when the file has been read to its end, as counted."""
        return self.info.bitrate or self.findings.bitrate

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

    def _cut(self, first: int, wanted: int | None, frames: int) -> Generator[np.ndarray, None, None]:
        done = 0
        for block in self.decode(first, frames):
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

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_section(path: Path, section: Section, track: str | None) -> tuple[AudioFile, Section]:
    """Open one recording with libsndfile, or with FFmpeg if libsndfile refuses it or does not find all samples.

    Returns it with its section, patched if it is damaged.
    """
    if track is not None:
        return _open_foreign(path, section, track), section
    _check_promise(path, section)
    try:
        if section.understated or section.foreign:
            raise soundfile.SoundFileError("its header counts fewer samples than there are")
        if section.mixed:
            raise soundfile.SoundFileError("libsndfile does not see when the sound begins")
        return AudioFile(*open_native(path, section)), section
    except CountError as unfit:
        if patched := _patched(path, section):
            with suppress(soundfile.SoundFileError):
                return AudioFile(*open_native(path, patched)), patched
        return _open_as_counted(path, section, unfit), section
    except soundfile.SoundFileError as refusal:
        reason = getattr(refusal, "error_string", str(refusal)).strip(". ")
        file = _open_foreign(path, section, None)
        note = (f"{reason}: all of them were read",) if section.understated else ()
        return AudioFile(replace(file.info, notes=(*file.info.notes, *note)), file.decode, file.findings), section


def _patched(path: Path, section: Section) -> Section | None:
    """Return the section of a damaged MP3 with silence where its frames are missing, None for any other."""
    with open(path, "rb") as file:
        patches = find_patches(Window(file, section.start, section.end))
    return replace(section, patches=patches, holes=0) if patches else None


def _open_foreign(path: Path, section: Section, track: str | None) -> AudioFile:
    info, pieces, findings = decode.open_foreign(path, section.start, section.end, track, timed=section.timed)
    return AudioFile(info, lambda first, size: decode.regroup(pieces(), first, size), findings)


def _open_as_counted(path: Path, section: Section, unfit: CountError) -> AudioFile:
    """Open a recording with FFmpeg, if it finds the samples that libsndfile does not find. Raises AudioError if not."""
    try:
        file = _open_foreign(path, section, None)
        held = sum(block.shape[1] for block in file.blocks())
    except AudioError:
        if not unfit.promised:
            raise
        file, held = None, 0
    if file is None or held < unfit.promised and file.info.container not in ("OGG",):
        fail_truncated(path, max(held, unfit.held), unfit.promised, "samples")
    return file


def _notes(section: Section) -> Iterator[str]:
    """Yield notes on sound that a section may be missing."""
    if section.left:
        yield f"{section.left} bytes are neither sound nor a known chunk and were not read"
    if section.cut:
        yield "the recording breaks off: by its header or its last page it goes on"
    if section.patches:
        places = "place" if len(section.patches) == 1 else "places"
        yield f"damaged in {len(section.patches)} {places}: silence was put there, and the sound after it keeps its time"
    if section.holes:
        places = "place" if section.holes == 1 else "places"
        early = "" if section.timed else ": the sound behind comes early"
        yield f"parts of the recording are missing or damaged in {section.holes} {places}{early}"


def _joined(path: Path, files: list[AudioFile]) -> AudioFile:
    """Return several recordings of one file as one. Raises AudioError if they differ in rate or channels."""
    first, at = files[0].info, 0.0
    for number, file in enumerate(files, 1):
        info = file.info
        if (info.rate, info.channels) != (first.rate, first.channels):
            raise AudioError(
                f"{path} holds {len(files)} recordings one after the other, and number {number} has {info.rate} Hz and"
                f" {info.channels} channels instead of {first.rate} Hz and {first.channels}",
                "split it, or convert it with a program that resamples them",
            )
        at += (info.frames or 0) / info.rate
    counts = [file.info.frames for file in files]
    note = f"{len(files)} recordings lie one after the other in this file: all of them were read"
    notes = (note, *(note for file in files for note in file.info.notes))
    known = [count for count in counts if count is not None]
    subtype = max((file.info.subtype for file in files), key=_fineness) if is_lossless(first.subtype) else first.subtype
    bits = first.bits if len({(file.info.subtype, file.info.bits) for file in files}) == 1 else None
    frames = sum(known) if len(known) == len(files) else None
    info = replace(first, frames=frames, subtype=subtype, bits=bits, notes=notes)

    def pieces() -> Iterator[np.ndarray]:
        for file in files:
            yield from file.decode(0, 65536)

    findings = Findings()
    for file in files:
        file.findings.notes = findings.notes  # of all together
    return AudioFile(info, lambda skip, size: decode.regroup(pieces(), skip, size), findings)


def _fineness(subtype: str) -> int:
    """Return the bits of a sample, 0 for lossy subtypes. Floats have the most, since they also hold peaks above full scale."""
    return {"FLOAT": 64, "DOUBLE": 128}.get(subtype, depth(subtype) or 0)


def _check_there(path: Path) -> None:
    try:
        if path.is_dir():
            raise AudioError(f"{path} is a folder, not a file", "name the folder on the command line to take its files")
        mode = path.stat().st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
            raise AudioError(f"{path} is a device or a socket, not a file", "name a recording, or - for standard input")
        with open(path, "rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise AudioError(f"{path} does not exist", "check the name") from None
    except PermissionError:
        raise AudioError(f"{path} may not be read", "change its permissions (chmod +r)") from None
    except (OSError, ValueError) as error:
        raise AudioError(
            f"{path} cannot be opened ({getattr(error, 'strerror', None) or error})", "check the name and the disk"
        ) from None
    if empty:
        raise AudioError(f"{path} is empty (zero bytes)", "copy or record it again")


def _check_promise(path: Path, section: Section) -> None:
    with open(path, "rb") as file:
        promise = chunks.promise(Window(file, section.start, section.end))
    if promise is None:
        return
    _check_sane(path, promise.rate, promise.channels)
    if promise.padded:  # libsndfile and FFmpeg would read the padding as a part of the next sample
        raise AudioError(
            f"{path} has samples with padding between them, which cannot be read",
            "convert it to packed samples: afconvert -f caff -d BEI24 IN OUT",
        )
    if promise.truncated and section.raw is None:
        unit, size = ("samples", promise.frame_bytes) if promise.frame_bytes else ("bytes", 1)
        fail_truncated(path, promise.held // size, promise.promised // size, unit)


def _check_sane(path: Path, rate: float, channels: int) -> None:
    if not 1 <= channels <= MOST_CHANNELS:
        raise AudioError(
            f"{path} has {channels} channels", f"give it between 1 and {MOST_CHANNELS}, or repair its header"
        )
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(f"{path} has a sample rate of {rate:g} Hz", "its header looks damaged; repair or convert it")
