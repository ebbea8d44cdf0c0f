"""Recordings behind tags, zeros or rubbish, and headers that were never filled in: all sound comes out, or the file fails."""

import struct

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.containers.beginnings import begins, find_beginning
from enhance_cli.audio.containers.sections import find_sections
from enhance_cli.audio.read import open_audio
from enhance_cli.errors import AudioError
from tests import audio_zoo as zoo
from tests.audio.test_sections import JOINED, PITCHES, RATE, pitches, read, save, tone

ID3V1 = b"TAG" + b"Title".ljust(125, b"\0")
APE = b"".join(b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, flags << 29) + bytes(8) for flags in (5, 4))
BETWEEN = {"ID3v1": ID3V1, "zeros": bytes(3000), "rubbish": b"junk" * 40, "APEv2": APE}


def bare_mp3(path, pitch, rate=RATE, channels=1):
    """An MP3 without a header that states its length."""
    from enhance_cli.audio.containers import mpeg
    from enhance_cli.audio.write import AudioWriter, OutputFormat

    with AudioWriter(path, OutputFormat("MP3", "MPEG_LAYER_III", rate, ".mp3", 64000), channels) as writer:
        writer.write(tone(pitch, channels, rate))
    with open(path, "rb") as file:
        frames = list(mpeg.frames(file))
    path.write_bytes(b"".join(frames[1:]))
    return path


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize(
    "suffix", ["wav", "aiff", "au", "caf", "flac", "ogg", "mp3", "bare.mp3", "m4a", "mka", "wv", "tta"]
)
def test_recordings_with_other_bytes_between_them_are_read_to_the_last(suffix, between, tmp_path):
    if suffix == "bare.mp3":
        parts = [bare_mp3(tmp_path / f"{pitch}.mp3", pitch) for pitch in PITCHES]
    else:
        parts = [save(tmp_path / f"{pitch}.{suffix}", pitch, JOINED[suffix]) for pitch in PITCHES]
    alone = sum(read(part)[0].shape[1] for part in parts)
    joined = tmp_path / "joined"
    joined.write_bytes(BETWEEN[between].join(part.read_bytes() for part in parts))
    audio, file = read(joined)
    assert audio.shape[1] == alone and np.allclose(pitches(audio, file.info.rate, 3), PITCHES, atol=25)
    assert "3 recordings" in file.notes[0]


