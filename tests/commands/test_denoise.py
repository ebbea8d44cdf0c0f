"""`enhance denoise`, the main job: timing, level, memory, repeatability, and what the options mean."""

import socket

import numpy as np
import pytest
import soundfile
import torch

import enhance_cli
from enhance_cli.models import load
from tests import audio_zoo as zoo

LENGTHS = [1, 2, 255, 256, 257, 12345, 16001]


def sound(path) -> np.ndarray:
    """(C, N) float64."""
    return soundfile.read(path, always_2d=True)[0].T


def loud_speech(seconds: float = 2.0, rate: int = 16000, channels: int = 1, peak: float = 0.5) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 9)) * np.clip(np.sin(4 * t) + 0.2, 0, None)
    audio = voice + 0.02 * np.random.default_rng(0).standard_normal((channels, len(t)))
    return (peak * audio / np.abs(audio).max()).astype(np.float32)


# --- length, timing, level ----------------------------------------------------------------------------------


def test_a_model_that_changes_nothing_gives_back_every_sample_of_every_file(enhance, identity_model, tmp_path):
    (tmp_path / "in").mkdir()
    for n in LENGTHS:
        zoo.save(tmp_path / "in" / f"{n}.wav", zoo.noise(1, n))
    for rate in (8000, 11025, 44100, 96000, 192000):
        zoo.save(tmp_path / "in" / f"rate{rate}.wav", zoo.noise(2, 4801), rate, subtype="PCM_24")
    result = enhance("denoise", "in", "-o", "out", "-m", identity_model, "--steps", 2)
    assert result.code == 0 and len(result.lines) == len(LENGTHS) + 5
    for path in (tmp_path / "in").iterdir():
        np.testing.assert_array_equal(sound(tmp_path / "out" / path.name), sound(path))
        assert soundfile.info(tmp_path / "out" / path.name).samplerate == soundfile.info(path).samplerate


def test_one_gain_for_the_whole_file_and_no_clipping(enhance, tiny_model, tmp_path):
    """This model raises peaks: a 16-bit result is the float result times one number, below full scale."""
    audio = loud_speech(25.0, peak=0.98)  # three windows
    zoo.save(tmp_path / "a.wav", audio)
    assert enhance("denoise", "a.wav", "-o", "free.wav", "-m", tiny_model, "--bit-depth", "float").code == 0
    result = enhance("denoise", "a.wav", "-o", "whole.wav", "-m", tiny_model)
    assert "level lowered by" in result.stderr
    free, whole = sound(tmp_path / "free.wav"), sound(tmp_path / "whole.wav")
    assert np.abs(free).max() > 1 > np.abs(whole).max() > 0.99
    gain = np.abs(whole).max() / np.abs(free).max()
    np.testing.assert_allclose(whole, gain * free, atol=2e-4)


def test_loudness_is_kept_or_set_and_silence_stays_silence(enhance, identity_model, tmp_path):
    import pyloudnorm

    zoo.save(tmp_path / "speech.wav", loud_speech(4.0, 44100, 2, peak=0.1), 44100)
    zoo.save(tmp_path / "silence.wav", np.zeros((2, 44100), np.float32), 44100)
    zoo.save(tmp_path / "full_scale.wav", np.sign(zoo.noise(1, 44100)), 44100, subtype="FLOAT")
    zoo.one_sample(tmp_path)
    result = enhance("denoise", ".", "-o", "out", "-m", identity_model, "--loudness", "-20")
    assert result.code == 0 and not result.errors
    meter = pyloudnorm.Meter(44100)
    assert meter.integrated_loudness(sound(tmp_path / "out/speech.wav").T) == pytest.approx(-20, abs=0.1)
    assert not sound(tmp_path / "out/silence.wav").any()
    assert np.abs(sound(tmp_path / "out/full_scale.wav")).max() <= 10 ** (-1 / 20)
    assert sound(tmp_path / "out/one_sample.wav") == 0.5


def test_strength_zero_is_the_input_and_a_limit_keeps_some_of_it(enhance, tiny_model, tmp_path):
    audio = zoo.save(tmp_path / "a.wav", loud_speech(channels=2), subtype="PCM_24")
    for options, name in (["--strength", 0], "none"), (["--max-attenuation", 6], "some"), ([], "all"):
        assert enhance("denoise", audio, "-o", f"{name}.wav", "-m", tiny_model, *options).code == 0
    before, none, some, full = (sound(tmp_path / f"{name}.wav") for name in ("a", "none", "some", "all"))
    np.testing.assert_array_equal(none, before)
    kept = 10 ** (-6 / 20)
    np.testing.assert_allclose(some, kept * before + (1 - kept) * full, atol=1e-6)


