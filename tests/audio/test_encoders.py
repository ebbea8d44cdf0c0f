"""What encoders do to level, timing and length: for every codec, rate and bit rate that is written."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.write import AudioWriter, OutputFormat
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.job import Job
from tests import audio_zoo as zoo
from tests.audio_zoo import read

MP3 = {8000: (8, 16, 32, 64), 16000: (16, 24, 64, 160), 22050: (24, 48, 128), 32000: (32, 64, 192), 44100: (32, 96, 224, 320),
       48000: (40, 128, 160, 256)}  # fmt: skip
CASES = [("MP3", "MPEG_LAYER_III", rate, kb) for rate, rates in MP3.items() for kb in rates]
CASES += [("M4A", "AAC", rate, kb) for rate in (8000, 16000, 44100, 48000, 96000) for kb in (64, 160)]
CASES += [("OGG", "OPUS", rate, kb) for rate in (8000, 12000, 16000, 24000, 48000) for kb in (24, 96)]
CASES += [("OGG", "VORBIS", rate, kb) for rate in (8000, 16000, 44100, 48000, 96000) for kb in (64, 160)]


def write(path, audio, container, subtype, rate, bitrate):
    fmt = OutputFormat(container, subtype, rate, path.suffix, bitrate)
    with AudioWriter(path, fmt, *audio.shape) as writer:
        writer.write(audio)
    return path


def sweep(rate, seconds=1.5):
    """A band of tones that every codec keeps, turned on and off so that its place in time can be found."""
    time = np.arange(round(rate * seconds) + 37) / rate
    wave = sum(np.sin(2 * np.pi * pitch * time + pitch) for pitch in (210, 330, 470, 690))
    return (0.08 * wave * (1 + 0.8 * np.sin(2 * np.pi * 3 * time)))[None].astype(np.float32)


def delay(after, before):
    """By how many samples `after` is late, and its level by that of `before`."""
    size = 1 << (2 * before.size).bit_length()
    spectra = np.fft.rfft(after, size) * np.conj(np.fft.rfft(before, size))
    lag = int(np.argmax(np.fft.irfft(spectra, size)))
    return lag if lag < size // 2 else lag - size


@pytest.mark.parametrize(("container", "subtype", "rate", "kilobits"), CASES)
def test_length_is_exact_timing_within_a_sample_and_level_within_a_twentieth_of_a_decibel(
    container, subtype, rate, kilobits, tmp_path
):
    before = sweep(rate)
    after = read(write(tmp_path / "x", before, container, subtype, rate, 1000 * kilobits))[0]
    assert after.shape == before.shape
    assert abs(delay(after[0], before[0])) <= 1
    middle = slice(rate // 10, -rate // 10)
    gain = np.vdot(after[0, middle], before[0, middle]) / np.vdot(before[0, middle], before[0, middle])
    starved = kilobits < rate / 900 or subtype == "OPUS" and kilobits < 32  # what the codec drops is missing
    assert abs(20 * np.log10(gain)) < (0.3 if starved else 0.05)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program to compare with")
@pytest.mark.parametrize(("rate", "kilobits"), [(8000, 8), (16000, 24), (44100, 64), (48000, 320)])
def test_other_readers_find_the_same_samples_in_an_mp3(rate, kilobits, tmp_path):
    before = sweep(rate)
    path = write(tmp_path / "x.mp3", before, "MP3", "MPEG_LAYER_III", rate, 1000 * kilobits)
    assert soundfile.info(path).frames == before.shape[1]
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-"], capture_output=True).stdout
    other = np.frombuffer(raw, "<f4")
    assert abs(other.size - before.size) <= 1105 and abs(delay(other, before[0])) <= 1


@pytest.mark.parametrize("suffix", [".mp3", ".m4a", ".ogg", ".opus"])
def test_the_loudness_asked_for_is_that_of_what_was_written(suffix, tmp_path):
    rng = np.random.default_rng(0)
    noise = np.cumsum(rng.standard_normal((1, 3 * 48000)), axis=1) * 0.002 + 0.05 * rng.standard_normal((1, 3 * 48000))
    source = zoo.save(tmp_path / "a.wav", np.clip(noise - noise.mean(), -1, 1), 48000)
    job = Job(source, source, tmp_path / f"b{suffix}")
    fields = enhance_file(job, lambda blocks, *_: blocks, FileOptions(loudness=-26.0))
    meter = Meter(48000, 1)
    meter.push(read(job.target)[0])
    assert meter.loudness == pytest.approx(-26, abs=0.1)
    assert fields["loudness_after"] == pytest.approx(meter.loudness, abs=0.02)


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM"])
@pytest.mark.parametrize("frames", [1, 1000, 4097])
def test_adpcm_keeps_its_length(subtype, frames, tmp_path):
    audio = zoo.noise(1, frames)
    assert read(write(tmp_path / "x.wav", audio, "WAV", subtype, 16000, None))[0].shape == audio.shape


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("seconds", [0.1, 0.3, 2])
def test_stereo_adpcm_of_libsndfile_which_counts_half_of_it_is_read_whole(rate, seconds, tmp_path):
    path = zoo.save(tmp_path / "a.wav", zoo.noise(2, int(seconds * rate)), rate, subtype="IMA_ADPCM")
    assert np.array_equal(read(path)[0], soundfile.read(path, dtype="float32")[0].T)


@pytest.mark.parametrize("bits", [16, 24])
def test_flac_in_ogg_and_apple_lossless_of_many_channels_are_exact(bits, tmp_path):
    values = np.random.default_rng(0).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (8, 10_000)) / 2.0 ** (bits - 1)
    for container, codec, count in (("OGG", "FLAC", 8), ("M4A", "ALAC", 6), ("CAF", "ALAC", 2)):
        values = values[:count]
        path = write(tmp_path / container, values.astype(np.float32), container, f"{codec}_{bits}", 48000, None)
        assert np.array_equal(read(path)[0], values.astype(np.float32))
