"""`enhance extend-bandwidth`: rates, records and outputs as with `denoise`, and one clear line for what makes no sense."""

import json

import numpy as np
import pytest
import soundfile

import enhance_cli
from enhance_cli.audio.resample import resample
from tests.audio_zoo import save
from tests.commands.test_denoise import _PEAK
from tests.films import PICTURE, ffmpeg
from tests.tasks.test_extend_bandwidth import voice


@pytest.fixture
def folder(tmp_path):
    """Noise that is full band, the same at 16 kHz and in a 48 kHz file cut at 8 kHz, and silence."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 96000)).astype(np.float32)
    low = resample(noise, 48000, 16000)
    (tmp_path / "in").mkdir()
    save(tmp_path / "in/full.wav", noise, 48000, subtype="PCM_24")
    save(tmp_path / "in/low.wav", low, 16000, subtype="PCM_24")
    save(tmp_path / "in/cut.flac", resample(low, 16000, 48000), 48000, "FLAC")
    save(tmp_path / "in/silence.wav", np.zeros((1, 8000), np.float32), 8000)
    return tmp_path


def records(result) -> dict[str, dict]:
    return {record["relative"]: record for record in map(json.loads, result.lines)}


def test_a_folder_becomes_48_khz_and_what_is_whole_stays_whole(enhance, folder):
    result = enhance("extend-bandwidth", "in", "-o", "out", "--json", "-m", "copy-up")
    assert result.code == 0
    found = records(result)
    rates = {name: soundfile.info(folder / "out" / name).samplerate for name in found}
    assert rates == {"full.wav": 48000, "low.wav": 48000, "cut.flac": 48000, "silence.wav": 8000}
    for name in ("full.wav", "silence.wav"):
        before, after = (soundfile.read(folder / part / name)[0] for part in ("in", "out"))
        assert np.array_equal(before, after) and found[name]["made_level"] is None
        assert (
            found[name]["cutoff_before"]
            == found[name]["cutoff_after"]
            == soundfile.info(folder / "in" / name).samplerate / 2
        )
        assert any("left as it is" in note for note in found[name]["notes"])
    for name in ("low.wav", "cut.flac"):
        assert found[name]["cutoff_before"] == pytest.approx(7700, abs=300) and found[name]["cutoff_after"] > 20000
        assert -60 < found[name]["made_level"] < -20
    assert soundfile.info(folder / "out/low.wav").frames == 96000
    again = enhance("extend-bandwidth", "in", "-o", "out", "-m", "copy-up")
    assert again.code == 0 and not again.lines


def test_the_own_band_comes_out_as_it_was(enhance, folder):
    assert enhance("extend-bandwidth", "in/low.wav", "-o", "wide.wav", "-m", "copy-up").code == 0
    before, after = (soundfile.read(folder / name)[0].T for name in ("in/low.wav", "wide.wav"))
    spectra = [np.fft.rfft(x * np.hanning(x.shape[1]))[:, : 2 * 7000] for x in (resample(before, 16000, 48000), after)]
    assert np.linalg.norm(spectra[0] - spectra[1]) < 1e-3 * np.linalg.norm(spectra[0])


def test_the_rate_and_the_cutoff_can_be_said(enhance, folder):
    result = enhance("extend-bandwidth", "in/low.wav", "-o", "a.wav", "--rate", 24000, "--input-cutoff", 4000, "--json")
    assert result.code == 0 and records(result)["low.wav"]["cutoff_before"] == 4000
    assert soundfile.info(folder / "a.wav").samplerate == 24000 and soundfile.info(folder / "a.wav").frames == 48000
    (note,) = records(enhance("extend-bandwidth", "in/full.wav", "-o", "f.wav", "--input-cutoff", 21000, "--json"))[
        "full.wav"
    ]["notes"]
    assert note == "left as it is: a band that reaches 20000 Hz is full"
    assert enhance("extend-bandwidth", "in/low.wav", "-o", "b.opus").code == 0
    assert soundfile.info(folder / "b.opus").samplerate == 48000


def test_the_same_command_gives_the_same_samples_and_another_seed_others(enhance, tmp_path):
    """Of a voice: copies of noise are noise already, and get none."""
    save(tmp_path / "voice.wav", voice(), 16000)
    for name, seed in (("a", 0), ("b", 0), ("c", 7)):
        assert enhance("extend-bandwidth", "voice.wav", "-o", f"{name}.wav", "-m", "copy-up", "--seed", seed).code == 0
    a, b, c = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)


@pytest.mark.parametrize(
    "options, code, message",
    [
        (["--input-cutoff", "high"], 2, "--input-cutoff high: must be auto, or 1000 Hz or more"),
        (["--input-cutoff", "nan"], 2, "--input-cutoff nan"),
        (["--input-cutoff", "9000"], 1, "at 16000 Hz has a band that ends at 1000 to 8000 Hz"),
        (["--rate", "8000"], 1, "--rate 8000: the file has 16000 Hz: ask for more"),
        (["-m", "denoise-s"], 3, "denoise-s: a model for denoise, not for extend-bandwidth"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(enhance, folder, options, code, message):
    result = enhance("extend-bandwidth", "in/low.wav", "-o", "out.wav", *options)
    assert result.code == code and len(result.errors) == 1 and message in result.errors[0]
    assert not (folder / "out.wav").exists()


def test_one_sample_and_a_recording_that_is_broken(enhance, tmp_path):
    save(tmp_path / "one.wav", np.full((1, 1), 0.5, np.float32), 8000)
    save(tmp_path / "nan.wav", np.full((1, 100), np.nan, np.float32), 16000, subtype="FLOAT")
    result = enhance("extend-bandwidth", "one.wav", "nan.wav", "-o", "out")
    assert result.code == 1 and len(result.errors) == 1 and "nan.wav" in result.errors[0]
    assert (tmp_path / "out/one.wav").exists()


@pytest.mark.slow
def test_memory_does_not_grow_with_length(run_python, tmp_path):
    def peak(seconds: int) -> int:
        noise = 0.1 * np.random.default_rng(0).standard_normal((1, 8000 * seconds)).astype(np.float32)
        save(tmp_path / f"{seconds}.wav", noise, 8000)
        result = run_python("-c", _PEAK, "extend-bandwidth", f"{seconds}.wav", "-m", "copy-up", "--threads", 1)
        assert result.code == 0 and soundfile.info(tmp_path / f"{seconds}_extended.wav").frames == 48000 * seconds
        return int(result.stderr.split()[-1])

    short, long = peak(40), peak(200)
    assert long < 1.1 * short


def test_python_gives_the_samples_of_the_command(enhance, folder):
    options = ["--bit-depth", "float", "-m", "copy-up", "--seed", 3, "--input-cutoff", 6000]
    assert enhance("extend-bandwidth", "in/low.wav", "-o", "wide.wav", *options).code == 0
    low, rate = soundfile.read(folder / "in/low.wav", dtype="float32")
    wide, wide_rate = enhance_cli.extend_bandwidth(low.T, rate, "copy-up", device="cpu", cutoff=6000, seed=3)
    assert wide_rate == 48000
    np.testing.assert_allclose(wide.T, soundfile.read(folder / "wide.wav")[0], atol=1e-6)
    one, _ = enhance_cli.extend_bandwidth(low[:, 0], rate, "copy-up", device="cpu")
    assert one.shape == (96000,)


def test_what_an_encoder_cuts_is_measured_and_it_gets_the_bits_that_treble_needs(enhance, folder):
    """At the 80 kb/s a channel that other commands give to an MP3, LAME would keep 17 kHz of the band that was made."""
    assert enhance("extend-bandwidth", "in/low.wav", "-o", "a.mp3", "-m", "copy-up").code == 0
    found = {}
    for source, target in (("in/low.wav", "wide.mp3"), ("in/low.wav", "wide.opus"), ("in/low.wav", "low.mp3")):
        rate = ["--rate", "16000"] if target == "low.mp3" else []
        result = enhance("extend-bandwidth", source, "-o", target, "-m", "copy-up", "--json", *rate)
        (found[target],) = map(json.loads, result.lines)
    mp3, opus, low = found["wide.mp3"], found["wide.opus"], found["low.mp3"]
    assert mp3["cutoff_after"] == pytest.approx(19800, abs=300)
    assert mp3["notes"] == ["written at 256 kb/s: at 160 the encoder would cut the treble again"]
    assert opus["cutoff_after"] > 19500 and opus["notes"] == []
    assert low["cutoff_after"] <= 8000


def test_a_band_that_the_encoder_of_a_video_cuts_is_told(enhance, folder):
    """A video keeps the bit rate of its old sound."""
    pictures = ["-f", "lavfi", "-i", PICTURE, "-i", folder / "in/low.wav", "-map", 0, "-map", 1]
    ffmpeg(*pictures, "-c:v", "libx264", "-c:a", "aac", "-b:a", "64k", "-shortest", folder / "talk.mp4")
    result = enhance("extend-bandwidth", "talk.mp4", "-o", "wide.mp4", "-m", "copy-up", "--json")
    record = records(result)["talk.mp4"]
    assert 9000 < record["cutoff_after"] < 15000
    (note,) = [note for note in record["notes"] if "encoder" in note]
    assert "kept the band up to 11.4 kHz: a lossless format keeps all of it" in note
