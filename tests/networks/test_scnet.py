"""SCNet: names and numbers of the published programs, any length."""

import numpy as np
import pytest
import torch

from enhance_cli.networks.scnet import SCNet
from tests.golden_numbers import FOLDER, load, rel_l2, wave, weights

NAMES = {
    "audio_channels": "channels", "dims": "dims", "nfft": "n_fft", "hop_size": "hop", "band_SR": "shares",
    "band_stride": "strides", "band_kernel": "kernels", "conv_depths": "conv_depths", "compress": "compress",
    "conv_kernel": "conv_kernel", "num_dplayer": "pairs", "expand": "expand",
}  # fmt: skip
SMALL = {
    "stems": 2, "dims": (4, 8, 12, 16), "shares": (0.175, 0.392, 0.433), "strides": (1, 4, 16), "kernels": (3, 4, 16),
    "conv_depths": (2, 1, 1), "pairs": 2, "n_fft": 512, "hop": 128,
}  # fmt: skip


def filled(**args) -> SCNet:
    network = SCNet(**args)
    network.load_state_dict(weights(network.state_dict()))
    return network.eval().requires_grad_(False)


def stereo(item: str, samples: int, items: int = 1) -> torch.Tensor:
    left = wave(f"{item}_left", samples, 44100)
    right = left / 2 + wave(f"{item}_right", samples, 44100)
    return torch.from_numpy(np.stack([np.stack([left, right]), np.stack([right, -left])][:items]))


@pytest.mark.parametrize(
    "item",
    [
        "scnet_tiny_msst",
        "scnet_tiny_starrytong",
        "scnet_tiny_ihf",
        pytest.param("scnet_small_full", marks=pytest.mark.slow),
        pytest.param("scnet_small_full_msst", marks=pytest.mark.slow),
        pytest.param("scnet_xl_ihf_full", marks=pytest.mark.slow),
    ],
)
def test_numbers_are_those_of_the_published_programs(item):
    golden, about = load(item)
    args = {ours: about["args"][theirs] for theirs, ours in NAMES.items()} | {"stems": len(about["args"]["sources"])}
    network = filled(**args, standardize="starrytong" in about["source"]["code"])
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == about["parameters"]
    items, _, _, samples = about["out_shape"]
    found = network.extract_all(stereo(item, samples, items))
    if "out" in golden:
        assert rel_l2(found, golden["out"]) < about["tolerance"]
    else:
        assert rel_l2(found[..., ::43], golden["out_sub"]) < about["tolerance"]


def test_the_defaults_are_the_published_xl_ihf():
    with torch.device("meta"):
        ours = {name: list(tensor.shape) for name, tensor in SCNet().state_dict().items()}
    lines = (line.split(" ", 1) for line in (FOLDER / "scnet_xl_ihf_keys.txt").read_text().splitlines())
    assert ours == {name: [int(n) for n in shape.strip("[]").split(", ")] for name, shape in lines}


@pytest.mark.parametrize("samples", [1, 300, 511, 512, 640, 3000])
def test_any_length_comes_back_and_a_stem_alone_is_the_same(samples):
    network, mix = filled(**SMALL), stereo("scnet_length", samples, 2)
    together = network.extract_all(mix)
    assert together.shape == (2, 2, 2, samples)
    alone, features = network.extract(mix, torch.tensor([[0, 1], [1, 0]]))
    assert torch.allclose(alone, torch.stack([together[0, 1], together[1, 0]]), atol=1e-6) and features == ()
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-3


def test_a_standardized_network_hears_no_level():
    network, mix = filled(**SMALL, standardize=True), stereo("scnet_level", 2000)
    assert rel_l2(network.extract_all(mix / 10) * 10, network.extract_all(mix)) < 5e-3
    other = filled(**SMALL)
    assert rel_l2(other.extract_all(mix / 10) * 10, other.extract_all(mix)) > 0.01


def test_16_bits_are_near_32():
    network, mix = filled(**SMALL), stereo("scnet_level", 2000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network.extract_all(mix)
    assert half.dtype == torch.float32 and rel_l2(half, network.extract_all(mix)) < 0.05
