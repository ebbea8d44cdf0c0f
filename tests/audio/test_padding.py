"""Tags and zero bytes in front of a recording and behind it are no part of it, and no reason to refuse it."""

import re
import struct
import subprocess
from fractions import Fraction

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen import apev2, id3

from enhance_cli.audio.read import open_audio
from enhance_cli.errors import AudioError
from tests import audio_zoo as zoo

RATE = 48000
CODECS = {  # suffix: FFmpeg's container and codec, None where soundfile writes the file
    "wav": ("WAV", "PCM_16"), "aiff": ("AIFF", "PCM_16"), "caf": ("CAF", "PCM_16"), "au": ("AU", "PCM_16"),
    "w64": ("W64", "PCM_16"), "flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"), "mp2": ("mp2", "mp2"), "aac": ("adts", "aac"), "ac3": ("ac3", "ac3"),
    "eac3": ("eac3", "eac3"), "m4a": ("ipod", "aac"), "mka": ("matroska", "flac"), "wv": ("wv", "wavpack"),
    "tta": ("tta", "tta"),
}  # fmt: skip
NATIVE = ("wav", "aiff", "caf", "au", "w64", "flac", "ogg", "opus", "mp3")


def tone(frames=RATE):
    return (0.2 * np.sin(2 * np.pi * 440 * np.arange(frames) / RATE)).astype(np.float32)[None]


def encode(path, audio, muxer, codec):
    import av

    with av.open(str(path), "w", format=muxer) as file:
        stream = file.add_stream(codec, rate=RATE, layout="mono")
        stream.bit_rate = 128_000 if codec == "wmav2" else stream.bit_rate or 0
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=RATE)
        frame = av.AudioFrame.from_ndarray(audio, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for converted in resampler.resample(frame):
            file.mux(stream.encode(converted))
        file.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    for suffix, (container, codec) in CODECS.items():
        path = folder / f"a.{suffix}"
        if suffix in NATIVE:
            zoo.save(path, tone(), RATE, container, codec)
        else:
            encode(path, tone(), container, codec)
    return folder


def id3v2(folder):
    tags = id3.ID3()
    tags.add(id3.TIT2(encoding=3, text="Title"))
    tags.save(folder / "id3")
    return (folder / "id3").read_bytes()


def ape(folder):
    (folder / "ape").write_bytes(b"x")
    tags = apev2.APEv2()
    tags["Title"] = "Title"
    tags.save(folder / "ape")
    return (folder / "ape").read_bytes()[1:]


AROUND = {
    "id3v2 before": lambda raw, folder: id3v2(folder) + raw,
    "two id3v2 before": lambda raw, folder: 2 * id3v2(folder) + raw,
    "id3v1 behind": lambda raw, folder: raw + b"TAG" + bytes(125),
    "id3v2 behind": lambda raw, folder: raw + id3v2(folder),
    "ape behind": lambda raw, folder: raw + ape(folder),
    "zeros behind": lambda raw, folder: raw + bytes(4096),
    "lyrics and id3v1 behind": lambda raw, folder: raw + b"LYRICSBEGINLYR00002la000021LYRICS200TAG" + bytes(125),
    "id3v2 before, zeros behind": lambda raw, folder: id3v2(folder) + raw + bytes(70000),
}


def read(path):
    with open_audio(path) as audio:
        return np.concatenate(list(audio.blocks()), axis=1), audio.notes


@pytest.mark.parametrize("how", AROUND)
@pytest.mark.parametrize("suffix", CODECS)
def test_the_recording_is_the_same_with_tags_and_zeros_around_it(suffix, how, plain, tmp_path):
    raw = (plain / f"a.{suffix}").read_bytes()
    path = tmp_path / f"b.{suffix}"
    path.write_bytes(AROUND[how](raw, tmp_path))
    (expected, _), (found, notes) = read(plain / f"a.{suffix}"), read(path)
    assert found.shape == expected.shape and np.array_equal(found, expected)
    assert not [note for note in notes if "header" in note or "one after the other" in note or "bytes" in note]


@pytest.mark.parametrize("before", ["zeros", "id3v2 and zeros"])
def test_an_mp3_behind_zeros_begins_at_its_first_sample(before, plain, tmp_path):
    path = tmp_path / "b.mp3"
    front = (id3v2(tmp_path) if "id3v2" in before else b"") + bytes(5000)
    path.write_bytes(front + (plain / "a.mp3").read_bytes())
    assert np.array_equal(read(path)[0], read(plain / "a.mp3")[0])


def test_zero_bytes_that_belong_to_the_last_frame_are_not_cut_off(plain, tmp_path):
    raw = (plain / "a.mp2").read_bytes()
    assert raw.endswith(b"\0")
    (tmp_path / "b.mp2").write_bytes(raw + bytes(4096))
    assert np.array_equal(read(tmp_path / "b.mp2")[0], read(plain / "a.mp2")[0])


def test_chunks_of_unknown_names_behind_the_samples_are_not_sound(tmp_path):
    path = zoo.save(tmp_path / "a.wav", zoo.noise())
    raw = path.read_bytes() + b"".join(zoo.chunk(name, bytes(99)) for name in (b"MD5 ", b"SyLp", b"cart", b"XyZ1"))
    path.write_bytes(raw[:4] + struct.pack("<I", len(raw) - 8) + raw[8:])
    found, notes = read(path)
    assert np.array_equal(found, zoo.noise()) and not notes


def test_floats_in_an_extensible_w64_are_floats(tmp_path):
    path = tmp_path / "a.w64"
    guid = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 1, RATE, 4 * RATE, 4, 32, 22, 32, 4)
    form += struct.pack("<H", 3) + bytes.fromhex("0000001000800000aa00389b71")[0:14].rjust(14, b"\0")
    body = b"wave" + guid
    for name, payload in ((b"fmt ", form), (b"data", tone().astype("<f4").tobytes())):
        body += name + guid + struct.pack("<Q", 24 + len(payload)) + payload + bytes(-len(payload) % 8)
    head = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
    path.write_bytes(head + struct.pack("<Q", 24 + len(body)) + body)
    assert np.array_equal(read(path)[0], tone())


