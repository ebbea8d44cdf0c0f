"""Mel-Band RoFormer: bands, names and numbers of the published programs, the rest of a mix, any length."""

import numpy as np
import pytest
import torch

from enhance_cli.networks import roformer
from enhance_cli.networks.mel_band_roformer import MelBandRoformer, mel_bands
from tests.golden_numbers import FOLDER, load, rel_l2, wave, weights

ROTARY = "rotary_embed.freqs"


def arguments(published: dict) -> dict:
    """Our arguments for those of the published program."""
    names = {
        "dim": "dim", "depth": "depth", "heads": "heads", "dim_head": "dim_head", "num_bands": "bands",
        "num_stems": "stems", "time_transformer_depth": "time_layers", "freq_transformer_depth": "band_layers",
        "linear_transformer_depth": "linear_layers", "mlp_expansion_factor": "mask_expansion", "stft_n_fft": "n_fft",
        "stft_hop_length": "hop", "sample_rate": "sample_rate", "skip_connection": "skip_connection",
        "zero_dc": "zero_dc",
    }  # fmt: skip
    found = {ours: published[theirs] for theirs, ours in names.items() if theirs in published}
    return found | {"mask_depth": published["mask_estimator_depth"] + 1}


def filled(args: dict, **more) -> MelBandRoformer:
    network = MelBandRoformer(**args | more)
    network.load_state_dict(weights(network.state_dict()))
    return network.eval().requires_grad_(False)


def stereo(item: str, samples: int, items: int = 1) -> torch.Tensor:
    left = wave(f"{item}_left", samples, 44100)
    right = left / 2 + wave(f"{item}_right", samples, 44100)
    return torch.from_numpy(np.stack([np.stack([left, right]), np.stack([right, -left])][:items]))


@pytest.mark.parametrize("item", ["melband_roformer_bands", "melband_roformer_bands_12"])
def test_every_band_holds_the_published_bins(item):
    golden, about = load(item)
    args = about["args"]
    runs = mel_bands(args["num_bands"], args["stft_n_fft"], args["sample_rate"])
    assert runs == list(zip(golden["first_bin"].tolist(), golden["bins"].tolist()))
    with torch.device("meta"):
        network = MelBandRoformer(bands=args["num_bands"], n_fft=args["stft_n_fft"], dim=8, dim_head=8, depth=1)
    assert network.rows.shape == golden["gather_stereo"].shape


def test_bands_that_leave_a_bin_out_or_hold_none_are_refused():
    with pytest.raises(ValueError, match="256 mel bands for windows of 512 samples one holds no bin"):
        mel_bands(256, 512, 44100)


@pytest.mark.parametrize(
    "item, samples",
    [
        ("melband_roformer_small", 4000),
        ("melband_roformer_small_zero_dc", 4000),
        ("melband_roformer_two_stems", 4101),
        ("melband_roformer_skip_linear", 4000),
        ("melband_roformer_60_bands_dim16", 8820),
        pytest.param("melband_roformer_full", 22050, marks=pytest.mark.slow),
    ],
)
def test_numbers_are_those_of_the_published_programs(item, samples):
    golden, about = load(item)
    network = filled(arguments(about["args"]))
    theirs = {name: shape for name, shape in about["first_keys"].items() if not name.endswith(ROTARY)}
    ours = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert theirs.items() <= ours.items()
    rotary = about["args"]["dim_head"]  # the programs count the frequencies of both directions
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == about["parameters"] - rotary
    found = network.extract_all(stereo(item, samples, about["out_shape"][0]))
    found = found.reshape(about["out_shape"][0], -1, 2, samples) if len(about["out_shape"]) == 4 else found[:, 0]
    found = found[..., : about["out_shape"][-1]]  # the program drops the last part of a hop
    if "out" in golden:
        assert rel_l2(found, golden["out"]) < about["tolerance"]
    else:
        stride = -(-samples // golden["out_sub"].shape[-1])
        assert rel_l2(found[..., ::stride], golden["out_sub"]) < about["tolerance"]


def test_the_defaults_are_the_published_network():
    with torch.device("meta"):
        ours = {name: list(tensor.shape) for name, tensor in MelBandRoformer().state_dict().items()}
    lines = (FOLDER / "melband_roformer_keys.txt").read_text().splitlines()
    theirs = {name: [int(n) for n in shape.strip("[]").split(", ")] for name, shape in (x.split(" ", 1) for x in lines)}
    assert ours == {name: shape for name, shape in theirs.items() if not name.endswith(ROTARY)}


SMALL = {"dim": 8, "depth": 1, "heads": 2, "dim_head": 8, "bands": 12, "n_fft": 512, "hop": 128, "mask_expansion": 1}


@pytest.mark.parametrize("samples", [1, 300, 4000, 4101])
def test_the_rest_is_the_mix_less_the_stems_at_any_length(samples):
    mix = stereo("rest", samples, 2)
    together = filled(SMALL, rest=True).extract_all(mix)
    assert together.shape == (2, 2, 2, samples)
    assert torch.allclose(together.sum(dim=1), mix, atol=1e-6) and together[:, 0].abs().max() > 1e-3
    alone, features = filled(SMALL, rest=True).extract(mix, torch.tensor([[0, 1], [1, 0]]))
    assert torch.allclose(alone, torch.stack([together[0, 1], together[1, 0]]), atol=1e-6) and features == ()


def test_pieces_that_fit_the_cache_give_the_numbers_of_the_whole(monkeypatch):
    network, mix = filled({"dim": 32, "depth": 2, "heads": 2, "dim_head": 16, "bands": 12}), stereo("pieces", 8820)
    found = []
    for tokens in (1, 40, 10**9):  # one sequence at a time, some, all of them
        monkeypatch.setattr(roformer, "TOKENS", tokens)
        found.append(network.extract_all(mix))
    assert rel_l2(found[0], found[2]) < 1e-5 and rel_l2(found[1], found[2]) < 1e-5


def test_16_bits_are_near_32():
    mix = stereo("rest", 4000)
    network = filled(SMALL)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network.extract_all(mix)
    assert half.dtype == torch.float32 and rel_l2(half, network.extract_all(mix)) < 0.03
