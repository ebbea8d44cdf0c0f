"""Checkpoints of StoRM and SpeechBrain: two networks in one file, and a plain dictionary under any prefix."""

import pytest
import torch
from safetensors.torch import load_file

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import speechbrain, storm
from enhance_cli.models.convert.architecture import VARIANTS
from enhance_cli.models.convert.file import convert_file, detect
from enhance_cli.networks import NETWORKS
from tests.models.convert.foreign import TINY, lightning, named


def storm_file(path, settings=None, salt="ema.", inputs=6):
    parts = [
        named(s, "denoiser_net.", **TINY, discriminative=True) | named(s, "score_net.", **TINY, input_channels=inputs)
        for s in ("raw.", salt)
    ]
    return lightning(path, *parts, TINY | {"mode": "regen-joint-training"} | (settings or {}))


@pytest.mark.parametrize(("condition", "inputs"), [("both", 6), ("post_denoiser", 4), ("noisy", 4)])
def test_storm_keeps_both_networks_and_runs_them(condition, inputs, tmp_path):
    source = storm_file(tmp_path / "x.ckpt", {"condition": condition}, inputs=inputs)
    assert detect(source) == "storm"
    spec = convert_file(source, "x", tmp_path / "x.safetensors")
    weights = load_file(tmp_path / "x.safetensors")
    for prefix, args in (("denoiser_net.", {"discriminative": True}), ("score_net.", {"input_channels": inputs})):
        expected = named("ema.", prefix, **TINY, **args)
        assert all(torch.equal(weights[key], tensor) for key, tensor in expected.items())
    assert spec.frontend["scale"] == 0.33 and spec.process == "ouve"
    for part in ("denoiser", "score"):
        assert spec.network_args[part]["centered"] is False
    network = NETWORKS[spec.network](**spec.network_args).eval()
    network.load_state_dict(weights)
    x, noisy = torch.randn(2, 1, 2, 8, 16)
    with torch.inference_mode():
        first = network.initial_estimate(noisy)
        out = network(x, first, torch.tensor([0.5]), noisy)
        assert out.shape == first.shape == noisy.shape
        assert torch.equal(network(x, first, torch.tensor([0.5]), 0 * noisy), out) == (condition == "post_denoiser")
        assert torch.equal(network(x, 0 * first, torch.tensor([0.5]), noisy), out) == (condition == "noisy")


@pytest.mark.slow
def test_storm_says_which_network_differs_or_is_missing(tmp_path):
    source = storm_file(tmp_path / "x.ckpt", {"condition": "both"}, inputs=4)
    with pytest.raises(
        ModelError, match=r"not the weights of score_net storm ncsnpp: output_layer.weight is \[2, 4, 1, 1\], not"
    ):
        storm.convert(source)
    only = named("ema.", "score_net.", **TINY)
    with pytest.raises(ModelError, match="no predictive network"):
        storm.convert(lightning(tmp_path / "x.ckpt", only, only, TINY))
    centered = storm.convert(storm_file(tmp_path / "x.ckpt", {"centered": True, "spec_factor": 0.15}))[1]
    assert centered.network_args["score"]["centered"] is True and centered.frontend["scale"] == 0.15


@pytest.mark.parametrize("prefix", ["", "dnn.", "module.score_model.dnn."])
def test_speechbrain_weights_lose_whatever_prefix_they_share(prefix, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "ncsnpp_v2", TINY)
    weights = named("ema.", prefix, **TINY)
    torch.save(weights, tmp_path / "score_model_ema.ckpt")
    assert detect(tmp_path / "score_model_ema.ckpt") == "speechbrain"
    found, spec = speechbrain.convert(tmp_path / "score_model_ema.ckpt")
    assert all(torch.equal(found[key.removeprefix(prefix)], tensor) for key, tensor in weights.items())
    assert len(found) == len(weights)
    assert spec.prediction == {"kind": "score", "output_scaling": "1/t"} and spec.process == "ouve"


def test_the_full_size_network_is_recognised_by_its_shapes(tmp_path):
    with torch.device("meta"):
        state = NETWORKS["ncsnpp"]().state_dict()
    assert len(state) == 647
    torch.save({"score_model." + k: torch.zeros(1).expand(v.shape) for k, v in state.items()}, tmp_path / "x.ckpt")
    weights, spec = speechbrain.convert(tmp_path / "x.ckpt")
    assert sum(tensor.numel() for tensor in weights.values()) == 65_590_822 and spec.network_args == {}


@pytest.mark.parametrize(
    "content", [{}, [1, 2], {"a": 1}, {"state_dict": {"encoder.weight": torch.zeros(2)}}], ids=repr
)
def test_what_no_converter_knows_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "x.ckpt")
    for attempt in (detect, speechbrain.convert, storm.convert):
        with pytest.raises(ModelError, match="x.ckpt"):
            attempt(tmp_path / "x.ckpt")
    torch.save({"encoder.weight": torch.zeros(2)}, tmp_path / "x.ckpt")
    with pytest.raises(ModelError, match="not the weights of ncsnpp_v2"):
        speechbrain.convert(tmp_path / "x.ckpt")
