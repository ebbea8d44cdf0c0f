"""Recordings joined end to end, and headers that count less than is there: all sound comes out, or the file fails."""

import re
import struct
import subprocess

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.containers.sections import find_sections
from enhance_cli.audio.read import open_audio
from enhance_cli.errors import AudioError
from tests import audio_zoo as zoo
from tests.audio_zoo import read

RATE = 16000
PITCHES = (400, 700, 1100)


def tone(pitch, channels=1, rate=RATE, seconds=1.0):
    wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


def pitches(audio, rate, count):
    """The strongest frequency in the middle of each of `count` equal pieces."""
    found = []
    for piece in np.array_split(audio[0], count):
        middle = piece[len(piece) // 4 : -(len(piece) // 4)]
        found.append(round(np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax() * rate / len(middle)))
    return found


def save(path, pitch, kind, rate=RATE):
    container, subtype = kind
    if container == "FFMPEG":
        soundfile.write(path.with_suffix(".wav"), tone(pitch, rate=rate).T, rate)
        with_ffmpeg(path.with_suffix(".wav"), path, subtype)
        return path
    return zoo.save(path, tone(pitch, rate=rate), rate, container, subtype)


def with_ffmpeg(source, target, codec):
    import av

    formats = {"m4a": "ipod", "mka": "matroska", "aac": "adts", "wv": "wv", "tta": "tta"}
    with av.open(str(source)) as old, av.open(str(target), "w", format=formats[target.suffix[1:]]) as new:
        stream = new.add_stream(codec, rate=old.streams.audio[0].rate, layout="mono")
        for frame in old.decode(old.streams.audio[0]):
            new.mux(stream.encode(frame))
        new.mux(stream.encode(None))


JOINED = {
    "wav": ("WAV", "PCM_16"), "rf64.wav": ("RF64", "PCM_24"), "adpcm.wav": ("WAV", "IMA_ADPCM"), "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"), "caf": ("CAF", "PCM_24"), "w64": ("W64", "PCM_16"),
    "flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"), "m4a": ("FFMPEG", "aac"), "lossless.m4a": ("FFMPEG", "alac"),
    "mka": ("FFMPEG", "flac"), "aac": ("FFMPEG", "aac"), "wv": ("FFMPEG", "wavpack"), "tta": ("FFMPEG", "tta"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", JOINED)
def test_files_joined_end_to_end_are_read_to_the_last(suffix, tmp_path):
    parts = [save(tmp_path / f"{pitch}.{suffix}", pitch, JOINED[suffix]) for pitch in PITCHES]
    alone = [read(part)[0].shape[1] for part in parts]
    joined = tmp_path / f"joined.{suffix}"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    audio, file = read(joined)
    assert abs(audio.shape[1] - sum(alone)) <= (4096 if suffix == "aac" else 0)
    assert np.allclose(pitches(audio, file.info.rate, 3), PITCHES, atol=25)
    assert suffix in ("aac", "wv") or "3 recordings" in file.notes[0]  # two formats are one stream by nature


@pytest.mark.parametrize(
    "suffixes",
    [("mp3", "wav"), ("flac", "wav"), ("flac", "aiff"), ("m4a", "flac"), ("ogg", "wav"), ("wv", "flac"), ("mka", "wav"),
     ("wav", "flac")],
    ids=" ".join,
)  # fmt: skip
def test_files_of_two_kinds_joined_end_to_end_are_read_to_the_last(suffixes, tmp_path):
    parts = [save(tmp_path / f"{n}.{suffix}", PITCHES[n], JOINED[suffix]) for n, suffix in enumerate(suffixes)]
    joined = tmp_path / "joined"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    audio, file = read(joined)
    assert audio.shape[1] == sum(read(part)[0].shape[1] for part in parts)
    assert np.allclose(pitches(audio, RATE, 2), PITCHES[:2], atol=25) and "2 recordings" in file.notes[0]


def test_a_file_within_the_tags_of_another_is_no_recording_of_its_own(tmp_path):
    from mutagen.flac import FLAC, Picture

    path = zoo.save(tmp_path / "a.flac", zoo.noise(), container="FLAC")
    file, picture = FLAC(path), Picture()
    picture.data = zoo.save(tmp_path / "b.wav", tone(400)).read_bytes()
    file.add_picture(picture)
    file.save()
    audio, file = read(path)
    assert np.array_equal(audio, zoo.noise()) and not file.notes


def test_what_is_cut_out_of_a_joined_file_is_the_same_as_from_the_whole(tmp_path):
    joined = tmp_path / "joined.flac"
    joined.write_bytes(b"".join(save(tmp_path / "x.flac", p, JOINED["flac"]).read_bytes() for p in PITCHES))
    whole, file = read(joined)
    part = np.concatenate(list(file.blocks(999, start=0.9, duration=1.3)), axis=1)
    assert np.array_equal(part, whole[:, 14400:35200])


def test_recordings_of_different_rates_fail_and_say_why(tmp_path):
    first, second = (save(tmp_path / f"{rate}.flac", 400, ("FLAC", "PCM_16"), rate) for rate in (16000, 44100))
    joined = tmp_path / "joined.flac"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(AudioError, match="2 recordings one after the other, and number 2 has 44100 Hz"):
        open_audio(joined)


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "AIFF", "CAF", "AU", "W64"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_samples_behind_what_the_header_counts_are_read_bit_by_bit(container, subtype, tmp_path):
    samples = zoo.noise(2, 3 * RATE)
    path = tmp_path / "x"
    soundfile.write(path, samples[:, :RATE].T, RATE, format=container, subtype=subtype)
    one = path.read_bytes()
    soundfile.write(path, samples.T, RATE, format=container, subtype=subtype)
    three = path.read_bytes()
    header = three.index(samples_start(container, three, samples, subtype))
    path.write_bytes(one[:header] + three[header:])
    audio, file = read(path)
    assert np.array_equal(audio, samples)
    assert file.info.subtype == subtype and file.info.container == container
    assert "counts 1.00 s, but the file holds 3.00 s" in " ".join(file.notes)


def samples_start(container, raw, samples, subtype):
    """The first bytes of the samples as they stand in the file."""
    big = container in ("AIFF", "CAF", "AU")
    flat = samples.T.ravel()[:16]
    if subtype == "FLOAT":
        return flat.astype(">f4" if big else "<f4").tobytes()
    bits = 16 if subtype == "PCM_16" else 24
    whole = np.rint(flat * 2 ** (bits - 1)).astype(int)
    return b"".join(int(v).to_bytes(bits // 8, "big" if big else "little", signed=True) for v in whole)


@pytest.mark.slow
def test_a_size_that_is_zero_and_one_that_wrapped_at_4_gb(tmp_path):
    samples = zoo.noise(1, 3 * RATE)
    data = (samples * 32768).astype("<i2").tobytes()
    path = tmp_path / "zero.wav"
    path.write_bytes(zoo.wave_bytes(data, promised=0))
    assert np.array_equal(read(path)[0], samples)

    wrapped = tmp_path / "wrapped.wav"
    frames = (2**32 + 200_000) // 4
    with open(wrapped, "wb") as file:
        head = zoo.wave_bytes(b"", channels=2, rate=48000, promised=frames * 4 - 2**32)
        file.write(head)
        file.seek(len(head) + frames * 4 - 4)
        file.write(struct.pack("<hh", 16384, -16384) + zoo.chunk(b"LIST", b"INFO" + zoo.chunk(b"INAM", b"Long\0")))
    with open_audio(wrapped) as audio:
        assert audio.info.frames == frames  # not the text behind it
        end = np.concatenate(list(audio.blocks(start=(frames - 48000) / 48000)), axis=1)
    assert end.shape == (2, 48000) and end[:, -1].tolist() == [0.5, -0.5] and not end[:, :-1].any()


def test_a_flac_whose_header_counts_less_is_read_whole(tmp_path):
    path = zoo.save(tmp_path / "x.flac", zoo.noise(1, 3 * RATE), container="FLAC")
    raw = bytearray(path.read_bytes())
    raw[22:26] = struct.pack(">I", RATE)
    path.write_bytes(raw)
    audio, file = read(path)
    assert np.array_equal(audio, zoo.noise(1, 3 * RATE)) and "counts fewer samples" in " ".join(file.notes)


def test_an_mp3_whose_header_counts_less_is_read_whole(tmp_path):
    from enhance_cli.audio.write import AudioWriter, OutputFormat

    long = tmp_path / "x.mp3"
    with AudioWriter(long, OutputFormat("MP3", "MPEG_LAYER_III", RATE, ".mp3", 64000), 1) as writer:
        writer.write(tone(400))
    raw = long.read_bytes()
    at = raw.index(b"Info")
    short = raw[: at + 8] + struct.pack(">II", 5, 800) + raw[at + 16 :]
    long.write_bytes(short)
    audio, _ = read(long)
    assert audio.shape[1] >= RATE - 1152 and np.allclose(pitches(audio, RATE, 1), 400, atol=10)


def test_an_mp3_that_states_all_its_bytes_but_too_few_frames_is_read_whole(tmp_path):
    path = mp3_by_ffmpeg(tmp_path / "x.mp3")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"Info")
    struct.pack_into(">I", raw, at + 8, struct.unpack_from(">I", raw, at + 8)[0] // 3)
    path.write_bytes(raw)
    audio, file = read(path)
    assert audio.shape[1] >= 3 * RATE and "counts fewer samples" in " ".join(file.notes)


def mp3_by_ffmpeg(path):
    """Three seconds whose header states frames and bytes."""
    from enhance_cli.audio.write import AudioWriter, OutputFormat

    with AudioWriter(path, OutputFormat("MP3", "MPEG_LAYER_III", RATE, ".mp3", 64000), 1) as writer:
        writer.write(tone(400, seconds=3.0))
    return path


def test_chunks_behind_samples_that_are_not_counted_are_not_sound(tmp_path):
    samples = zoo.noise(1, 3 * RATE)
    data = (samples * 32768).astype("<i2").tobytes()
    tail = zoo.chunk(b"LIST", b"INFO" + zoo.chunk(b"INAM", b"Name\0")) + zoo.chunk(b"bext", bytes(602))
    path = tmp_path / "x.wav"
    path.write_bytes(zoo.wave_bytes(data, promised=2 * RATE) + tail)
    assert np.array_equal(read(path)[0], samples)


def test_a_second_chunk_of_samples_is_named(tmp_path):
    path = zoo.save(tmp_path / "x.wav", zoo.noise())
    path.write_bytes(path.read_bytes() + zoo.chunk(b"data", bytes(3200)))
    assert "3200 bytes are neither sound" in " ".join(read(path)[1].notes)


@pytest.mark.parametrize("suffix", ["ogg", "opus", "mka"])
def test_a_recording_that_breaks_off_says_so(suffix, tmp_path):
    path = tmp_path / f"x.{suffix}"
    if suffix == "mka":
        save(path, 400, JOINED[suffix])
    else:
        zoo.save(path, 4 * zoo.noise(1, 10 * RATE), container="OGG", subtype=JOINED[suffix][1])
    assert not read(path)[1].notes
    raw = path.read_bytes()
    path.write_bytes(raw[: raw.rindex(b"OggS") if suffix != "mka" else len(raw) * 2 // 3])
    audio, file = read(path)
    assert audio.shape[1] and "breaks off" in " ".join(file.notes)


@pytest.mark.parametrize("damage", ["lost", "spoiled"])
def test_pages_that_are_missing_in_the_middle_are_told(damage, tmp_path):
    noise = zoo.noise(1, 10 * RATE, seed=3) * 4
    path = zoo.save(tmp_path / "x.ogg", noise, container="OGG", subtype="VORBIS")
    raw = path.read_bytes()
    pages = [m.start() for m in re.finditer(b"OggS", raw)]
    middle, after = pages[len(pages) // 2 : len(pages) // 2 + 2]
    lost = raw[:middle] + raw[after:]
    path.write_bytes(lost if damage == "lost" else raw[: middle + 100] + bytes(300) + raw[middle + 100 :])
    assert "missing or damaged in 1 place" in " ".join(read(path)[1].notes)


@pytest.mark.parametrize(
    "rest", [bytes(5000), b"TAG" + bytes(125), zoo.chunk(b"LIST", b"INFO" + zoo.chunk(b"INAM", b"x" * 400)), b"\0" * 3]
)
def test_what_commonly_stands_behind_samples_is_not_taken_for_sound(rest, tmp_path):
    path = zoo.save(tmp_path / "x.wav", zoo.noise())
    path.write_bytes(path.read_bytes() + rest)
    audio, file = read(path)
    assert np.array_equal(audio, zoo.noise()) and not file.notes


def test_a_chunk_behind_an_odd_one_that_was_not_padded_is_found(tmp_path):
    from enhance_cli.audio.containers.chunks import walk

    path = zoo.save(tmp_path / "x.wav", zoo.noise())
    path.write_bytes(path.read_bytes() + b"junk" + struct.pack("<I", 3) + b"abc" + zoo.chunk(b"bext", bytes(602)))
    with open(path, "rb") as file:
        assert walk(file).find(b"bext").size == 602
    assert np.array_equal(read(path)[0], zoo.noise())


def test_id3_in_front_of_other_formats_is_passed_over(tmp_path):
    tag = b"ID3\x03\0\0\0\0\x02\x00" + bytes(256)
    for container in ("FLAC", "WAV", "AIFF"):
        path = zoo.save(tmp_path / "x", zoo.noise(), container=container)
        path.write_bytes(tag + path.read_bytes())
        assert np.array_equal(read(path)[0], zoo.noise())


def test_mp3_in_a_wav_header_is_read(tmp_path):
    import av

    source = zoo.save(tmp_path / "a.wav", tone(400))
    path = tmp_path / "mp3.wav"
    with av.open(str(source)) as old, av.open(str(path), "w", format="wav") as new:
        stream = new.add_stream("libmp3lame", rate=RATE, layout="mono")
        for frame in old.decode(old.streams.audio[0]):
            new.mux(stream.encode(frame))
        new.mux(stream.encode(None))
    audio, file = read(path)
    assert audio.shape[1] >= RATE and file.info.subtype == "MPEG_LAYER_III" and pitches(audio, RATE, 1)[0] == 400


@pytest.mark.skipif(subprocess.run(["which", "ffmpeg"], capture_output=True).returncode != 0, reason="needs ffmpeg")
def test_a_chained_ogg_holds_what_ffmpeg_finds_in_it(tmp_path):
    from pathlib import Path

    chained = Path(__file__).parents[1] / "audio_files" / "field" / "chained_three_seconds.ogg"
    audio, _ = read(chained)
    parts = subprocess.run(["ffmpeg", "-v", "error", "-i", chained, "-f", "f32le", "-"], capture_output=True).stdout
    other = np.frombuffer(parts, "<f4")
    assert abs(audio.shape[1] - 3 * 44100) < 2 and pitches(audio, 44100, 3) == [300, 400, 500]
    assert np.abs(audio[0, : len(other)] - other[: audio.shape[1]]).max() < 0.02 or len(other) < audio.shape[1]


def test_a_film_is_not_searched_for_another_beyond_what_its_header_counts(tmp_path):
    """The start of a Matroska file may lie among its pictures, as of a film in which another is stored."""
    import av

    path, joined = tmp_path / "a.mka", tmp_path / "joined.mka"
    with av.open(str(path), "w", format="matroska") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.full((1, 8000), 8, np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
    raw = path.read_bytes()
    at = raw.index(bytes([8, 0]) * 100)
    path.write_bytes(raw[:at] + raw[:100] + raw[at + 100 :])
    assert [(s.start, s.end) for s in find_sections(path)] == [(0, len(raw))]
    joined.write_bytes(path.read_bytes() + raw)
    assert [(s.start, s.end) for s in find_sections(joined)] == [(0, len(raw)), (len(raw), 2 * len(raw))]


def test_text_behind_the_samples_is_not_heard(tmp_path):
    path = zoo.save(tmp_path / "a.wav", tone(400), RATE)
    path.write_bytes(path.read_bytes() + b"\r\nrecorded by a program that appends notes" * 20)
    audio, file = read(path)
    assert audio.shape == (1, RATE) and "840 bytes are neither sound" in " ".join(file.notes)
