"""Headers that contradict the samples: all sound comes out with its band and depth, or the file fails."""

import io
import struct

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.read import open_audio
from enhance_cli.errors import AudioError
from tests import audio_zoo as zoo
from tests.audio.test_sections import read

RATE = 48000


def test_an_mp3_of_varying_bit_rate_whose_header_counts_no_frames_is_read_whole(tmp_path):
    """Some encoders leave the number of frames 0. Guessed from the first frame, a third of the sound was read."""
    time = np.arange(4 * RATE) / RATE
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, time.size)
    audio = np.where(time < 2, noise, 0.3 * np.sin(2 * np.pi * 440 * time))
    file = io.BytesIO()
    soundfile.write(file, audio, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5)
    raw = bytearray(file.getvalue())
    raw[(at := raw.index(b"Xing")) + 8 : at + 12] = bytes(4)
    (tmp_path / "x.mp3").write_bytes(raw)
    read_back, _ = read(tmp_path / "x.mp3")
    assert 0 <= read_back.shape[1] - audio.size <= 2 * 1152


@pytest.mark.parametrize("stated", [0, 8000, 16000])
def test_an_opus_is_read_at_48_khz_if_its_header_states_too_low_a_rate_or_none(stated, tmp_path):
    """The rate in the header is that of the recording before it was encoded, and 0 if unknown (RFC 7845, section 5.1)."""
    tone = 0.3 * np.sin(2 * np.pi * 15000 * np.arange(RATE) / RATE)[None]
    path = zoo.save(tmp_path / "x.opus", tone, RATE, "OGG", "OPUS")
    header, segments, head = zoo._ogg_pages(path.read_bytes())[0]
    rest = path.read_bytes()[len(header + segments + head) :]
    path.write_bytes(zoo._ogg_page(header, segments, head[:12] + struct.pack("<I", stated) + head[16:]) + rest)
    audio, file = read(path)
    assert file.info.rate == RATE and audio.shape == tone.shape
    assert np.square(audio).sum() == pytest.approx(np.square(tone).sum(), rel=0.1)


@pytest.mark.parametrize("rate", [8000, 12000, 16000, 24000, 48000])
def test_an_opus_whose_header_is_true_keeps_its_rate(rate, tmp_path):
    path = zoo.save(tmp_path / "x.opus", zoo.noise(1, rate), rate, "OGG", "OPUS")
    assert read(path)[1].info.rate == rate


def test_a_caf_with_padding_between_its_samples_is_refused(tmp_path):
    """libsndfile and FFmpeg would read the padding of 24 bits in 4 bytes as a part of the next sample, which is loud noise."""
    raw = bytearray(zoo.save(tmp_path / "x.caf", zoo.noise(), container="CAF", subtype="PCM_32").read_bytes())
    raw[(at := raw.index(b"lpcm")) + 20 : at + 24] = struct.pack(">I", 24)
    (tmp_path / "x.caf").write_bytes(raw)
    with pytest.raises(AudioError, match="padding between them") as refusal:
        open_audio(tmp_path / "x.caf")
    assert "packed" in refusal.value.hint


def test_24_bits_in_4_bytes_are_read_whole_if_the_header_counts_half(tmp_path):
    samples = zoo.noise()
    data = np.rint(samples[0] * 2.0**31).astype("<i4").tobytes()
    raw = bytearray(zoo.wave_bytes(data, bits=32, promised=len(data) // 2))
    raw[34:36] = struct.pack("<H", 24)
    (tmp_path / "x.wav").write_bytes(raw)
    assert np.array_equal(read(tmp_path / "x.wav")[0], samples)


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("bits", [18, 20, 24])
def test_samples_in_4_bytes_are_read_as_such_whatever_their_bits(bits, extensible, tmp_path):
    """libsndfile would read 3 bytes a sample: noise, a third longer."""
    whole = np.rint(zoo.noise(2)[:, ::-1] * 2.0 ** (bits - 1))
    data = (whole.T.astype("<i8") << (32 - bits)).astype("<i4").tobytes()
    raw = bytearray(
        zoo.save(
            tmp_path / "x", zoo.noise(2), container="WAVEX" if extensible else "WAV", subtype="PCM_32"
        ).read_bytes()
    )
    raw[34:36] = struct.pack("<H", bits)
    if extensible:
        raw[38:40] = struct.pack("<H", bits)
    raw[(at := raw.index(b"data") + 8) : at + len(data)] = data
    (tmp_path / "x.wav").write_bytes(raw)
    audio, file = read(tmp_path / "x.wav")
    assert np.array_equal(audio, (whole / 2.0 ** (bits - 1)).astype(np.float32)) and not file.notes
    assert file.info.subtype == "PCM_32" and file.info.bits == (bits if extensible else None)


def test_samples_in_4_bytes_at_the_end_of_joined_recordings_fail_if_they_break_off(tmp_path):
    raw = bytearray(zoo.save(tmp_path / "x", zoo.noise(), container="WAV", subtype="PCM_32").read_bytes())
    data = raw.index(b"data") + 8
    raw[data:] = (np.frombuffer(raw[data:], "<i4") & ~0xFFF).tobytes()
    raw[34:36] = struct.pack("<H", 20)
    (tmp_path / "whole.wav").write_bytes(raw * 2)
    assert read(tmp_path / "whole.wav")[0].shape[1] == 2 * zoo.noise().shape[1]
    (tmp_path / "half.wav").write_bytes(raw + raw[: len(raw) // 2])
    with pytest.raises(AudioError, match="truncated"):
        read(tmp_path / "half.wav")


def test_a_placeholder_of_arecord_is_no_length(tmp_path):
    data = np.rint(zoo.noise()[0] * 32768).astype("<i2").tobytes()
    (tmp_path / "x.wav").write_bytes(zoo.wave_bytes(data, promised=0x7FFFFF00))
    audio, file = read(tmp_path / "x.wav")
    assert np.array_equal(audio, zoo.noise()) and not file.notes


@pytest.mark.parametrize(("container", "subtypes"), [("FLAC", ("PCM_16", "PCM_24")), ("WAV", ("PCM_16", "FLOAT"))])
def test_joined_recordings_of_different_depths_keep_the_finest(container, subtypes, tmp_path):
    pieces = [zoo.noise(), zoo.noise() * np.float32(3 / 256 if "PCM_24" in subtypes else 30)]
    raw = b""
    for subtype, piece in zip(subtypes, pieces):
        raw += zoo.save(tmp_path / "piece", piece, container=container, subtype=subtype).read_bytes()
    (tmp_path / "x").write_bytes(raw)
    audio, file = read(tmp_path / "x")
    assert file.info.subtype == subtypes[1] and np.array_equal(audio, np.concatenate(pieces, axis=1))


def test_joined_recordings_of_a_lossy_codec_keep_the_first(tmp_path):
    one = zoo.save(tmp_path / "1", zoo.noise(), container="OGG", subtype="VORBIS").read_bytes()
    other = zoo.save(tmp_path / "2", zoo.noise(), container="FLAC").read_bytes()
    (tmp_path / "x.ogg").write_bytes(one + other)
    assert read(tmp_path / "x.ogg")[1].info.subtype == "VORBIS"
