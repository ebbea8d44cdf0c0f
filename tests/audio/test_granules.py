"""Ogg whose positions jump, as recorders of calls and of streams write it: every sample once, and silence where time passed."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from enhance_cli.audio.containers.sections import find_sections
from enhance_cli.audio.read import open_audio
from tests import audio_zoo as zoo

RATE = 48000
CODECS = {"x.ogg": "VORBIS", "x.opus": "OPUS", "x.oga": "FLAC"}


def steps(seconds=4):
    """Return noise that is louder in each second, so that a misplaced second is noticed."""
    noise = np.random.default_rng(0).standard_normal(seconds * RATE).astype(np.float32)
    return (0.05 * np.repeat(np.arange(1, seconds + 1, dtype=np.float32), RATE) * noise)[None]


def ogg(path: Path) -> Path:
    codec = CODECS[path.name]
    if codec != "FLAC":
        return zoo.save(path, steps(), RATE, "OGG", codec)
    with av.open(str(path), "w", format="ogg") as file:
        stream = file.add_stream("flac", rate=RATE)
        stream.codec_context.layout = "mono"
        samples = np.round(steps() * 32767).astype(np.int16)
        for at in range(0, samples.shape[1], 4096):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, at : at + 4096]), "s16", "mono")
            frame.sample_rate, frame.pts = RATE, at
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def moved(path: Path, change) -> None:
    """Replace the end position of each page after half of the recording by `change(position)`."""
    pages = []
    for header, segments, body in zoo._ogg_pages(path.read_bytes()):
        position = struct.unpack_from("<q", header, 6)[0]
        if position > 2.1 * RATE:
            header = header[:6] + struct.pack("<q", change(position)) + header[14:]
        pages.append(zoo._ogg_page(header, segments, body))
    path.write_bytes(b"".join(pages))


def read(path: Path):
    with open_audio(path) as audio:
        return np.concatenate(list(audio.blocks()), axis=1)[0], " ".join(audio.notes)


def levels(audio):
    """Return the RMS of each half second but its edges, in steps. 0 is silence."""
    halves = audio[: len(audio) // (RATE // 2) * (RATE // 2)].reshape(-1, RATE // 2)[:, RATE // 8 : -RATE // 8]
    return [round(20 * float(np.sqrt(np.mean(half**2)))) for half in halves]


@pytest.mark.parametrize("name", CODECS)
def test_a_recording_without_jumps_is_read_by_libsndfile(name, tmp_path):
    (section,) = find_sections(ogg(tmp_path / name))
    assert not section.foreign and not section.timed
    assert levels(read(tmp_path / name)[0]) == [1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("name", CODECS)
def test_positions_that_start_again_lose_no_sound_and_repeat_none(name, tmp_path):
    moved(ogg(tmp_path / name), lambda position: position - 2 * RATE)
    audio, notes = read(tmp_path / name)
    assert levels(audio) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert "go back" in notes


@pytest.mark.parametrize("name", CODECS)
def test_time_that_passed_without_packets_is_silence(name, tmp_path):
    moved(ogg(tmp_path / name), lambda position: position + 2 * RATE)
    audio, notes = read(tmp_path / name)
    assert abs(len(audio) - 6 * RATE) < 200
    silent = np.flatnonzero(np.convolve(audio == 0, np.ones(RATE // 100), "valid") == RATE // 100)
    assert abs(silent[-1] - silent[0] - 1.99 * RATE) < RATE // 100
    sound = np.delete(audio, slice(silent[0], silent[0] + 2 * RATE))
    assert levels(sound) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert "1 gaps in the time stamps, 2.000 s in all" in notes


def test_a_call_that_lost_packets_keeps_its_time(tmp_path):
    """One packet in each page, with the time stamps of the network, as WebRTC recorders write it."""
    path = ogg(tmp_path / "x.opus")
    head, packets = [], []
    for header, segments, body in zoo._ogg_pages(path.read_bytes()):
        if not packets and struct.unpack_from("<q", header, 6)[0] == 0:
            head.append(zoo._ogg_page(header, segments, body))
            continue
        packet = b""
        for size in segments:
            packet, body = packet + body[:size], body[size:]
            if size < 255:
                packets.append(packet)
                packet = b""
    pages = []
    for n, packet in enumerate(packets):
        if not 100 <= n < 150:  # the third second
            segments = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
            fields = struct.pack("<qII", 960 * (n + 1), 0, len(head) + len(pages))
            pages.append(zoo._ogg_page(b"OggS\0\0" + fields + bytes(5), segments, packet))
    serial = zoo._ogg_pages(path.read_bytes())[0][0][14:18]
    pages = [zoo._ogg_page(p[:14] + serial + p[18:27], s, b) for p, s, b in zoo._ogg_pages(b"".join(pages))]
    path.write_bytes(b"".join([*head, *pages]))
    audio, notes = read(path)
    assert levels(audio)[:8] == [1, 1, 2, 2, 0, 0, 4, 4]
    assert "1 gaps in the time stamps, 1.000 s in all" in notes
