"""Builds sound files of every awkward kind: each function writes one into a folder and returns its path.

BROKEN must be refused with an AudioError, ODD must be read; `tests/audio/test_read.py` goes through both.
Import it as `from tests.audio_zoo import ...` (pytest's `pythonpath` is the root of the repository).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from enhance_cli.audio.read import AudioFile, open_audio

RATE = 16000
FRAMES = 16000
PADDING = bytes(4)  # of bext: nothing


def noise(channels: int = 1, frames: int = FRAMES, seed: int = 0) -> np.ndarray:
    """(C, N) float32 noise on a 16-bit grid at -26 dB, so that any integer format holds it exactly."""
    samples = np.random.default_rng(seed).standard_normal((channels, frames)) * 0.05
    return (np.rint(samples * 32768) / 32768).astype(np.float32)


def without_place(path: Path) -> bytes:
    """The bytes of a local output with the place of its source made unknown in its mark, as for a source in object storage."""
    content, found = re.subn(rb"( from=)[0-9a-f]{8}", rb"\g<1>00000000", path.read_bytes())
    assert found == 1
    return content


def save(path: Path, audio: np.ndarray, rate: int = RATE, container: str = "WAV", subtype: str = "PCM_16") -> Path:
    soundfile.write(path, audio.T, rate, format=container, subtype=subtype)
    return path


def read(path: Path, track: str | None = None, **part) -> tuple[np.ndarray, AudioFile]:
    """The samples (C, N) of a file, or of a part by the arguments of AudioFile.blocks, and the file, now closed."""
    with open_audio(path, track) as audio:
        return np.concatenate(list(audio.blocks(**part)), axis=1), audio


def wave_bytes(
    data: bytes,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    tag: int = 1,
    promised: int | None = None,
) -> bytes:
    """A plain WAV file whose header says just what it is told to, true or not."""
    block = channels * bits // 8
    header = struct.pack("<HHIIHH", tag, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    size = len(data) if promised is None else promised
    body = b"WAVE" + chunk(b"fmt ", header) + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(36 + size, 0xFFFFFFFF)) + body


def chunk(name: bytes, payload: bytes) -> bytes:
    return name + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)


def add_chunks(path: Path, *extra: bytes) -> Path:
    """Insert chunks in front of the audio of a plain WAV file, as field recorders do."""
    raw = path.read_bytes()
    data = raw.index(b"data")
    raw = raw[:data] + b"".join(extra) + raw[data:]
    path.write_bytes(raw[:4] + struct.pack("<I", len(raw) - 8) + raw[8:])
    return path


def _wave(folder: Path, name: str, **header) -> Path:
    path = folder / name
    path.write_bytes(wave_bytes(bytes(2000), **header))
    return path


def _cut(path: Path, share: float = 0.6) -> Path:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    return path


# --- broken
# -----------------------------------------------------------------------------------------------------------


def zero_bytes(folder: Path) -> Path:
    path = folder / "zero_bytes.wav"
    path.touch()
    return path


def text_named_wav(folder: Path) -> Path:
    path = folder / "text.wav"
    path.write_text("This is a shopping list, not a recording.\n" * 50)
    return path


def text_named_au(folder: Path) -> Path:
    """libsndfile takes any file called .au for raw mu-law audio."""
    return text_named_wav(folder).rename(folder / "text.au")


def random_bytes(folder: Path) -> Path:
    path = folder / "random.mp3"
    path.write_bytes(np.random.default_rng(1).bytes(5000))
    return path


def header_only(folder: Path) -> Path:
    path = folder / "header_only.wav"
    path.write_bytes(wave_bytes(b""))
    return path


def half_a_header(folder: Path) -> Path:
    path = folder / "half_a_header.wav"
    path.write_bytes(wave_bytes(b"")[:20])
    return path


def truncated_wav(folder: Path) -> Path:
    return _cut(save(folder / "truncated.wav", noise()))


def truncated_flac(folder: Path) -> Path:
    return _cut(save(folder / "truncated.flac", noise(frames=5 * FRAMES), container="FLAC"))


def truncated_aiff(folder: Path) -> Path:
    return _cut(save(folder / "truncated.aiff", noise(), container="AIFF"))


def truncated_w64(folder: Path) -> Path:
    return _cut(save(folder / "truncated.w64", noise(), container="W64"))


def truncated_caf(folder: Path) -> Path:
    return _cut(save(folder / "truncated.caf", noise(), container="CAF"))


def truncated_rf64(folder: Path) -> Path:
    return _cut(save(folder / "truncated_rf64.wav", noise(), container="RF64"))


def truncated_mp3(folder: Path) -> Path:
    return _cut(save(folder / "truncated.mp3", noise(frames=5 * FRAMES), container="MP3", subtype="MPEG_LAYER_III"))


def absurd_rate(folder: Path) -> Path:
    return _wave(folder, "absurd_rate.wav", rate=4_000_000_000)


def rate_of_one(folder: Path) -> Path:
    return _wave(folder, "rate_of_one.wav", rate=1)


def no_channels(folder: Path) -> Path:
    return _wave(folder, "no_channels.wav", channels=0)


def channels_65(folder: Path) -> Path:
    return _wave(folder, "channels_65.wav", channels=65)


def nan_samples(folder: Path) -> Path:
    audio = noise()
    audio[0, 12345] = np.nan
    return save(folder / "nan.wav", audio, subtype="FLOAT")


def infinite_samples(folder: Path) -> Path:
    audio = noise(channels=2)
    audio[1, 100] = np.inf
    return save(folder / "infinite.wav", audio, subtype="FLOAT")


# --- odd, but sound
# ---------------------------------------------------------------------------------------------------


def one_sample(folder: Path) -> Path:
    return save(folder / "one_sample.wav", np.full((1, 1), 0.5, np.float32))


def wrong_extension(folder: Path) -> Path:
    return save(folder / "really_flac.wav", noise(), container="FLAC")


def wav_named_raw(folder: Path) -> Path:
    return save(folder / "really_wav.raw", noise())


def channels_64(folder: Path) -> Path:
    return save(folder / "channels_64.wav", noise(channels=64, frames=500))


def rf64(folder: Path) -> Path:
    return save(folder / "small_rf64.wav", noise(channels=2), container="RF64")


def streamed_wav(folder: Path) -> Path:
    """As ffmpeg, sox and others write into a pipe: the length is not filled in."""
    path = folder / "streamed.wav"
    path.write_bytes(wave_bytes((noise() * 32768).astype("<i2").tobytes(), promised=0xFFFFFFFF))
    return path


def streamed_flac(folder: Path) -> Path:
    """As from a pipe: the encoder could not go back to write the number of samples."""
    path = save(folder / "streamed.flac", noise(), container="FLAC")
    raw = bytearray(path.read_bytes())
    raw[21] &= 0xF0  # 36 bits in the block STREAMINFO
    raw[22:26] = bytes(4)
    path.write_bytes(raw)
    return path


def broadcast_wav(folder: Path) -> Path:
    """A field recorder's file: bext with a time code, iXML, cue point with label, INFO texts, and an
    odd-sized chunk.
    """
    path = save(folder / "broadcast.wav", noise(channels=2), subtype="PCM_24")
    bext = b"Scene 7, take 2".ljust(256, b"\0") + b"Recorder".ljust(32, b"\0") + b"REF1".ljust(32, b"\0")
    bext += b"2024-05-06" + b"12:34:56" + struct.pack("<QH", 12 * 3600 * RATE, 1) + bytes(254) + b"A=PCM,F=16000\r\n"
    labels = b"adtl" + chunk(b"labl", struct.pack("<I", 1) + b"clap\0")
    info = b"INFO" + chunk(b"INAM", b"A title\0") + chunk(b"IART", "Zo\u00eb\0".encode()) + chunk(b"IPRD", b"Album\0")
    return add_chunks(
        path,
        chunk(b"bext", bext),
        chunk(b"iXML", b'<?xml version="1.0"?><BWFXML><SCENE>7</SCENE><TAKE>2</TAKE></BWFXML>'),
        chunk(b"cue ", struct.pack("<III4sIII", 1, 1, 8000, b"data", 0, 0, 8000)),
        chunk(b"LIST", labels),
        chunk(b"LIST", info),
        chunk(b"odd ", b"123"),
    )


def m4a(folder: Path, frames: int = FRAMES, name: str = "aac.m4a", codec: str = "aac", container: str = "ipod") -> Path:
    """AAC (or another codec) by FFmpeg, which libsndfile cannot read: a 440 Hz tone, stereo, 48 kHz."""
    import av

    path, rate = folder / name, 48000
    tone = 0.25 * np.sin(2 * np.pi * 440 * np.arange(frames) / rate)
    samples = np.stack([tone, tone / 2]).astype(np.float32)
    kind = {"alac": "s16p", "wavpack": "s16p", "flac": "s16", "tta": "s16"}.get(codec, "fltp")
    if kind != "fltp":
        samples = np.rint(samples * 32768).astype(np.int16)
    if kind == "s16":
        samples = np.ascontiguousarray(samples.T).reshape(1, -1)
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="stereo", format=kind)
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(samples, format=kind, layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def alac(folder: Path) -> Path:
    return m4a(folder, name="lossless.m4a", codec="alac")


def matroska(folder: Path) -> Path:
    return m4a(folder, name="film.mkv", container="matroska")


def refused_opus(folder: Path, frames: int = 9600) -> Path:
    """A valid Opus file that libsndfile calls malformed: its last page ends the stream but holds no packet.

    With 48000 frames libsndfile opens it, but cannot read its end.
    """
    path = save(folder / "refused.opus", noise(frames=frames), 48000, "OGG", "OPUS")
    pages = _ogg_pages(path.read_bytes())
    *rest, (header, segments, body) = pages
    serial, number = struct.unpack_from("<II", header, 14)
    open_end = header[:5] + bytes([header[5] & ~4]) + header[6:]
    empty = header[:5] + b"\x04" + header[6:14] + struct.pack("<III", serial, number + 1, 0) + b"\0"
    pages = [*rest, (open_end, segments, body), (empty, b"", b"")]
    path.write_bytes(b"".join(_ogg_page(*page) for page in pages))
    return path


def _ogg_pages(raw: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Split an Ogg stream into (27-byte header, segment table, body)."""
    pages = []
    while raw:
        count = raw[26]
        segments = raw[27 : 27 + count]
        end = 27 + count + sum(segments)
        pages.append((raw[:27], segments, raw[27 + count : end]))
        raw = raw[end:]
    return pages


