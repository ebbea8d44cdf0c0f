"""Writing: exact where the format can be exact, RF64 where WAV ends, and an error instead of a wrong file."""

import re
import subprocess
import sys

import numpy as np
import pytest

from enhance_cli.audio.read import open_audio
from enhance_cli.audio.write import AudioWriter, OutputFormat
from enhance_cli.errors import AudioError
from tests import audio_zoo as zoo
from tests.audio_zoo import read


def write(path, audio, container, subtype, rate=48000, bitrate=None, frames="known", size=1000):
    fmt = OutputFormat(container, subtype, rate, path.suffix, bitrate)
    with AudioWriter(path, fmt, audio.shape[0], audio.shape[1] if frames == "known" else frames) as writer:
        for begin in range(0, audio.shape[1], size):
            writer.write(audio[:, begin : begin + size])
    return path


def every_value(bits):
    """All integers of so many bits (or a million of them, with both ends) as exact floats."""
    top = 2 ** (bits - 1)
    if bits <= 16:
        integers = np.arange(-top, top)
    else:
        integers = np.random.default_rng(0).integers(-top, top, 1_000_000)
        integers[:4] = -top, top - 1, -1, 0
    return (integers / top)[None].astype(np.float64 if bits > 24 else np.float32)


@pytest.mark.parametrize(
    ("container", "subtype", "bits"),
    [("WAV", "PCM_U8", 8), ("WAV", "PCM_16", 16), ("WAV", "PCM_24", 24), ("WAV", "PCM_32", 32),
    ("RF64", "PCM_24", 24),
     ("WAVEX", "PCM_16", 16), ("FLAC", "PCM_S8", 8), ("FLAC", "PCM_16", 16), ("FLAC", "PCM_24", 24),
     ("AIFF", "PCM_S8", 8),
     ("AIFF", "PCM_24", 24), ("CAF", "PCM_32", 32), ("CAF", "ALAC_16", 16), ("CAF", "ALAC_24", 24),
     ("W64", "PCM_16", 16),
     ("AU", "PCM_16", 16), ("M4A", "ALAC_16", 16), ("M4A", "ALAC_24", 24)],
)  # fmt: skip
def test_every_integer_comes_back_exactly(container, subtype, bits, tmp_path):
    values = every_value(bits)
    audio, file = read(write(tmp_path / "x", values, container, subtype, size=100_000))
    assert (file.info.container, file.info.subtype) == (container, subtype)
    assert np.array_equal(audio, values)


@pytest.mark.parametrize(("subtype", "kind"), [("FLOAT", np.float32), ("DOUBLE", np.float64)])
def test_floats_come_back_exactly_even_beyond_full_scale(subtype, kind, tmp_path):
    values = (np.random.default_rng(0).standard_normal((2, 5000)) * 3).astype(kind)
    assert np.array_equal(read(write(tmp_path / "x.wav", values, "WAV", subtype))[0], values)


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
def test_telephone_formats_written_again_do_not_change(subtype, tmp_path):
    first, _ = read(write(tmp_path / "a.wav", every_value(16), "WAV", subtype))
    again, _ = read(write(tmp_path / "b.wav", first, "WAV", subtype))
    assert np.array_equal(again, first)


@pytest.mark.parametrize("frames", [5000, 4800])  # 4800 are 15 blocks of GSM 6.10, an odd number of bytes
@pytest.mark.parametrize(("subtype", "channels"), [("IMA_ADPCM", 2), ("MS_ADPCM", 2), ("GSM610", 1)])
def test_formats_of_whole_blocks_keep_their_length(subtype, channels, frames, tmp_path):
    written = zoo.noise(channels, frames)
    audio, file = read(write(tmp_path / "x.wav", written, "WAV", subtype, 16000))
    assert file.info.subtype == subtype and audio.shape[1] == frames
    assert np.abs(audio - written).mean() < 0.05


@pytest.mark.parametrize(
    ("container", "subtype", "bits"),
    [("WAV", "PCM_U8", 8), ("WAV", "PCM_16", 16), ("WAV", "PCM_24", 24), ("WAV", "PCM_32", 32),
     ("FLAC", "PCM_16", 16), ("FLAC", "PCM_24", 24), ("AIFF", "PCM_S8", 8), ("M4A", "ALAC_16", 16)],
)  # fmt: skip
def test_samples_between_two_integers_go_to_the_nearer_and_an_integer_file_has_no_offset(
    container, subtype, bits, tmp_path
):
    whole = np.arange(-60, 60)
    between = np.concatenate([whole + 0.375, whole - 0.375, whole + 0.5])[None] / 2 ** (bits - 1)
    audio, _ = read(write(tmp_path / "x", between.astype(np.float64 if bits > 24 else np.float32), container, subtype))
    near, near_too, halves = np.split(audio[0] * 2 ** (bits - 1), 3)
    assert np.array_equal(near, whole) and np.array_equal(near_too, whole)
    assert abs((halves - whole - 0.5).mean()) < 0.02 and np.array_equal(np.abs(halves - whole - 0.5), 120 * [0.5])


def test_beyond_full_scale_integers_are_clipped_not_wrapped(tmp_path):
    audio, _ = read(write(tmp_path / "x.wav", np.array([[1.5, -1.5, 1.0, -1.0]], np.float32), "WAV", "PCM_16"))
    assert audio.tolist() == [[32767 / 32768, -1, 32767 / 32768, -1]]


