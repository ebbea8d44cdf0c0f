"""Recordings of rare formats joined end to end or cut off, streams cut within a frame, frames without a header."""

import io
import struct
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile

from enhance_cli.audio.containers import frame_walks, old_headers
from enhance_cli.audio.ffmpeg import avi_index
from enhance_cli.audio.ffmpeg.time_stamps import Clock
from enhance_cli.audio.read import open_audio
from tests import audio_zoo as zoo
from tests.audio.test_sections import RATE, pitches, read, tone

OLD = {
    "8svx": ("SVX", "PCM_S8", "FILE"), "16sv": ("SVX", "PCM_16", "FILE"), "avr": ("AVR", "PCM_16", "FILE"),
    "ircam": ("IRCAM", "PCM_16", "LITTLE"), "ircam be": ("IRCAM", "FLOAT", "BIG"), "paf": ("PAF", "PCM_16", "BIG"),
    "fap": ("PAF", "PCM_24", "LITTLE"), "pvf": ("PVF", "PCM_16", "FILE"), "mat4": ("MAT4", "PCM_16", "LITTLE"),
    "mat4 be": ("MAT4", "DOUBLE", "BIG"), "mat5": ("MAT5", "PCM_32", "FILE"), "nist": ("NIST", "PCM_16", "FILE"),
    "nist ulaw": ("NIST", "ULAW", "FILE"), "wve": ("WVE", "ALAW", "FILE"), "xi": ("XI", "DPCM_16", "FILE"),
    "sds": ("SDS", "PCM_16", "FILE"), "voc": ("VOC", "PCM_16", "FILE"),
}  # fmt: skip
COUNTED = ["8svx", "16sv", "avr", "mat4", "mat4 be", "mat5", "nist", "nist ulaw", "wve", "voc"]


def save(path, pitch, kind, seconds=1.0):
    container, subtype, endian = OLD[kind]
    rate = {"WVE": 8000, "XI": 44100}.get(container, RATE)
    soundfile.write(path, tone(pitch, rate=rate, seconds=seconds).T, rate, subtype, endian=endian, format=container)
    return path


def encode(path, pitch, codec, muxer, seconds=1.0, **options):
    """Write a stereo tone of 48 kHz by FFmpeg."""
    with av.open(str(path), "w", format=muxer, options=options) as new:
        stream = new.add_stream(codec, rate=48000, layout="stereo")
        stream.bit_rate = 192_000
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="stereo", rate=48000)
        frame = av.AudioFrame.from_ndarray(tone(pitch, 2, 48000, seconds), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        fifo = av.AudioFifo()
        for converted in resampler.resample(frame):
            converted.pts = None
            fifo.write(converted)
        while piece := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
            new.mux(stream.encode(piece))
        new.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", OLD)
def test_rare_formats_joined_end_to_end_are_read_to_the_last(kind, tmp_path):
    one, other = save(tmp_path / "1", 400, kind), save(tmp_path / "2", 700, kind)
    path = tmp_path / "joined"
    path.write_bytes(one.read_bytes() + other.read_bytes())
    audio, file = read(path)
    assert audio.shape[1] == read(one)[0].shape[1] + read(other)[0].shape[1]
    assert np.allclose(pitches(audio, file.info.rate, 2), (400, 700), atol=8)
    assert "2 recordings" in " ".join(file.notes)


@pytest.mark.parametrize("kind", COUNTED)
def test_rare_formats_that_break_off_say_so(kind, tmp_path):
    path = save(tmp_path / "x", 400, kind)
    assert not read(path)[1].notes
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5])
    audio, file = read(path)
    assert audio.shape[1] > 8000 // 2 and "breaks off" in " ".join(file.notes)


@pytest.mark.parametrize("kind", ["mat4", "sds"])
def test_samples_behind_what_these_count_are_told(kind, tmp_path):
    path = save(tmp_path / "x", 400, kind)
    path.write_bytes(path.read_bytes() + bytes(range(1, 101)) * 50)
    assert "5000 bytes are neither sound" in " ".join(read(path)[1].notes)


@pytest.mark.parametrize(
    "head", [b"2BIT" + bytes(30), b"NIST_1A\n   1024\nsample_count -i x", b"MATLAB 5.0" + bytes(130)]
)
def test_headers_without_a_count_are_none(head):
    assert old_headers.stated_end(io.BytesIO(head), 0) in (None, 128)


