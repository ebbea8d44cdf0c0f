"""Checkpoints of AP-BWE and LavaSR: told by their contents, sizes and rates found, and what does not fit refused in a line."""

import json

import pytest
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.file import convert_file, detect
from enhance_cli.models.weights import load_network
from enhance_cli.networks.ap_bwe import APBWE
from enhance_cli.networks.lavasr import LavaSR
from tests.golden_numbers import rel_l2, wave, weights

AP_BWE = {"channels": 16, "hidden": 48, "layers": 2}
LAVASR = {"channels": 16, "hidden": 48, "layers": 2}


def state_of(network: torch.nn.Module) -> dict:
    return weights(network.state_dict())


def published_names(state: dict) -> dict:
    """Names as LavaSR's file has them."""
    named = {"feature_extractor.mel_spec.mel_scale.fb": state["mel"].abs()}
    named |= {("head." if key.startswith("out.") else "backbone.") + key: t for key, t in state.items() if key != "mel"}
    return named | {
        "feature_extractor.mel_spec.spectrogram.window": torch.ones(2048),
        "head.istft.window": torch.ones(2048),
    }


@pytest.mark.parametrize("name, low", [("g_16kto48k", 16000), ("g_8kto48k", 8000)])
def test_ap_bwe_has_its_rates_in_the_name(tmp_path, name, low):
    network = APBWE(**AP_BWE, low_rate=low).eval()
    network.load_state_dict(state_of(network))
    torch.save({"generator": network.state_dict()}, tmp_path / name)
    assert detect(tmp_path / name) == "ap-bwe"
    spec = convert_file(tmp_path / name, "wide", tmp_path / "wide.safetensors")
    assert (spec.task, spec.sample_rate, spec.network_args["low_rate"]) == ("extend-bandwidth", 48000, low)
    found = load_network(tmp_path / "wide.safetensors")[1]
    x = torch.from_numpy(wave("convert", 4800, 48000))[None]
    with torch.inference_mode():
        assert rel_l2(found(x), network(x)) < 1e-6


def test_ap_bwe_has_its_rates_in_the_settings_beside_it(tmp_path):
    network = APBWE(**AP_BWE)
    torch.save({"generator": network.state_dict()}, tmp_path / "generator.pt")
    with pytest.raises(ModelError, match="nothing tells between which rates: name it as published"):
        convert_file(tmp_path / "generator.pt", "wide", tmp_path / "wide.safetensors")
    for high in (16000, 48000):
        (tmp_path / "config.json").write_text(json.dumps({"lr_sampling_rate": 8000, "hr_sampling_rate": high}))
        if high == 16000:
            with pytest.raises(ModelError, match="makes 16000 Hz of 8000 Hz"):
                convert_file(tmp_path / "generator.pt", "wide", tmp_path / "wide.safetensors")
    assert (
        convert_file(tmp_path / "generator.pt", "wide", tmp_path / "wide.safetensors").network_args["low_rate"] == 8000
    )


def test_lavasr_becomes_the_network_it_was(tmp_path):
    network = LavaSR(**LAVASR).eval()
    state = state_of(network)
    torch.save(published_names(state), tmp_path / "pytorch_model.bin")
    assert detect(tmp_path / "pytorch_model.bin") == "lavasr"
    spec = convert_file(tmp_path / "pytorch_model.bin", "wide", tmp_path / "wide.safetensors")
    assert {key: spec.network_args[key] for key in ("n_fft", "hop", "layers")} == {
        "n_fft": 2048,
        "hop": 512,
        "layers": 2,
    }
    found = load_network(tmp_path / "wide.safetensors")[1]
    network.load_state_dict(state | {"mel": state["mel"].abs()})
    x = torch.from_numpy(wave("convert", 5120, 48000))[None]
    with torch.inference_mode():
        assert rel_l2(found(x), network(x)) < 1e-6


def test_weights_that_do_not_fit_are_refused(tmp_path):
    named = published_names(state_of(LavaSR(**LAVASR)))
    del named["backbone.convnext.1.gamma"]
    torch.save(named, tmp_path / "a.bin")
    with pytest.raises(ModelError, match=r"not the weights of lavasr: convnext.1.gamma \[16\] is missing"):
        convert_file(tmp_path / "a.bin", "wide", tmp_path / "wide.safetensors")
