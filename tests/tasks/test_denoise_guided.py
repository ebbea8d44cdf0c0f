"""Denoising with a guide: it is heard, it may be left away, and windows still add up to the whole file."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from enhance_cli.models import guide as guides
from enhance_cli.models.load import Model
from enhance_cli.models.spec import Spec
from enhance_cli.networks import NETWORKS
from enhance_cli.tasks.denoise import DenoiseOptions, Denoiser
from tests.tasks.whole import denoise as run

pytestmark = pytest.mark.slow

BRIDGE = {"channels": [4, 6], "blocks": 1, "dilations": [1], "temporal": 8, "temporal_dilations": [1], "embedding": 8}
NCSNPP = {"nf": 8, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [], "image_size": 256}
SCORE = {
    "process": "ouve",
    "samplers": ("predictor_corrector",),
    "prediction": {"kind": "score", "output_scaling": "1/sigma"},
    "frontend": {"n_fft": 510, "hop": 128, "window": "hann"},
    "frames_multiple": 16,
}


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for name, parameter in module.named_parameters():
        if name.startswith("guides.") or parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.1)
    return module.eval().requires_grad_(False)


def model(network: str, args: dict, **spec) -> Model:
    kind = Spec("tiny", network, **{"process": "brownian_bridge"} | spec, network_args=args, guides=("vad", "panns"))
    return Model(kind, shaken(NETWORKS[network](**args, guide="bottleneck")), torch.device("cpu"))


@pytest.fixture(scope="module")
def bridge() -> Model:
    return model("bridge_unet", BRIDGE)


@pytest.fixture(autouse=True)
def small_panns(monkeypatch, small_cnn14):
    monkeypatch.setitem(guides.GUIDES, "panns", lambda rate, hop, device: guides.from_network(small_cnn14, rate, hop))


def speech(seconds: float, rate: int = 16000, channels: int = 1) -> np.ndarray:
    random = np.random.default_rng(0)
    t = np.arange(round(seconds * rate)) / rate
    loud = np.clip(np.sin(2 * np.pi * 0.3 * t), 0, None)
    voice = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 12))
    sides = [0.1 * (c + 1) * loud * voice + 0.02 * random.standard_normal(t.size) for c in range(channels)]
    return np.stack(sides).astype(np.float32)


def largest(difference: np.ndarray) -> float:
    return float(np.abs(difference).max())


@pytest.mark.parametrize("guide, rate, channels", [("vad", 44100, 2), ("panns", 16000, 1)])
def test_windows_with_a_guide_equal_the_whole_file(bridge, guide, rate, channels):
    audio, options = speech(11.3, rate, channels), DenoiseOptions(steps=2, guide=guide, batch_size=2)
    whole = run(audio, rate, bridge, replace(options, window_seconds=60.0))
    options = replace(options, window_seconds=2.0)
    assert Denoiser(bridge, options).band_changes.plan.margin < 5 * 16000
    assert largest(whole - audio) > 0.01
    assert largest(run(audio, rate, bridge, options) - whole) < 2e-5


def test_the_guide_is_heard_and_may_be_left_away(bridge):
    audio = speech(3.0)
    vad, panns, none = (run(audio, 16000, bridge, DenoiseOptions(guide=g)) for g in ("vad", "panns", "none"))
    np.testing.assert_array_equal(run(audio, 16000, bridge), vad)  # the first is the default
    assert min(largest(vad - none), largest(panns - none), largest(vad - panns)) > 1e-4


def test_without_a_guide_windows_are_cut_as_ever(bridge, tiny_model):
    from enhance_cli.models.load import load_file

    tiny = load_file(tiny_model, torch.device("cpu"))
    plan = Denoiser(tiny).band_changes.plan
    assert plan.core == 5 * 16000 // 256 * 256 and plan.margin == (tiny.network.receptive_field + 2) * 256
    guided = Denoiser(bridge, DenoiseOptions(guide="none"))
    assert guided.band_changes.windowed.guide is None and guided.band_changes.plan.core == plan.core


def test_a_network_without_end_is_guided_too_and_hears_the_same_guide_in_every_window(monkeypatch):
    """Its windows fade into each other; frames that fill up the last one have no guide."""
    score, heard = model("ncsnpp", NCSNPP, **SCORE, window_seconds=2.0), []
    inner = score.network.forward
    monkeypatch.setattr(
        score.network, "forward", lambda *a, guide=None: (heard.append(guide), inner(*a, guide=guide))[1]
    )
    audio = speech(4.3)
    options = DenoiseOptions(1, "predictor_corrector", sampler_args={"corrector": "none"}, guide="vad")
    result = run(audio, 16000, score, options)
    assert result.shape == audio.shape and np.isfinite(result).all()
    whole = heard_by_a_longer_window(score, audio, options, heard)
    denoiser = Denoiser(score, options)
    plan = denoiser.band_changes.plan
    assert plan.margin >= plan.fade + denoiser.band_changes.windowed.guide.margin
    for number, guide in enumerate(heard):
        first = max(0, number * plan.core - plan.margin) // 128
        begin, end = (
            (number * plan.core - plan.fade) // 128,
            ((number + 1) * plan.core + plan.fade) // 128,
        )
        begin, end = max(begin, 0), min(end, 4 * 125)
        np.testing.assert_allclose(guide[0, 0, begin - first : end - first], whole[begin:end], atol=1e-4)


def heard_by_a_longer_window(score: Model, audio: np.ndarray, options: DenoiseOptions, heard: list) -> np.ndarray:
    """The guide of the whole file in one window; `heard` keeps those of the windows before."""
    short = list(heard)
    run(audio, 16000, score, replace(options, window_seconds=10.0))
    whole = heard[-1][0, 0].numpy()
    heard[:] = short
    assert np.isnan(whole).any() and whole.size % 16 == 0
    return whole