def test_content_above_the_band_is_kept_or_cut(enhance, identity_model, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise(1, 24000), 48000)
    for choice in ("keep", "cut"):
        enhance("denoise", "a.wav", "-o", f"{choice}.wav", "-m", identity_model, "--full-band", choice)
    before, keep, cut = (sound(tmp_path / f"{name}.wav")[0] for name in ("a", "keep", "cut"))
    np.testing.assert_array_equal(keep, before)
    high = lambda x: np.abs(np.fft.rfft(x * np.hanning(len(x))))[9000 * len(x) // 48000 :].mean()
    assert high(cut) < 0.01 * high(before)


def test_a_stretch_is_taken_to_the_sample(enhance, identity_model, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise(2, 48000))
    enhance("denoise", "a.wav", "-o", "b.wav", "-m", identity_model, "--start", 0.5, "--duration", 1.25)
    np.testing.assert_array_equal(sound(tmp_path / "b.wav"), sound(tmp_path / "a.wav")[:, 8000:28000])


# --- memory -------------------------------------------------------------------------------------------------

# The process itself reads its peak: what wait4 tells of a child counts the memory of its parent before exec.
_PEAK = """
import resource, sys
from enhance_cli.cli import main
try:
    main()
finally:
    try:
        peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print("peak", peak, file=sys.stderr)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_length(run_python, tiny_model, tmp_path):
    def peak(seconds: int) -> int:
        with soundfile.SoundFile(tmp_path / f"{seconds}.wav", "w", 8000, 1, "PCM_16") as file:
            for second in range(seconds):
                file.write(zoo.noise(1, 8000, seed=second)[0])
        result = run_python("-c", _PEAK, "denoise", f"{seconds}.wav", "-m", tiny_model, "--batch-size", 2)
        assert result.code == 0
        assert soundfile.info(tmp_path / f"{seconds}_denoised.wav").frames == 8000 * seconds
        return int(result.stderr.split()[-1])

    short, long = peak(30), peak(480)
    assert long < 1.1 * short


@pytest.mark.slow
def test_memory_of_the_default_model_hardly_grows_with_length(run_python, tmp_path):
    """By ONNX Runtime: no chunk of a long file is larger than a short file, and only a state is kept for the next one."""

    def peak(seconds: int) -> int:
        with soundfile.SoundFile(tmp_path / f"{seconds}.wav", "w", 48000, 1, "PCM_16") as file:
            for second in range(seconds):
                file.write(zoo.noise(1, 48000, seed=second)[0])
        words = ("denoise", f"{seconds}.wav", "--device", "cpu", "--threads", 1, "--model", "denoise-48k")
        result = run_python("-c", _PEAK, *words)
        assert result.code == 0
        return int(result.stderr.split()[-1])

    short, long = peak(3), peak(90)
    assert short < 150_000  # kB
    assert long < 1.1 * short


# --- the same again -----------------------------------------------------------------------------------------


def test_neither_batch_size_nor_shard_nor_company_changes_a_result(enhance, tiny_model, tmp_path):
    (tmp_path / "in").mkdir()
    for name in "abcdef":
        zoo.save(tmp_path / "in" / f"{name}.wav", loud_speech(1.0 if name > "a" else 31.0), subtype="FLOAT")
    common = ["-m", tiny_model, "--steps", 2, "--sampler", "bridge_sde", "--seed", 7]
    assert enhance("denoise", "in", "-o", "one", *common, "--batch-size", 1).code == 0
    made = [enhance("denoise", "in", "-o", "eight", *common, "--batch-size", 8, "--shard", f"{i}/3") for i in (1, 2, 3)]
    assert [r.code for r in made] == [0, 0, 0] and sum(len(r.lines) for r in made) == 6
    assert enhance("denoise", "in/b.wav", "-o", "alone.wav", *common).code == 0
    for name in "abcdef":
        assert (tmp_path / "eight" / f"{name}.wav").read_bytes() == (tmp_path / "one" / f"{name}.wav").read_bytes()
    np.testing.assert_array_equal(sound(tmp_path / "alone.wav"), sound(tmp_path / "one" / "b.wav"))
    enhance("denoise", "in/b.wav", "-o", "other.wav", *common[:-1], 8)
    assert np.abs(sound(tmp_path / "other.wav") - sound(tmp_path / "alone.wav")).max() > 1e-3


def test_the_command_and_the_python_function_give_the_same_samples(enhance, tiny_model, tmp_path):
    audio = loud_speech(12.0, 22050, 2)
    zoo.save(tmp_path / "a.wav", audio, 22050, subtype="FLOAT")
    for steps, options in ((1, {}), (3, {"sampler": "bridge_sde", "seed": 4, "strength": 0.8})):
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        enhance("denoise", "a.wav", "-o", f"{steps}.wav", "-m", tiny_model, "--steps", steps, *flags)
        called = enhance_cli.denoise(audio, 22050, str(tiny_model), device="auto", steps=steps, **options)
        np.testing.assert_allclose(sound(tmp_path / f"{steps}.wav"), called, atol=1e-6)


def test_python_takes_one_channel_without_an_axis(tiny_model):
    audio = loud_speech()
    assert enhance_cli.denoise(audio[0], 16000, str(tiny_model)).shape == audio[0].shape


# --- models and devices -------------------------------------------------------------------------------------


def test_no_network_is_used_and_the_model_is_loaded_once(enhance, tiny_model, tmp_path, monkeypatch):
    def blocked(*_, **__):
        raise AssertionError("the network was used")

    loads = []
    monkeypatch.setattr(socket, "socket", blocked)
    monkeypatch.setattr(socket, "create_connection", blocked)
    monkeypatch.setattr(load, "load_file", lambda *a, real=load.load_file: loads.append(a) or real(*a))
    for name in "abc":
        zoo.save(tmp_path / f"{name}.wav", zoo.noise())
    assert enhance("denoise", "a.wav", "b.wav", "c.wav", "-m", tiny_model).code == 0
    assert len(loads) == 1


def test_the_first_line_says_the_device_and_the_precision(enhance, tiny_model, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise())
    first = enhance("denoise", "a.wav", "-m", tiny_model, "--device", "cpu").stderr.splitlines()[0]
    assert first == "tiny, bridge_ode, 1 step, on cpu in fp32"
    enhance("denoise", "a.wav", "-o", "b.wav", "-m", tiny_model, "--device", "cpu", "--precision", "bf16", "--steps", 2)
    change = sound(tmp_path / "b.wav") - sound(tmp_path / "a_denoised.wav")
    assert 0 < np.abs(change).max() < 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_gives_what_the_cpu_gives(enhance, tiny_model, tmp_path):
    zoo.save(tmp_path / "a.wav", loud_speech(12.0), subtype="FLOAT")
    common = ["-m", tiny_model, "--precision", "fp32", "--steps", 2, "--sampler", "bridge_sde"]
    enhance("denoise", "a.wav", "-o", "cpu.wav", "--device", "cpu", *common)
    result = enhance("denoise", "a.wav", "-o", "gpu.wav", "--device", "cuda", *common)
    assert "on cuda in fp32" in result.stderr
    np.testing.assert_allclose(sound(tmp_path / "gpu.wav"), sound(tmp_path / "cpu.wav"), atol=2e-3)


def test_what_was_taken_away_can_be_had_and_both_sum_to_the_input(enhance, tiny_model, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise(2, 12345))
    result = enhance("denoise", "a.wav", "-m", tiny_model, "--residual")
    assert result.code == 0 and result.lines == ["a_denoised.wav", "a_residual.wav"]
    parts = [sound(tmp_path / name) for name in result.lines]
    np.testing.assert_array_equal(sum(parts), sound(tmp_path / "a.wav"))
    alone = enhance("denoise", "a.wav", "-m", tiny_model, "-o", "alone.wav")
    assert alone.code == 0
    np.testing.assert_array_equal(parts[0], sound(tmp_path / "alone.wav"))
    assert np.square(parts[1]).mean() > 1e-5
    again = enhance("denoise", ".", "-m", tiny_model, "--residual", "--name", "{stem}_{part}{ext}")
    assert "a_residual.wav: this is the output of a.wav" in again.stderr
