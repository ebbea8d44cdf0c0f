"""The speaker networks and the repair network against the numbers of the programs they follow (tests/golden)."""

import sys

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.networks import NETWORKS, mel
from tests import golden_numbers as golden
from tests.golden_numbers import load, rel_l2, rnormal, wave

SPEECH = golden.FOLDER.parent / "audio_files" / "noisy_speech.flac"


@pytest.fixture(autouse=True)
def no_gradient():
    with torch.inference_mode():
        yield


def with_weights(name: str, salt: str = "", **args) -> torch.nn.Module:
    """A network with the weights of the golden formula."""
    network = NETWORKS[name](**args).eval()
    network.load_state_dict(golden.weights(network.state_dict(), salt, recurrent=False))
    return network


def size(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("dimension", [192, 256, 512])
def test_rdm_mlp(dimension):
    expected, about = load(f"seed_rdm_mlp_D{dimension}")
    network = with_weights("rdm_mlp", dimension=dimension)
    assert size(network) == about["params"] and len(network.state_dict()) == about["tensors"]
    x = torch.from_numpy(rnormal(f"seed_e_{dimension}", (4, dimension), 3.0))
    out = network(x, None, torch.tensor(about["t"], dtype=torch.float32))
    assert rel_l2(out.numpy(), expected["net_out"]) < about["tolerance"]["rel_l2"]
    alone = network(x[2:3], None, torch.tensor([50.0]))
    assert rel_l2(alone.numpy(), expected["net_out"][2:3]) < about["tolerance"]["rel_l2"]


def test_a_fresh_rdm_mlp_gives_nothing():
    network = NETWORKS["rdm_mlp"](dimension=32)
    assert not network(torch.randn(3, 32), None, torch.tensor([7.0])).any()


def test_speechbrain_ecapa():
    network = with_weights("ecapa")
    expected, about = load("speechbrain_ecapa")
    assert size(network) == about["params"] and len(network.state_dict()) == about["tensors"]
    features = torch.from_numpy(rnormal("sb_fbank", (2, 120, 80), 2.0))
    found = network.from_features(features)
    assert rel_l2(found.numpy(), expected["emb"][:, 0]) < about["tolerance"]["rel_l2"]
    expected, about = load("speechbrain_ecapa_wave")
    waves = torch.from_numpy(wave("sb_wave", 32000, 16000))[None]
    for item, array in (
        ("fbank_sub", network.log_mel(waves)[0, ::4, ::4]),
        ("norm_sub", network.features(waves)[0, ::4, ::4]),
        ("emb", network(waves)[None]),
    ):
        assert rel_l2(array.numpy(), expected[item]) < about["tolerance"]["rel_l2"], item


@pytest.mark.parametrize("item, name", [("seed_ecapa_tdnn", "ecapa_seed"), ("seed_resnetse34v2", "resnet_se34")])
def test_networks_of_seed(item, name):
    expected, about = load(item)
    network = with_weights(name)
    waves = torch.from_numpy(wave(f"spk_{item}", 32000, 16000))[None]
    raw = network.mfcc(waves) if name == "ecapa_seed" else network.mel(waves)
    for stored, array in (
        ("preemph_sub", mel.pre_emphasis(waves)[0, ::101]),
        ("raw_feat_sub", raw[0, ::8, ::8]),
        ("feat_sub", network.features(waves)[0, ::4, ::4]),
        ("emb", network(waves)),
    ):
        assert rel_l2(array.numpy(), expected[stored]) < about["tolerance"]["rel_l2"], stored
    unused = {"seed_ecapa_tdnn": 2 * 256, "seed_resnetse34v2": 0}[item]  # a normalization that is never applied
    assert size(network) == about["params"] - unused


def test_ge2e_is_what_the_package_computes():
    expected, about = load("resemblyzer_ge2e")
    tolerance = about["tolerance"]["rel_l2"]
    network = with_weights("ge2e", salt="ge2e.")
    assert size(network) == about["params"]
    tone = torch.from_numpy(wave("ge2e_wave", 25600, 16000))[None]
    assert rel_l2(network.features(tone)[0, ::4].numpy(), expected["mel_sub"][:40]) < tolerance
    assert rel_l2(network(tone)[0].numpy(), expected["formula_wave"]) < tolerance
    speech = torch.from_numpy(soundfile.read(SPEECH, dtype="float32")[0][16000:41600])[None]
    assert rel_l2(network(speech)[0].numpy(), expected["formula_speech"]) < tolerance


def test_kaldi_features_are_those_of_torchaudio():
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    waves = torch.from_numpy(np.stack([wave("kaldi", 16000, 16000), 1e-4 * wave("quiet", 16000, 16000)]))
    found = NETWORKS["wespeaker_resnet34"](channels=2).fbank(waves)
    for row, one in zip(found, waves, strict=True):
        settings = {"num_mel_bins": 80, "sample_frequency": 16000, "window_type": "hamming", "dither": 0.0}
        expected = kaldi.fbank(32768 * one[None], **settings)
        assert row.shape == expected.shape == (98, 80)
        assert rel_l2(row.numpy(), expected.numpy()) < 1e-5


def test_wespeaker_computes_what_its_package_does():
    expected, about = load("wespeaker_resnet34")
    network = with_weights("wespeaker_resnet34")
    sound = torch.from_numpy(wave("wespeaker_wave", 24000, 16000))[None]
    pairs = {
        "emb": network.from_features(torch.from_numpy(rnormal("wespeaker_feats", (2, 150, 80), 2.0))),
        "fbank": network.fbank(sound)[0, ::7],
        "emb_wave": network(sound),
    }
    for name, found in pairs.items():
        assert found.shape == expected[name].shape
        assert rel_l2(found.numpy(), expected[name]) < about["tolerance"]["rel_l2"]


def test_wespeaker_has_the_published_size_and_hears_no_difference_in_level():
    network = with_weights("wespeaker_resnet34")
    assert size(network) == 6_634_336  # 26.5 MB, as the published ONNX file
    waves = torch.from_numpy(wave("level", 16000, 16000))[None]
    loud, soft = network(waves), network(0.1 * waves)
    assert loud.shape == (1, 256)
    assert rel_l2(soft.numpy(), loud.numpy()) < 1e-3


@pytest.mark.parametrize("name", ["ge2e", "ecapa_seed", "resnet_se34", "wespeaker_resnet34"])
def test_rows_do_not_depend_on_each_other(name):
    small = {"ecapa_seed": {"channels": 32, "pooled": 16}, "resnet_se34": {"channels": (8, 8, 8, 8)}}
    small |= {"ge2e": {"hidden": 16}, "wespeaker_resnet34": {"channels": 4}}
    network = with_weights(name, **small[name])
    waves = torch.from_numpy(np.stack([wave(str(i), 9000, 16000) for i in range(3)]))
    assert torch.allclose(network(waves)[1:2], network(waves[1:2]), atol=1e-5)


def test_without_a_torchaudio_that_fits_torch_the_error_says_so(monkeypatch):
    from enhance_cli.errors import ModelError

    monkeypatch.setitem(sys.modules, "torchaudio", None)  # importing it fails, as beside another torch
    with pytest.raises(ModelError, match="torchaudio cannot be loaded .*: install the release of your torch"):
        NETWORKS["ge2e"]()