@pytest.mark.parametrize(("rate", "channels"), [(RATE // 2, 1), (RATE, 2)])
def test_an_mp3_that_goes_on_with_another_rate_or_in_stereo_fails_and_says_why(rate, channels, tmp_path):
    first, second = bare_mp3(tmp_path / "a", 400), bare_mp3(tmp_path / "b", 700, rate, channels)
    (tmp_path / "joined.mp3").write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(AudioError, match=f"2 recordings .* number 2 has {rate} Hz and {channels} channels"):
        open_audio(tmp_path / "joined.mp3")


SIZES = {  # of samples that a program wrote into a pipe: container -> byte order, size
    "WAV zero": ("WAV", "<I", 0), "WAV largest": ("WAV", "<I", 0xFFFFFFFF), "WAV SoX": ("WAV", "<I", 0x7FFFFFFF - 36),
    "RF64 zero": ("RF64", "<Q", 0), "RF64 largest": ("RF64", "<Q", 2**64 - 1),
    "W64 largest": ("W64", "<Q", 2**63 - 1), "W64 all ones": ("W64", "<Q", 2**64 - 1),
    "AIFF SoX": ("AIFF", ">I", 0x7F000008), "AIFF zero": ("AIFF", ">I", 0), "AIFF largest": ("AIFF", ">I", 0xFFFFFFFF),
    "CAF": ("CAF", ">q", -1), "AU": ("AU", ">I", 0xFFFFFFFF), "AU SoX": ("AU", ">I", 0x7FFFFFFF), "AU zero": ("AU", ">I", 0),
}  # fmt: skip


@pytest.mark.parametrize("case", SIZES)
@pytest.mark.parametrize("joined", [False, True])
def test_a_length_that_was_never_filled_in_is_found_out(case, joined, tmp_path):
    """The samples end where the file or the next one does, not before and not behind."""
    container, form, size = SIZES[case]
    path, samples = tmp_path / "x", zoo.noise(1, RATE)
    soundfile.write(path, samples.T, RATE, format=container, subtype="PCM_16")
    raw = bytearray(path.read_bytes())
    names = {"RF64": b"ds64", "AIFF": b"SSND", "W64": b"data\xf3\xac", "CAF": b"data\0\0"}
    at = (
        8 if container == "AU" else raw.index(names.get(container, b"data")) + {"RF64": 16, "W64": 16}.get(container, 4)
    )
    struct.pack_into(form, raw, at, size)
    path.write_bytes(bytes(raw) * (2 if joined else 1))
    audio, _ = read(path)
    assert np.array_equal(audio, np.tile(samples, 2) if joined else samples)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, RATE])
@pytest.mark.parametrize("tail", [zoo.chunk(b"LIST", b"INFO" + zoo.chunk(b"ISFT", b"Lavf59\0")), ID3V1])
def test_texts_behind_samples_that_are_not_counted_are_no_sound(size, tail, tmp_path):
    samples = zoo.noise(1, RATE)
    path = tmp_path / "x.wav"
    path.write_bytes(zoo.wave_bytes((samples * 32768).astype("<i2").tobytes(), promised=size) + tail)
    assert np.array_equal(read(path)[0], samples)


def test_a_flac_that_counts_less_is_read_whole_also_if_zeros_follow(tmp_path):
    samples = zoo.noise(1, 3 * RATE)
    path = zoo.save(tmp_path / "x.flac", samples, container="FLAC")
    raw = bytearray(path.read_bytes())
    raw[22:26] = struct.pack(">I", RATE)
    path.write_bytes(raw + bytes(300_000))
    assert np.array_equal(read(path)[0], samples)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_whose_last_page_counts_less_is_read_up_to_that_page(subtype, tmp_path):
    path = zoo.save(tmp_path / "x.ogg", 4 * zoo.noise(1, 20 * 48000), 48000, "OGG", subtype)
    *pages, (header, segments, body) = zoo._ogg_pages(path.read_bytes())
    before = struct.unpack_from("<q", pages[-1][0], 6)[0]
    early = header[:6] + struct.pack("<q", 3000) + header[14:]
    path.write_bytes(b"".join(zoo._ogg_page(*page) for page in [*pages, (early, segments, body)]))
    audio, file = read(path)
    assert before - 1000 < audio.shape[1] <= 20 * 48000 + 1000 and "missing or damaged in 1 place" in " ".join(
        file.notes
    )


def test_a_flac_in_ogg_from_the_middle_of_a_stream_is_not_called_truncated(tmp_path):
    """As a listener who comes later gets it from internet radio."""
    path = save(tmp_path / "x.mka", 400, ("FFMPEG", "flac"))
    whole, target = read(path)[0], tmp_path / "x.oga"
    import av

    with av.open(str(path)) as old, av.open(str(target), "w", format="ogg") as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(old.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    pages = zoo._ogg_pages(target.read_bytes())
    later = [(h[:6] + struct.pack("<q", p + 10**8) + h[14:] if (p := struct.unpack_from("<q", h, 6)[0]) > 0 else h, s, b)
             for h, s, b in pages]  # fmt: skip
    target.write_bytes(b"".join(zoo._ogg_page(*page) for page in later))
    assert np.array_equal(read(target)[0], whole)


def test_the_blocks_of_a_voc_are_no_samples(tmp_path):
    """FFmpeg writes a block every few milliseconds, whose heads libsndfile takes for sound."""
    import av

    samples = np.random.default_rng(0).integers(-9000, 9000, (1, 3 * RATE)).astype(np.int16)
    path = tmp_path / "x.voc"
    with av.open(str(path), "w", format="voc") as file:
        stream = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for piece in np.array_split(samples, 30, axis=1):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="s16", layout="mono")
            frame.sample_rate = RATE
            file.mux(stream.encode(frame))
    assert np.array_equal(read(path)[0] * 32768, samples)
    path.write_bytes(path.read_bytes() * 2)
    assert np.array_equal(read(path)[0] * 32768, np.tile(samples, 2))


def test_beginnings_across_the_blocks_that_are_searched_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr("enhance_cli.audio.containers.beginnings._BLOCK", 16)
    wav = zoo.wave_bytes(bytes(200))
    for gap in range(30, 50):
        (tmp_path / "x").write_bytes(bytes(gap) + wav + bytes(gap))
        with open(tmp_path / "x", "rb") as file:
            assert begins(file, gap) and not begins(file, gap + 1)
            assert find_beginning(file, 0, 2 * gap + len(wav)) == gap


def test_a_tag_alone_is_no_recording(tmp_path):
    path = zoo.save(tmp_path / "x.flac", zoo.noise(), container="FLAC")
    path.write_bytes(path.read_bytes() + b"ID3\x03\0\0\0\0\0\x20" + bytes(500))
    assert len(find_sections(path)) == 1


def test_a_header_that_was_written_twice_counts_once(tmp_path):
    """As SoX leaves W64 and CAF in a pipe."""
    samples = zoo.noise()
    raw = zoo.save(tmp_path / "x.w64", samples, container="W64").read_bytes()
    head = raw[: raw.index(b"data\xf3\xac") + 24]
    empty = head[:-8] + struct.pack("<Q", 24)
    (tmp_path / "x.w64").write_bytes(empty + raw)
    assert np.array_equal(read(tmp_path / "x.w64")[0], samples)
