"""BS-RoFormer: names, numbers and size of the public package, any length, both channels heard together."""

import numpy as np
import pytest
import torch

from enhance_cli.networks.bs_roformer import BSRoformer
from tests.golden_numbers import load, rel_l2, wave, weights

SMALL = {
    "dim": 16, "depth": 2, "heads": 2, "dim_head": 8, "bands": (2, 3, 4, 8, 16), "stems": 2, "layers": 2,
    "mask_expansion": 4, "n_fft": 64, "hop": 14,
}  # fmt: skip


def filled(**more) -> BSRoformer:
    network = BSRoformer(**SMALL | more)
    network.load_state_dict(weights(network.state_dict()))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def mix():
    left = wave("bsr_left", 1680, 44100)
    right = left / 2 + wave("bsr_right", 1680, 44100)
    return torch.from_numpy(np.stack([np.stack([left, right]), np.stack([right, -left])]))


def test_names_and_numbers_are_those_of_the_package(mix):
    golden, about = load("bs_roformer")
    network = filled()
    theirs = {name: shape for name, shape in about["keys"].items() if not name.endswith("rotary_embed.freqs")}
    assert {name: list(tensor.shape) for name, tensor in network.state_dict().items()} == theirs
    assert rel_l2(network.extract_all(mix), golden["out"]) < about["tolerance"]["rel_l2"]


def test_the_defaults_are_the_published_network():
    with torch.device("meta"):
        network = BSRoformer()
    count = lambda module: sum(parameter.numel() for parameter in module.parameters())
    rotary = 2 * 64 // 2  # the package counts the frequencies of both directions
    assert count(network) + rotary == 131_704_164 and count(network.mask_estimators) == 98_551_840
    state = network.state_dict()
    assert list(state["layers.7.1.layers.0.0.to_qkv.weight"].shape) == [1536, 384]
    assert list(state["mask_estimators.3.to_freqs.61.0.2.weight"].shape) == [2 * 4 * 129, 768]


def test_a_stem_alone_is_the_same_as_with_the_others(mix):
    network = filled()
    together = network.extract_all(mix)
    for labels in ([[1, 0], [1, 0]], [[0, 1], [1, 0]]):
        alone, features = network.extract(mix, torch.tensor(labels))
        for item, label in enumerate(labels):
            assert torch.allclose(alone[item], together[item, label.index(1)], atol=1e-6)
    assert features == () and (together[:, 0] - together[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize("samples", [1, 40, 64, 1000, 1401])
@pytest.mark.parametrize("zero_dc", [False, True])
def test_every_length_comes_back_whole_even_to_the_last_sample(mix, samples, zero_dc):
    """With masks of 1 what comes out is what went in; of a constant, a Hann window puts two thirds into the lowest bin."""
    network = filled(zero_dc=zero_dc)
    for mlp in (mlp for estimator in network.mask_estimators for mlp in estimator.to_freqs):
        layer = mlp[0][-1]
        values, gates = layer.bias.chunk(2)
        layer.weight.zero_(), gates.fill_(100)
        values[0::2], values[1::2] = 1, 0
    signal = mix[..., :samples]
    out = network.extract_all(0 * signal + 0.1 if zero_dc else signal)
    assert out.shape == (2, 2, 2, samples)
    if not zero_dc:
        assert torch.allclose(out, signal[:, None].expand_as(out), atol=1e-5)
    elif samples > 100:
        assert out[..., 50:-50].mean() == pytest.approx(0.1 / 3, rel=0.01)


def test_both_channels_are_heard_together_and_silence_stays_silent(mix):
    network = filled()
    usual, other = mix[:1].clone(), mix[:1].clone()
    other[:, 1] *= -1
    left = [network.extract_all(m)[:, :, 0] for m in (usual, other)]
    assert (left[0] - left[1]).abs().max() > 1e-3
    assert not network.extract_all(0 * mix).any()


def test_16_bits_are_near_32(mix):
    network = filled()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network.extract_all(mix)
    assert half.dtype == torch.float32 and rel_l2(half, network.extract_all(mix)) < 0.03
