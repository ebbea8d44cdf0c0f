"""Networks with memory: deepfilternet3 alone and as the first stage of denoise-48k, at every rate, in any blocks."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.audio.resample import resample
from enhance_cli.models import device, registry
from enhance_cli.models.load import load_file
from enhance_cli.resources import Resources
from enhance_cli.tasks import band_changes
from enhance_cli.tasks.denoise import Denoiser
from enhance_cli.tasks.engine import Engine
from enhance_cli.tasks.loading import load_denoiser_model
from enhance_cli.tasks.options import DenoiseOptions
from enhance_cli.tasks.stream import measured
from tests.golden_numbers import load, voice_in_noise
from tests.tasks.whole import denoise as run

RATE = 48000
PAIRS = Path(__file__).parent.parent / "audio_files" / "pairs"
MODELS = ("deepfilternet3", "denoise-48k")


@pytest.fixture(scope="module")
def models():
    return {n: load_file(registry.find(n, "denoise").path, torch.device("cpu")) for n in MODELS}


@pytest.fixture(scope="module", params=MODELS)
def model(request, models):
    return models[request.param]


def noisy_speech(rate: int, seconds: float = 2.0, channels: int = 1) -> np.ndarray:
    """(C, N) of a recording of VoiceBank-DEMAND, resampled, the channels at different levels."""
    audio, own = soundfile.read(sorted((PAIRS / "noisy").glob("*.flac"))[0], dtype="float32")
    one = resample(audio[None], own, rate)[:, : round(seconds * rate)]
    return np.concatenate([one * 0.7**channel for channel in range(channels)])


def in_blocks(denoiser: Denoiser, audio: np.ndarray, rate: int, seed: int) -> np.ndarray:
    """Return `audio` cleaned in blocks of random sizes, from none to a second."""
    rng, blocks, position = np.random.default_rng(seed), [], 0
    while position < audio.shape[1]:
        size = int(rng.integers(0, rate))
        blocks.append(audio[:, position : position + size])
        position += size
    level = measured(audio, rate)
    return np.concatenate(list(denoiser.process(iter(blocks), rate, len(audio), level)), axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8000, 44100, 48000, 96000])
def test_neither_blocks_nor_windows_change_the_result(model, rate):
    audio = noisy_speech(rate, 1.2, channels=2)
    whole = run(audio, rate, model)
    windows = Denoiser(model, DenoiseOptions(window_seconds=0.5))
    assert np.array_equal(in_blocks(Denoiser(model), audio, rate, 1), in_blocks(Denoiser(model), audio, rate, 2))
    assert np.abs(in_blocks(windows, audio, rate, 3) - whole).max() < 1e-6


@pytest.mark.slow
def test_half_a_minute_in_random_blocks_equals_the_whole_sample_for_sample(models):
    audio = np.tile(noisy_speech(RATE, 3.0), 10)
    for name, seconds in (("deepfilternet3", 30), ("denoise-48k", 16)):
        part = audio[:, : seconds * RATE]
        denoiser = Denoiser(models[name])
        assert np.array_equal(in_blocks(denoiser, part, RATE, 4), run(part, RATE, models[name])), name


def test_every_channel_is_cleaned_as_if_it_were_alone(models):
    audio = noisy_speech(RATE, 1.0, channels=3)
    together = run(audio, RATE, models["deepfilternet3"])
    alone = np.concatenate([run(channel[None], RATE, models["deepfilternet3"]) for channel in audio])
    assert np.abs(together - alone).max() < 1e-6


def test_a_limit_of_the_attenuation_is_that_of_the_published_library(models):
    expected, about = load("deepfilternet3")
    native = expected["native_limit_12"][about["native_delay"] :]
    ours = run(voice_in_noise()[None], RATE, models["deepfilternet3"], DenoiseOptions(max_attenuation=12))[0]
    first = about["first_equal_sample"]
    assert np.abs(ours[first : len(native)] - native[first:]).max() < about["tolerance"]["max_abs"]


OTHER_RATES = [8000, 11025, 22050, 44100, 96000, 192000]


@pytest.mark.parametrize("rate", [16000, 48000, *(pytest.param(rate, marks=pytest.mark.slow) for rate in OTHER_RATES)])
def test_noise_falls_and_speech_stays_at_every_rate(model, rate):
    pairs = (
        (PAIRS / side) / sorted(p.name for p in (PAIRS / "clean").glob("*.flac"))[0] for side in ("clean", "noisy")
    )
    clean, noisy = (resample(soundfile.read(p, dtype="float32")[0][None], 16000, rate) for p in pairs)
    cleaned = run(noisy, rate, model)
    assert cleaned.shape == noisy.shape
    error = lambda x: float(np.square(x - clean).mean())  # noqa: E731
    assert error(cleaned) < 0.5 * error(noisy)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_the_end_of_the_band_is_cleaned_as_well(model, rate):
    """Resampling to 48 kHz and back leaves out the last twentieth of the band. The noise there must fall all the same."""
    noise = 0.05 * np.random.default_rng(0).standard_normal((1, 3 * rate)).astype(np.float32)
    spectrum = lambda x: np.abs(np.fft.rfft(x[0, rate:]))  # noqa: E731
    top = slice(int(0.97 * rate), None)  # two seconds: two bins per hertz
    cleaned = run(noise, rate, model)
    assert np.square(spectrum(cleaned)[top]).sum() < 0.1 * np.square(spectrum(noise)[top]).sum()


def test_above_48_khz_nothing_is_invented_and_noise_falls(model):
    rate = 96000
    audio = resample(noisy_speech(48000, 2.0), 48000, rate)
    band = lambda x: np.abs(np.fft.rfft(x[0]))[int(25000 * 2) :]  # noqa: E731
    assert np.square(band(run(audio, rate, model))).sum() <= 1.001 * np.square(band(audio)).sum() + 1e-9
    hiss = audio + 0.01 * np.random.default_rng(0).standard_normal(audio.shape).astype(np.float32)
    assert np.square(band(run(hiss, rate, model))).sum() < 0.5 * np.square(band(hiss)).sum()


@pytest.mark.parametrize(
    "audio",
    {
        "one sample": np.full((1, 1), 0.5, np.float32),
        "20 ms": noisy_speech(RATE, 0.02),
        "a constant": np.full((1, RATE), 0.25, np.float32),
        "a square wave at full scale": np.sign(np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE))[None].astype(
            np.float32
        ),
        "faint": 1e-6 * noisy_speech(RATE),
        "64 channels": np.tile(noisy_speech(RATE, 0.1), (64, 1)),
    }.items(),
    ids=lambda item: item[0],
)
def test_odd_input_gives_finite_output_of_the_same_length_and_no_more_level(model, audio):
    audio = audio[1]
    out = run(audio, RATE, model)
    assert out.shape == audio.shape and np.isfinite(out).all()
    assert np.sqrt(np.square(out).mean()) <= 1.2 * np.sqrt(np.square(audio).mean())


@pytest.mark.slow
def test_silence_stays_silent_and_speech_after_it_is_kept(model):
    speech = noisy_speech(RATE, 2.5)
    audio = np.concatenate([np.zeros((1, 5 * RATE), np.float32), speech], axis=1)
    out = run(audio, RATE, model)
    assert not out[:, : 4 * RATE].any()
    alone = run(speech, RATE, model)
    later = slice(RATE, None)  # running means settle in a second
    level = lambda x: 20 * np.log10(np.sqrt(np.square(x).mean()))  # noqa: E731
    assert abs(level(out[:, 5 * RATE :][:, later]) - level(alone[:, later])) < 1.0


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_strength_of_nothing_gives_the_input_back_and_steps_are_taken(models, steps):
    audio = noisy_speech(RATE, 1.0)
    options = DenoiseOptions(strength=0.0, steps=steps)
    assert np.array_equal(run(audio, RATE, models["denoise-48k"], options), audio)
    assert np.isfinite(run(audio, RATE, models["denoise-48k"], DenoiseOptions(steps=steps))).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["denoise-s", "denoise-48k"])
@pytest.mark.parametrize("loud", ["a clap", "a voice 25 dB louder", "a voice 40 dB louder"])
def test_a_loud_passage_elsewhere_does_not_change_how_quiet_speech_is_cleaned(name, loud):
    model = load_file(registry.find(name, "denoise").path, torch.device("cpu"))
    rate, speech = 16000, noisy_speech(16000, 2.9)
    rms = lambda x: float(np.sqrt(np.square(x).mean()))  # noqa: E731
    if loud == "a clap":
        passage = np.zeros((1, rate), np.float32)
        passage[:, 4000:5600] = np.random.default_rng(0).standard_normal(1600) * rms(speech) * 10 ** (50 / 20)
    else:
        other = soundfile.read(sorted((PAIRS / "clean").glob("*.flac"))[2], dtype="float32")[0][None]
        passage = other * rms(speech) / rms(other) * 10 ** (float(loud.split()[2]) / 20)
    together = np.concatenate([passage, speech, passage], axis=1)
    scale = max(1.0, np.abs(together).max())
    cleaned = scale * run(together / scale, rate, model)[:, passage.shape[1] :][:, : speech.shape[1]]
    inside = slice(rate // 2, -rate // 10)  # where the network has settled, also on the speech alone
    cleaned, alone = cleaned[:, inside], run(speech, rate, model)[:, inside]
    assert abs(20 * np.log10(rms(cleaned) / rms(alone))) < 1.0
    assert rms(cleaned - alone) < 0.25 * rms(alone)


@pytest.mark.slow
def test_windows_that_share_a_batch_as_on_a_gpu_are_refined_as_if_alone(models, monkeypatch):
    audio, options = noisy_speech(RATE, 3.5, channels=2), DenoiseOptions(window_seconds=0.25)
    alone = run(audio, RATE, models["denoise-48k"], options)
    sizes = []

    def engine(model, run, *_):
        return Engine(lambda orders: (sizes.append(len(orders)), run(orders))[1], 2, together=16)

    monkeypatch.setattr(band_changes, "engine_for", engine)
    assert np.abs(run(audio, RATE, models["denoise-48k"], options) - alone).max() < 1e-5
    assert max(sizes) > 1


def test_a_network_with_memory_stays_on_the_cpu_where_there_is_a_gpu(monkeypatch):
    """Its stream is computed from NumPy arrays, a few frames at a time. "meta" stands for a GPU: it computes nothing."""
    pick = device.pick_device
    monkeypatch.setattr(
        device, "pick_device", lambda name="auto": torch.device("meta") if name == "auto" else pick(name)
    )
    entry = registry.find("deepfilternet3", "denoise")
    model = load_denoiser_model(entry, None, None, Resources(threads=1, runtime="torch"))
    assert (model.device.type, model.precision) == ("cpu", "fp32")
    assert np.isfinite(run(noisy_speech(RATE, 0.2), RATE, model)).all()
