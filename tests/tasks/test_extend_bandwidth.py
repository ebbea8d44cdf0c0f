"""Bandwidth extension of streams: the input's band, the stereo image and the level stay, and windows leave no trace."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.audio.resample import resample
from enhance_cli.models.load import Model, load_file
from enhance_cli.models.registry import find
from enhance_cli.models.spec import Spec
from enhance_cli.networks import NETWORKS
from enhance_cli.tasks.extend_bandwidth import ExtendOptions
from tests.tasks.whole import extend_bandwidth as run

SPEECH = Path(__file__).parents[1] / "audio_files" / "pairs_48k" / "clean" / "p254_waterfall.flac"
HEADER = {
    "process": "",
    "task": "extend-bandwidth",
    "frontend": None,
    "sample_rate": 48000,
    "level": 0.05,
    "samplers": (),
}
SIZES = {
    "band_levels": {"width": 8, "dilations": (1, 2)},
    "ap_bwe": {"channels": 8, "hidden": 16, "layers": 2},
    "lavasr": {"channels": 8, "hidden": 16, "layers": 2},
}


def voice(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """Speech-like sound (1, N) at 16 kHz with a pause."""
    t = np.arange(round(16000 * seconds)) / 16000
    tone = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 55))
    noise = np.random.default_rng(seed).standard_normal(t.size)
    return (0.05 * (tone + 0.5 * noise) * np.clip(np.sin(3 * t) + 0.3, 0, None))[None].astype(np.float32)


@pytest.fixture(scope="module", params=["copy_up", *SIZES])
def model(request) -> Model:
    if request.param == "copy_up":
        return load_file(find("copy-up", "extend-bandwidth").path, torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NETWORKS[request.param](**SIZES[request.param]).eval().requires_grad_(False)
        if request.param == "band_levels":
            torch.nn.init.normal_(network.head.weight, std=0.05)
        if request.param == "lavasr":
            torch.nn.init.uniform_(network.mel, 0, 0.01)
            torch.nn.init.normal_(network.out.bias, std=0.1)
    return Model(Spec("tiny", request.param, network_args={}, **HEADER), network, torch.device("cpu"))


def part(audio: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the spectrum of a band of (C, N) at 48 kHz."""
    spectrum = np.fft.rfft(audio * np.hanning(audio.shape[1]))
    frequencies = np.fft.rfftfreq(audio.shape[1], 1 / 48000)
    return spectrum[:, (frequencies >= low) & (frequencies < high)]


def energy(audio: np.ndarray) -> float:
    return 10 * np.log10(np.square(np.abs(audio)).sum())


def test_the_own_band_stays_and_a_band_above_comes_to_it(model):
    low = voice()
    out, rate = run(low, 16000, model)
    untouched = resample(low, 16000, 48000)
    assert rate == 48000 and out.shape == untouched.shape and np.isfinite(out).all()
    changed = energy(part(out - untouched, 0, 0.95 * 7500)) - energy(part(untouched, 0, 0.95 * 7500))
    made = energy(part(out, 8500, 16000)) - energy(part(untouched, 8500, 16000))
    assert changed < -60 and made > 20


def test_windows_and_blocks_leave_no_trace(model):
    low = voice(5.0)
    whole, _ = run(low, 16000, model, ExtendOptions(window_seconds=30.0))
    cut, _ = run(low, 16000, model, ExtendOptions(window_seconds=0.7))
    near = 1e-3 if model.spec.network == "ap_bwe" else 1e-5  # phases of faint bins, which it reads, are rounding errors
    assert np.abs(whole - cut).max() < near and np.abs(whole).max() > 0.05


def test_a_source_stays_in_its_place_between_the_channels(model):
    low = voice()
    out, _ = run(np.concatenate([low, 0.25 * low]), 16000, model)
    left, right = (energy(part(out[i : i + 1], 8500, 16000)) for i in (0, 1))
    if model.spec.network in ("ap_bwe", "lavasr"):  # which hear one channel at a time, and random weights are no scale
        assert np.isfinite(left - right)
    else:
        assert left - right == pytest.approx(20 * np.log10(4), abs=0.05)
    both, _ = run(np.concatenate([low, low]), 16000, model)
    np.testing.assert_allclose(both[0], both[1], atol=1e-6)


def test_the_made_band_has_the_image_of_the_treble_and_not_of_the_bass():
    model = load_file(find("copy-up", "extend-bandwidth").path, torch.device("cpu"))
    t = np.arange(48000) / 16000
    bass, hiss = 0.3 * np.sin(2 * np.pi * 90 * t), 0.02 * np.random.default_rng(0).standard_normal(t.size)
    out, _ = run(np.stack([bass + 0.01 * hiss, hiss]).astype(np.float32), 16000, model)
    left, right = (energy(part(out[i : i + 1], 9000, 20000)) for i in (0, 1))
    assert right - left == pytest.approx(40, abs=1)


def test_the_level_does_not_matter(model):
    low = voice()
    out, _ = run(low, 16000, model)
    softer, _ = run(low / 8, 16000, model)
    np.testing.assert_allclose(8 * softer, out, atol=2e-5)


def test_silence_and_a_full_band_pass_through(model):
    silence = np.zeros((2, 8000), np.float32)
    out, rate = run(silence, 16000, model)
    assert rate == 16000 and np.array_equal(out, silence)
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, 96000)).astype(np.float32)
    out, rate = run(noise, 48000, model)
    assert rate == 48000 and np.array_equal(out, noise)
    one, rate = run(np.full((1, 1), 0.5, np.float32), 8000, model)
    assert one.shape[1] in (1, 6)


def test_a_recording_with_more_than_48_khz_keeps_its_rate_and_what_it_has(model):
    low = resample(voice(2.0), 16000, 96000)
    out, rate = run(low, 96000, model)
    assert rate == 96000 and out.shape == low.shape
    assert np.abs(out - low).max() > 1e-6


def test_there_is_no_dark_line_between_a_telephone_call_and_its_made_band():
    """The noise of a telephone's codec hides where its band ends, so that half the rate was taken for the end."""
    speech, rate = soundfile.read(SPEECH, dtype="float32")
    file = io.BytesIO()
    soundfile.write(file, resample(speech[None], rate, 8000)[0], 8000, format="WAV", subtype="GSM610")
    file.seek(0)
    call = soundfile.read(file, dtype="float32")[0][None]
    out, _ = run(call, 8000, load_file(find("copy-up", "extend-bandwidth").path, torch.device("cpu")))
    at = lambda low: energy(part(out, low, low + 100))
    neighbors = np.mean([at(3500), at(3600), at(4100), at(4200)])
    assert min(at(3700), at(3800), at(3900), at(4000)) > neighbors - 5


def test_pauses_stay_pauses(model):
    low = voice(4.0)
    hiss = np.random.default_rng(2).standard_normal((1, 18750))
    low[:, 20000:40000] = 1e-4 * resample(hiss, 15000, 16000)  # ends below the crossover, which removes what is above
    out, _ = run(low, 16000, model)
    pause = slice(3 * 22000, 3 * 38000)
    added = energy(out[:, pause]) - energy(resample(low, 16000, 48000)[:, pause])
    assert 0 <= added < 1


def test_a_network_for_a_wider_band_refuses_a_narrow_one(model):
    from enhance_cli.errors import UsageError

    narrow = resample(voice(), 16000, 8000)
    if model.spec.network == "ap_bwe":
        with pytest.raises(UsageError, match="continues a band up to 8000 Hz"):
            run(narrow, 8000, model)
    else:
        assert energy(part(run(narrow, 8000, model)[0], 4500, 8000)) > -60
