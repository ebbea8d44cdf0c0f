"""Read formats that libsndfile cannot read (m4a, AAC, video, Matroska, WavPack, ...) with FFmpeg, in a separate process.

Audio is decoded to float blocks (C, n) in constant memory. The length of a track is known only after decoding. An MP4
file states where its sound ends within the last packet. FFmpeg does not cut the padding after it, so it is cut here. A
decoder process is reused for later files: only the first file of a run has to wait for its start, for a third of a second.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np

from enhance_cli.audio.channels import from_names
from enhance_cli.audio.ffmpeg.child import Child
from enhance_cli.audio.info import AudioInfo, Chapter, Findings, Track
from enhance_cli.errors import AudioError

NO_TRACK, NOT_THIS_TRACK = "it has no audio track", "it has no sound track "
_PADDING = 4096  # samples, more than the padding in the last packet of any AAC
_RAW = {".g722": "g722"}  # files without any header, which can be recognized only by their name
_CONTAINERS = {
    "mov": "M4A", "matroska": "MKV", "asf": "ASF", "mpegts": "TS", "wv": "WAVPACK", "w64": "W64", "aiff": "AIFF",
}  # fmt: skip
_CODECS = {
    "mp3": "MPEG_LAYER_III", "mp3float": "MPEG_LAYER_III", "mp2": "MPEG_LAYER_II", "mp2float": "MPEG_LAYER_II",
    "mp1": "MPEG_LAYER_I", "mp1float": "MPEG_LAYER_I", "libopus": "OPUS", "libvorbis": "VORBIS",
    "pcm_mulaw": "ULAW", "pcm_alaw": "ALAW", "pcm_u8": "PCM_U8", "pcm_s8": "PCM_S8",
}  # fmt: skip
_LOSSLESS = ("alac", "flac", "wavpack", "tta", "ape", "truehd", "mlp", "shorten", "tak", "wmalossless", "ralf", "als")
Pieces = Callable[[], Iterator[np.ndarray]]


def open_foreign(
    path: Path, start: int = 0, end: int | None = None, track: str | None = None, *, timed: bool = False
) -> tuple[AudioInfo, Pieces, Findings]:
    """Open bytes `start` to `end` of a file. Returns its description, a function that decodes it, and its findings.

    `track`: number (from 1) or language of a sound track. `timed`: put silence where the time stamps of an Ogg jump. Raises
    AudioError if the file cannot be read as audio.
    """
    request = {
        "path": os.fsencode(os.path.abspath(path)).hex(), "start": start, "end": path.stat().st_size if end is None else end,
        "track": track, "timed": timed, "format": _RAW.get(path.suffix.lower()),
    }  # fmt: skip
    facts: dict = {}
    with contextlib.closing(_messages(path, {**request, "samples": False})) as messages:
        for kind, data in messages:
            if kind == b"H":
                facts = json.loads(bytes(data))
            elif kind == b"F":
                _fail_not_audio(path, bytes(data).decode("utf-8", "replace"))
    info, findings = _described(path, facts, asked=track), Findings()
    dtype = np.float64 if facts["double"] else np.float32

    def decoded() -> Iterator[np.ndarray]:
        done = 0
        for kind, data in _messages(path, {**request, "samples": True}):
            if kind == b"S":
                block = np.frombuffer(data, dtype).reshape(-1, info.channels).T
                done += block.shape[1]
                yield np.ascontiguousarray(block)
            elif kind == b"N":
                note = bytes(data).decode()
                if note not in findings.notes:
                    findings.notes.append(note)
            elif kind == b"J":
                findings.left_out = int(bytes(data))
            elif kind == b"R":
                findings.bitrate = int(bytes(data))
            elif kind == b"F":
                after = f"{done / info.rate:.2f} s ({bytes(data).decode('utf-8', 'replace')})"
                raise AudioError(f"{path} is damaged after {after}", "repair or convert it")

    def pieces() -> Iterator[np.ndarray]:
        if facts["claimed"] is None:
            return decoded()
        padded = info.container in ("M4A", "MP4", "MOV", "3GP")
        return _as_claimed(path, decoded(), facts["claimed"], _PADDING if padded else 0, findings)

    return info, pieces, findings


def regroup(pieces: Iterator[np.ndarray], skip: int, size: int) -> Iterator[np.ndarray]:
    """Yield (C, n) pieces as blocks of `size` samples, without the first `skip` samples."""
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


def _fail_not_audio(path: Path, reason: str) -> None:
    if reason == NO_TRACK:
        raise AudioError(f"{path} has no sound track", "there is nothing to process")
    if reason.startswith(NOT_THIS_TRACK):
        raise AudioError(f"{path}{reason.removeprefix('it')}", "choose another --track")
    raise AudioError(
        f"{path} is not audio that can be read ({reason})", "if it plays elsewhere, convert it to WAV first"
    )


def _described(path: Path, facts: dict, *, asked: str | None) -> AudioInfo:
    channels, tracks = facts["channels"], tuple(Track(*track) for track in facts["tracks"])
    notes: tuple[str, ...] = ()
    if len(tracks) > 1:
        others = ", ".join(str(track) for track in tracks)
        hint = "" if asked else " (--track chooses another)"
        notes = (f"of {len(tracks)} sound tracks number {facts['track']} was taken{hint}: {others}",)
    return AudioInfo(
        path, _container(facts), _subtype(facts), facts["rate"], channels, None, "ffmpeg", facts["bitrate"],
        layout=from_names(facts["speakers"]) if channels > 2 else None, tracks=tracks, track=facts["track"],
        codec=facts["codec"], late=facts["late"],
        chapters=tuple(Chapter(*chapter) for chapter in facts["chapters"]), tags=facts["tags"], film=facts["film"],
        notes=notes,
    )  # fmt: skip


def _container(facts: dict) -> str:
    name, brand = facts["container"].split(",")[0], facts["brand"]
    if name == "mov":
        if brand.startswith("qt"):
            return "MOV"
        if brand.startswith("3g"):
            return "3GP"
        return "MP4" if facts["film"] else "M4A"
    return _CONTAINERS.get(name, name.upper())


def _subtype(facts: dict) -> str:
    codec, bits = facts["codec"], facts["bits"]
    if codec in _CODECS:
        return _CODECS[codec]
    if codec in _LOSSLESS and facts["float"]:
        return "FLOAT"
    if codec in _LOSSLESS and not (codec == "flac" and facts["container"] == "flac"):
        return f"{codec.upper()}_{_whole_bytes(bits)}"
    if codec.startswith("pcm_") or codec == "flac":
        return "DOUBLE" if bits == 53 else "FLOAT" if facts["float"] else f"PCM_{_whole_bytes(bits)}"
    return codec.upper()


def _whole_bytes(bits: int) -> int:
    return 16 if bits <= 16 else 24 if bits <= 24 else 32


def _as_claimed(
    path: Path, pieces: Iterator[np.ndarray], claimed: int, padding: int, findings: Findings
) -> Iterator[np.ndarray]:
    """Yield the pieces without the samples after `claimed`, unless there are more than `padding` of them.

    Raises AudioError if many samples are missing, but for those that a jump of the time stamps leaves out.
    """
    done = 0
    beyond: list[np.ndarray] = []
    for piece in pieces:
        keep = max(claimed - done, 0)
        done += piece.shape[1]
        if done <= claimed + padding:
            if keep < piece.shape[1]:  # an empty slice would keep the whole piece in memory
                beyond.append(piece[:, keep:])
            yield piece[:, :keep]
        else:  # there is more than padding: the claim was wrong, and all of it is sound
            yield from beyond
            beyond.clear()
            yield piece
    claimed -= findings.left_out
    if done < claimed - max(0.01 * claimed, 4 * _PADDING):
        raise AudioError(f"{path} is truncated: only {done} of {claimed} samples can be read", "copy it again")


# --- the decoder processes --------------------------------------------------------------------------------------


_idle: list[Child] = []
_lock = threading.Lock()


def _messages(path: Path, request: dict) -> Generator[tuple[bytes, bytes], None, None]:
    """Yield the answers of a decoder up to the end or a failure. Raises AudioError if the decoder dies."""
    decoder = _taken(request)
    reusable = False
    try:
        while (message := decoder.receive()) is not None:
            reusable = message[0] in (b"E", b"F")
            if message[0] != b"E":
                yield message
            if reusable:
                return
        decoder.process.wait()
        raise AudioError(f"{path} makes the decoder crash or hang", "repair it, or convert it with another program")
    finally:
        if reusable:
            with _lock:
                _idle.append(decoder)
        else:
            decoder.end()


def _taken(request: dict) -> Child:
    """Send the request to an idle decoder, or to a new one, and return it."""
    while True:
        with _lock:
            decoder = _idle.pop() if _idle else None
        fresh = decoder is None
        decoder = decoder or Child("enhance_cli.audio.ffmpeg.decoder")
        try:
            decoder.ask(request)
            return decoder
        except OSError:  # the decoder was killed while it was idle
            decoder.end()
            if fresh:
                raise


@atexit.register
def _end_all() -> None:
    while _idle:
        _idle.pop().end()


def _forget_all() -> None:
    """Forget the decoders of the parent process after a fork, since they belong to the parent."""
    global _lock
    _idle.clear()
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
