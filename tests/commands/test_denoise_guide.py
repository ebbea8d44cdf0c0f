"""`enhance denoise --guide`: heard, recorded, and refused with one line where it makes no sense."""

import json

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.models.spec import Spec
from enhance_cli.models.weights import save_model
from enhance_cli.networks import NETWORKS

ARGS = {"channels": [4, 6], "blocks": 1, "dilations": [1], "temporal": 8, "temporal_dilations": [1], "embedding": 8}


@pytest.fixture
def guided(tmp_path):
    torch.manual_seed(0)
    args = ARGS | {"guide": "bottleneck"}
    network = NETWORKS["bridge_unet"](**args)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    spec = Spec("guided", "bridge_unet", "brownian_bridge", network_args=args, guides=("vad", "panns"))
    save_model(tmp_path / "guided.safetensors", spec, network)
    tone = 0.1 * np.sin(2 * np.pi * 150 * np.arange(32000) / 16000) * (np.arange(32000) > 16000)
    soundfile.write(tmp_path / "in.wav", tone + 0.01 * np.random.default_rng(0).standard_normal(32000), 16000)
    return tmp_path / "guided.safetensors"


def test_it_is_heard_and_recorded(enhance, guided, tmp_path):
    results = {}
    for flags, name in (([], "vad"), (["--guide", "vad"], "vad"), (["--guide", "none"], "none")):
        run = enhance("denoise", "in.wav", "-m", guided, "-o", "out.wav", "--existing", "overwrite", "--json", *flags)
        assert run.code == 0, run.stderr
        assert json.loads(run.lines[0])["guide"] == name
        results.setdefault(name, []).append(soundfile.read(tmp_path / "out.wav")[0])
    assert np.array_equal(*results["vad"]) and np.abs(results["vad"][0] - results["none"][0]).max() > 1e-4


def test_panns_wants_its_weights(enhance, guided, tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCE_HOME", str(tmp_path / "home"))
    run = enhance("denoise", "in.wav", "-m", guided, "--guide", "panns")
    assert run.code == 3 and run.errors == ["error: panns: not here yet: run `enhance models pull panns`"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["guided.safetensors", "in.wav"]


def test_panns_is_heard_once_its_weights_are_here(enhance, guided, tmp_path, monkeypatch, small_cnn14):
    """A network 30 times as thin lies where `models pull` would have put the published one."""
    monkeypatch.setenv("ENHANCE_HOME", str(tmp_path / "home"))
    args = {"classes": 40, "width": 2}
    spec = Spec("panns", "cnn14_decision_level", "", "guide", args, sample_rate=32000, frontend=None, samplers=())
    save_model(tmp_path / "home" / "models" / "panns.safetensors", spec, small_cnn14)
    results = []
    for guide in ("panns", "vad"):
        run = enhance("denoise", "in.wav", "-m", guided, "--guide", guide, "-o", f"{guide}.wav", "-q")
        assert run.code == 0, run.stderr
        results.append(soundfile.read(tmp_path / f"{guide}.wav")[0])
    assert np.isfinite(results[0]).all() and np.abs(results[0] - results[1]).max() > 1e-4


@pytest.mark.parametrize(
    ("model", "guide", "message"),
    [
        (
            "denoise-s",
            "vad",
            "--guide vad: denoise-s was not trained with a guide: leave it out, or use a model that was",
        ),
        ("guided.safetensors", "cat", "--guide cat: guided was not trained with it: choose from vad, panns, none"),
    ],
)
def test_a_guide_the_model_does_not_know_is_refused(enhance, guided, model, guide, message):
    run = enhance("denoise", "in.wav", "-m", model, "--guide", guide)
    assert run.code == 2 and len(run.errors) == 1 and message in run.errors[0] and not run.stdout