@pytest.mark.parametrize(
    ("container", "subtype", "rate"),
    [("MP3", "MPEG_LAYER_III", 44100), ("MP3", "MPEG_LAYER_III", 16000), ("OGG", "VORBIS", 44100),
    ("OGG", "OPUS", 48000),
     ("M4A", "AAC", 44100)],
)  # fmt: skip
@pytest.mark.parametrize("frames", [1, 2000, 50_001])
def test_lossy_files_keep_length_and_timing(container, subtype, rate, frames, tmp_path):
    click = np.zeros((2, frames), np.float32)
    click[:, frames // 2 : frames // 2 + 20] = 0.5
    audio, file = read(write(tmp_path / "x", click, container, subtype, rate, 128_000))
    assert audio.shape == click.shape
    if frames > 1:
        assert abs(int(np.abs(audio[0]).argmax()) - frames // 2 - 10) < 40


@pytest.mark.parametrize(
    ("container", "subtype", "rate"),
    [
        ("MP3", "MPEG_LAYER_III", 48000),
        ("OGG", "VORBIS", 44100),
        ("OGG", "OPUS", 48000),
        ("M4A", "AAC", 48000),
    ],
)
@pytest.mark.parametrize("bitrate", [64_000, 128_000, 192_000])
def test_bit_rates_are_near_what_was_asked(container, subtype, rate, bitrate, tmp_path):
    audio = zoo.noise(2, frames=5 * rate)
    path = write(tmp_path / "x", audio, container, subtype, rate, bitrate, size=65536)
    assert 0.6 < path.stat().st_size * 8 / 5 / bitrate < 1.7


@pytest.mark.parametrize(("frames", "container"), [(1_000, "WAV"), (1_100_000_000, "RF64"), (None, "RF64")])
def test_wav_becomes_rf64_when_it_is_or_may_be_large(frames, container, tmp_path):
    path = write(tmp_path / "x.wav", zoo.noise(2, 1000), "WAV", "PCM_16", frames=frames)
    audio, file = read(path)
    assert path.read_bytes()[:4] == {"WAV": b"RIFF", "RF64": b"RF64"}[container]
    assert (file.info.container, audio.shape) == (container, (2, 1000))


def test_two_equal_runs_give_equal_bytes(tmp_path, monkeypatch):
    files = []
    for name in "ab":
        path = write(tmp_path / f"{name}.wav", zoo.noise(), "WAV", "FLOAT")
        raw = path.read_bytes()
        files.append(raw)
        assert raw[raw.index(b"PEAK") + 12 :][:4] == bytes(4)  # where libsndfile puts the time of day
    assert files[0] == files[1]


_FULL_DISK = """
import resource, signal, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from enhance_cli.audio.write import AudioWriter, OutputFormat
from enhance_cli.errors import AudioError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    with AudioWriter(sys.argv[2], OutputFormat(*sys.argv[3:5], 48000, "", 128_000), 1, 480_000) as writer:
        for _ in range(100):
            writer.write(np.random.default_rng(0).uniform(-0.5, 0.5, (1, 16_000)).astype(np.float32))
except AudioError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("RF64", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
     ("MP3", "MPEG_LAYER_III"), ("M4A", "AAC")],
)  # fmt: skip
def test_a_full_disk_is_one_clear_error(container, subtype, tmp_path, pytestconfig):
    """A limit on file size stands in for the full disk: the system refuses the write in just the same way."""
    command = [sys.executable, "-c", _FULL_DISK, pytestconfig.rootpath, tmp_path / "full", container, subtype]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert "full could not be written" in result.stdout and "if its disk is full, free some space" in result.stdout
    assert result.stdout.count("\n") == 1 and "Traceback" not in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
def test_a_short_flac_on_a_full_disk_says_that_samples_are_missing(tmp_path):
    """libsndfile notices no error, and reads an endless length from such a file."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(AudioError, match="could not be written") as refusal:
            write(tmp_path / "short.flac", zoo.noise()[:, :4000], "FLAC", "PCM_16")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not re.search(r"\d{5}", str(refusal.value).replace(str(tmp_path), ""))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(AudioError, match="could not be written"):
        write(tmp_path / "gone" / "x.wav", zoo.noise(), "WAV", "PCM_16")
    with pytest.raises(AudioError, match="could not be written"):
        write(tmp_path / "gone" / "x.m4a", zoo.noise(), "M4A", "AAC", bitrate=64_000)


@pytest.mark.skipif(sys.platform == "win32", reason="needs getrusage")
def test_memory_does_not_grow_with_length(tmp_path):
    """A minute of 192 kHz 8-channel floats is 370 MB; it passes through in blocks."""
    import resource

    block = zoo.noise(8, 65536)
    write(tmp_path / "warm.wav", block, "WAV", "PCM_16")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fmt = OutputFormat("WAV", "PCM_16", 192_000, ".wav")
    with AudioWriter(tmp_path / "x.wav", fmt, 8, 176 * 65536) as writer:
        for _ in range(176):
            writer.write(block)
    with open_audio(tmp_path / "x.wav") as audio:
        assert sum(b.shape[1] for b in audio.blocks()) == 176 * 65536
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kB