def spdif(path):
    """Write AC-3 in bursts (IEC 61937) into the samples of a WAV, as digital outputs are recorded."""
    import av

    with av.open(str(path.with_suffix(".spdif")), "w", format="spdif") as file:
        stream = file.add_stream("ac3", rate=RATE, layout="stereo")
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="stereo", rate=RATE)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone(), 2, axis=0), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for converted in resampler.resample(frame):
            file.mux(stream.encode(converted))
        file.mux(stream.encode(None))
    path.write_bytes(zoo.wave_bytes(path.with_suffix(".spdif").read_bytes(), channels=2, rate=RATE))
    return path


def test_ac3_in_the_samples_of_a_wav_is_decoded(tmp_path):
    found, _ = read(spdif(tmp_path / "a.wav"))
    spectrum = np.abs(np.fft.rfft(found[0, 8192:40960] * np.hanning(32768)))
    assert abs(spectrum.argmax() * RATE / 32768 - 440) < 3 and np.sort(spectrum)[:-20].max() < 0.02 * spectrum.max()


def test_the_lines_of_the_decoder_do_not_appear_while_a_file_is_read(plain, tmp_path, capfd):
    path = tmp_path / "b.mp2"
    path.write_bytes((plain / "a.mp2").read_bytes() + bytes(4096))
    read(path)
    assert capfd.readouterr().err == ""


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


@pytest.mark.parametrize(("suffix", "video", "sound"), [("ogv", "libtheora", "libvorbis"), ("wmv", "wmv2", "wmav2")])
def test_sound_that_begins_after_the_pictures_or_ends_before_them(suffix, video, sound, tmp_path):
    if not subprocess.run(["which", "ffmpeg"], capture_output=True).stdout:
        pytest.skip("there is no ffmpeg to make the file with")
    soundfile.write(tmp_path / "a.wav", tone(3 * RATE)[0], RATE)
    pictures = ("-f", "lavfi", "-i", "testsrc=s=64x64:r=10:d=4")
    path = tmp_path / f"a.{suffix}"
    ffmpeg(*pictures, "-itsoffset", "0.8", "-i", tmp_path / "a.wav", "-c:v", video, "-c:a", sound, path)
    found, notes = read(path)
    loud = np.flatnonzero(np.abs(found[0]) > 0.05) / RATE
    assert loud[0] == pytest.approx(0.8, abs=0.09) and loud[-1] == pytest.approx(loud[0] + 3, abs=0.1)
    assert any("silence was put in front" in note for note in notes)


@pytest.mark.parametrize("suffix", ["mp2", "mp3", "avi", "ogg", "opus"])
def test_a_recording_that_breaks_off_in_the_middle_is_refused_or_says_so(suffix, plain, tmp_path):
    source = plain / f"a.{suffix}"
    if suffix == "avi":
        source = encode(tmp_path / "whole.avi", tone(3 * RATE), "avi", "mp2")
    raw = source.read_bytes()
    path = tmp_path / f"b.{suffix}"
    path.write_bytes(raw[: len(raw) * 2 // 3 + 11])
    try:
        found, notes = read(path)
    except AudioError as refusal:
        assert re.search("truncated|damaged|breaks off|not audio", str(refusal))
        return
    assert found.shape[1] < read(source)[0].shape[1] and any("breaks off" in note for note in notes)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_sound_that_is_lost_inside_a_matroska_is_told(share, tmp_path):
    raw = encode(tmp_path / "a.mka", tone(3 * RATE), "matroska", "flac").read_bytes()
    at = int(len(raw) * share)
    (tmp_path / "b.mka").write_bytes(raw[:at] + raw[at - 700 : at] + raw[at:])
    assert not read(tmp_path / "a.mka")[1]
    try:
        found, notes = read(tmp_path / "b.mka")
    except AudioError as refusal:
        assert "is damaged after" in str(refusal)
        return
    assert found.shape[1] == 3 * RATE or any("3.00 s of sound are stated, and" in note for note in notes)


def test_damaged_pictures_of_a_wma_are_named_and_no_crash(tmp_path):
    from mutagen.asf import ASF, ASFByteArrayAttribute

    from tests.audio.test_metadata import enhance

    path = encode(tmp_path / "a.wma", tone(), "asf", "wmav2")
    file = ASF(path)
    picture = b"\3" + struct.pack("<I", 20) + "image/png\0".encode("utf-16-le") + bytes(2) + b"\x89PNG" + bytes(16)
    file["WM/Picture"] = [ASFByteArrayAttribute(picture)]
    file.save()
    assert enhance(path, tmp_path / "b.flac")["tags_lost"] == []
    assert len(mutagen.File(tmp_path / "b.flac").pictures) == 1
    raw = path.read_bytes()
    at = raw.index("WM/Picture\0".encode("utf-16-le")) + 22
    path.write_bytes(raw[:at] + b"\xff\xff" + raw[at + 2 :])
    assert enhance(path, tmp_path / "c.flac")["tags_lost"] == ["pictures"]