def _ogg_page(header: bytes, segments: bytes, body: bytes) -> bytes:
    blank = header[:22] + bytes(4) + bytes([len(segments)])
    checksum = 0
    for byte in blank + segments + body:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum & 0x80000000 else 0)) & 0xFFFFFFFF
    return blank[:22] + struct.pack("<I", checksum) + blank[26:] + segments + body


def sparse_rf64(folder: Path, frames: int = 1_100_000_000) -> Path:
    """A 4.4 GB stereo RF64 that takes a few kilobytes of disk: silence, but for its last sample, which is
    0.5.
    """
    path, size = folder / "sparse_rf64.wav", frames * 4
    ds64 = struct.pack("<QQQI", size + 72, size, frames, 0)
    fmt = struct.pack("<HHIIHH", 1, 2, 48000, 48000 * 4, 4, 16)
    head = b"RF64" + b"\xff" * 4 + b"WAVE" + chunk(b"ds64", ds64) + chunk(b"fmt ", fmt) + b"data" + b"\xff" * 4
    with open(path, "wb") as file:
        file.write(head)
        file.seek(len(head) + size - 4)
        file.write(struct.pack("<hh", 16384, 16384))
    return path


BROKEN: dict[Callable[[Path], Path], str] = {  # -> what the error must say
    zero_bytes: "zero bytes",
    text_named_wav: "not audio",
    text_named_au: "not audio",
    random_bytes: "not audio",
    header_only: "no audio samples",
    half_a_header: "not audio",
    truncated_wav: "truncated: only 95",
    truncated_flac: "of 80000 samples",
    truncated_aiff: "of 16000 samples",
    truncated_w64: "of 16000 samples",
    truncated_caf: "of 16000 samples",
    truncated_rf64: "of 16000 samples",
    truncated_mp3: "of 80000 samples",
    absurd_rate: "4e+09 Hz",
    rate_of_one: "1 Hz",
    no_channels: "0 channels",
    channels_65: "65 channels",
    nan_samples: "sample 12345",
    infinite_samples: "sample 100",
}
ODD: dict[Callable[[Path], Path], int] = {  # -> how many samples it holds
    one_sample: 1,
    wrong_extension: FRAMES,
    wav_named_raw: FRAMES,
    channels_64: 500,
    rf64: FRAMES,
    streamed_wav: FRAMES,
    streamed_flac: FRAMES,
    broadcast_wav: FRAMES,
    alac: FRAMES,
}