@pytest.mark.parametrize(("codec", "muxer"), [("wmav2", "asf"), ("pcm_s16le", "avi"), ("mp2", "avi")])
def test_wma_and_avi_joined_end_to_end_are_read_to_the_last(codec, muxer, tmp_path):
    one, other = (encode(tmp_path / str(pitch), pitch, codec, muxer) for pitch in (400, 700))
    path = tmp_path / "joined"
    path.write_bytes(one.read_bytes() + other.read_bytes())
    audio, file = read(path)
    assert np.allclose(pitches(audio, 48000, 2), (400, 700), atol=8)
    assert audio.shape[1] == read(one)[0].shape[1] + read(other)[0].shape[1] and "2 recordings" in " ".join(file.notes)


def test_recordings_of_phones_joined_end_to_end_are_read_to_the_last(tmp_path):
    one = b"#!AMR\n" + (b"\x04" + bytes(range(12))) * 50  # a second in frames of 20 ms
    path = tmp_path / "joined.amr"
    path.write_bytes(one + one + one)
    audio, file = read(path)
    assert audio.shape[1] == 3 * 8000 and "3 recordings" in " ".join(file.notes)


@pytest.mark.parametrize(("codec", "muxer"), [("ac3", "ac3"), ("eac3", "eac3"), ("mp2", "mpeg")])
def test_a_stream_that_breaks_off_within_a_frame_says_so(codec, muxer, tmp_path):
    path = encode(tmp_path / "x", 400, codec, muxer, seconds=2.0)
    whole, file = read(path)
    assert whole.shape[1] >= 48000 * 2 - 1024 and not file.notes
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5 - 3])
    audio, file = read(path)
    assert 48000 < audio.shape[1] < 1.4 * 48000 and "breaks off" in " ".join(file.notes)


def test_packets_of_which_the_end_is_missing_are_told(tmp_path):
    path = encode(tmp_path / "x.ts", 400, "ac3", "mpegts", seconds=2.0)
    assert not read(path)[1].notes
    packets = [path.read_bytes()[at : at + 188] for at in range(0, path.stat().st_size, 188)]
    begins = [n for n, packet in enumerate(packets) if packet[1:3] == b"\x41\x00"]  # of a piece of the sound
    path.write_bytes(b"".join(packets[: begins[len(begins) * 3 // 5] + 9]))
    audio, file = read(path)
    assert 48000 < audio.shape[1] < 1.4 * 48000 and "incomplete, the first at 1." in " ".join(file.notes)


@pytest.mark.parametrize("sync", [b"\xf8\x72\x6f\xba", b"\xf8\x72\x6f\xbb"])
def test_the_units_of_truehd_are_whole_or_not(sync):
    unit = b"\x30\x0a\0\0" + sync + bytes(12)  # 10 words
    stream = unit + (b"\x30\x06" + bytes(10)) * 3
    assert stream[4:8] in frame_walks.MAJOR_SYNCS
    for rest in (0, 12, 24):
        assert not frame_walks.truehd_breaks_off(io.BytesIO(stream), 0, len(stream) - rest)
        assert frame_walks.truehd_breaks_off(io.BytesIO(stream), 0, len(stream) - rest - 1)
        assert frame_walks.truehd_breaks_off(io.BytesIO(stream), 0, len(stream) - rest - 11)


@pytest.mark.parametrize("codec", ["flac", "pcm_s16le", "aac"])
def test_a_live_matroska_that_breaks_off_within_a_block_says_so(codec, tmp_path):
    path = encode(tmp_path / "x", 400, codec, "matroska", seconds=2.0, live="1")
    whole, file = read(path)
    assert whole.shape[1] >= 2 * 48000 and not file.notes
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5])
    audio, file = read(path)
    assert 40000 < audio.shape[1] < 70000 and "breaks off" in " ".join(file.notes)


@pytest.mark.parametrize("behind", ["all", "tail"])
@pytest.mark.parametrize("seconds", [1.0, 3.0])
def test_frames_of_another_flac_behind_the_last_are_read(behind, seconds, tmp_path):
    noise = zoo.noise(1, 2 * RATE)
    one = zoo.save(tmp_path / "1.flac", noise, container="FLAC").read_bytes()
    other = zoo.save(tmp_path / "2.flac", zoo.noise(1, round(seconds * RATE), seed=1), container="FLAC").read_bytes()
    frames = [at for at in range(len(other)) if other[at : at + 3] == b"\xff\xf8" + other[frame_start(other) + 2 :][:1]]
    begin = frame_start(other) if behind == "all" else next(at for at in frames if at > len(other) // 2)
    path = tmp_path / "x.flac"
    path.write_bytes(one + other[begin:])
    audio, file = read(path)
    assert np.array_equal(audio[:, : 2 * RATE], noise)
    added = audio.shape[1] - 2 * RATE
    assert added == seconds * RATE if behind == "all" else 0.2 * seconds * RATE < added < 0.6 * seconds * RATE
    assert "counts fewer samples" in " ".join(file.notes)


def frame_start(flac):
    at = 4
    while not flac[at] & 0x80:
        at += 4 + int.from_bytes(flac[at + 1 : at + 4], "big")
    return at + 4 + int.from_bytes(flac[at + 1 : at + 4], "big")


@pytest.mark.parametrize("runs", [[(1, 30)], [(40, 20)], [(1, 10), (20, 30), (60, 5)]])
def test_empty_chunks_of_an_avi_are_silence_of_the_same_length(runs, tmp_path):
    path, plain = tmp_path / "x", tmp_path / "plain"
    for target, shifts in ((path, runs), (plain, [])):
        with av.open(str(target), "w", format="avi") as new:
            stream = new.add_stream("libmp3lame", rate=48000, layout="stereo")
            frame = av.AudioFrame.from_ndarray(tone(400, 2, 48000, 2.0), format="fltp", layout="stereo")
            frame.sample_rate = 48000
            for n, packet in enumerate([*stream.encode(frame), *stream.encode(None)]):
                packet.pts = packet.dts = 1152 * (n + sum(count for before, count in shifts if before <= n))
                packet.time_base = Fraction(1, 48000)
                new.mux(packet)
    expected = read(plain)[0]
    for before, count in reversed(runs):
        expected = np.insert(expected, [before * 1152] * (count * 1152), 0, axis=1)
    audio, file = read(path)
    assert audio.shape == expected.shape and np.abs(audio - expected).max() < 0.31
    silent = np.abs(expected[0]) == 0
    assert silent.sum() >= 1152 * sum(count for _, count in runs) and not audio[0][silent].any()
    seconds = sum(count for _, count in runs) * 1152 / 48000
    assert f"{len(runs)} gaps in the time stamps, {seconds:.3f} s" in " ".join(file.notes)


def test_empty_chunks_in_front_of_the_first_make_the_sound_late():
    index = b"".join(name + bytes(8) + size.to_bytes(4, "little") for name, size in zip([b"01wb"] * 5, (0, 0, 9, 0, 9)))
    avi = b"RIFF\0\0\0\0AVI " + zoo.chunk(b"LIST", b"movi") + zoo.chunk(b"idx1", index)
    assert avi_index.empty_chunks(io.BytesIO(avi)) == {1: [(0, 2), (1, 1)]}
    stream = SimpleNamespace(time_base=Fraction(1, 10))
    streams = type("Streams", (list,), {"video": []})([stream])
    container = SimpleNamespace(format=SimpleNamespace(name="avi"), streams=streams, start_time=0)
    clock = Clock(container, stream, 1000, empty=[(0, 2), (1, 1)])
    assert [clock.place(SimpleNamespace(samples=100, pts=None)) for _ in range(3)] == [(200, 0), (100, 0), (0, 0)]
    assert list(clock.notes()) == ["1 gaps in the time stamps, 0.100 s in all, were filled with silence"]


def test_the_channels_of_an_8svx_lie_one_behind_the_other(tmp_path):
    """libsndfile takes them for interleaved, and mixes them up."""
    time = np.arange(RATE) / RATE
    left, right = (np.round(60 * np.sin(2 * np.pi * pitch * time)).astype(np.int8) for pitch in (300, 500))
    header = struct.pack(">IIIHBBI", RATE, 0, 0, RATE, 1, 0, 1 << 16)
    parts = [(b"VHDR", header), (b"CHAN", struct.pack(">I", 6)), (b"BODY", left.tobytes() + right.tobytes())]
    body = b"8SVX" + b"".join(name + struct.pack(">I", len(data)) + data for name, data in parts)
    (tmp_path / "a.8svx").write_bytes(b"FORM" + struct.pack(">I", len(body)) + body)
    with open_audio(tmp_path / "a.8svx") as file:
        audio = np.concatenate(list(file.blocks()), axis=1)
    np.testing.assert_allclose(128 * audio, [left, right], atol=0.01)
