"""NCSN++: the outputs, layer names and sizes of the public implementations, and what any network has to keep."""

import zlib

import pytest
import torch

from enhance_cli.networks import NETWORKS
from enhance_cli.networks.ncsnpp import Downsample, NCSNpp, upsample
from tests.golden_numbers import cnormal, load, parts, rel_l2, weights, whole

pytestmark = pytest.mark.slow

MEDIUM = {"ch_mult": (1, 2, 2, 2), "num_res_blocks": 1, "attn_resolutions": (0,)}
NO_PYRAMIDS = {"attn_resolutions": (), "progressive": "none", "progressive_input": "none"}
STORM = MEDIUM | {"centered": False}
TINY = MEDIUM | {"nf": 16, "ch_mult": (1, 2), "image_size": 32}
GOLDEN = {
    "sgmse_ncsnpp": {"divide": "before"},
    "sgmse_ncsnpp_48k": NO_PYRAMIDS | {"divide": "after", "image_size": 768},
    "sgmse_ncsnpp_v2": {},
    "sgmse_ncsnpp_v2_small": MEDIUM | {"nf": 32},
    "sgmse_ncsnpp_small_uncentered": STORM | {"nf": 32, "attn_resolutions": (64,), "divide": "before"},
    "storm_ncsnpp_score4": STORM | {"divide": "before"},
    "storm_ncsnpp_score6": STORM | {"divide": "before", "input_channels": 6},
    "storm_ncsnpp_discriminative": STORM | {"discriminative": True},
}
# Tensors, weights and the CRC-32 of the lines "name [shape]" of the public implementations' state dicts.
KEYS = [
    ({}, 647, 65_590_822, 1850518762),
    (NO_PYRAMIDS, 581, 64_739_854, 264730410),
    (MEDIUM, 271, 27_756_314, 2758775407),
    (MEDIUM | {"nf": 96, "ch_mult": (1, 2, 2, 1)}, 273, 11_675_546, 302842789),
    (MEDIUM | {"nf": 96, "ch_mult": (1, 1, 1, 1)}, 269, 5_216_762, 1635053727),
    ({"nf": 96}, 647, 36_926_630, None),
    ({"nf": 64, "ch_mult": (1, 1, 2, 2, 2, 2, 2), "attn_resolutions": (0,)}, 617, 16_241_190, None),
]


def random_network(**args) -> NCSNpp:
    network = NCSNpp(**args)
    network.load_state_dict(weights(network.state_dict()))
    return network.eval()


def spectrum(frames: int, bins: int = 32, batch: int = 1, seed: int = 0) -> torch.Tensor:
    return 0.5 * torch.randn(batch, 2, frames, bins, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def tiny():
    return random_network(**TINY)


@pytest.mark.parametrize("item", GOLDEN)
def test_outputs_of_the_public_implementations(item):
    arrays, about = load(item)
    network = random_network(**GOLDEN[item])
    names = list(network.state_dict())
    assert names[: len(about["first_keys"])] == about["first_keys"]
    assert len(names) == about["tensors"] and sum(p.numel() for p in network.parameters()) == about["params"]

    inputs = ["x0", "x1", "x2"] if item.startswith("storm") else ["x", "y"]
    x, y, *condition = (parts(cnormal(f"{item}_{i}", (1, 1, about.get("F", 256), 64), 0.5)) for i in inputs)
    times = about["times"][: 1 if about["params"] > 2e7 else None]  # a call of the large ones takes seconds
    for i, time in enumerate(times):
        with torch.inference_mode():
            if network.discriminative:
                output = whole(network(y, x))
            elif "score6" in item:
                output = whole(network(x, y, torch.tensor([time]), *condition))
            else:
                output = whole(network(x, y, torch.tensor([time])))
        tolerance = about["tolerance"]["rel_l2"]
        assert rel_l2(output[..., ::4, ::4], arrays[f"out_{i}"]) < tolerance
        assert rel_l2(output[0, 0, 0], arrays[f"row0_{i}"]) < tolerance
        assert rel_l2(output[0, 0, ::2, -1], arrays[f"lastcol_{i}"]) < tolerance


@pytest.mark.parametrize("args, tensors, size, crc", KEYS)
def test_names_shapes_and_order_of_the_weights(args, tensors, size, crc):
    with torch.device("meta"):
        network = NETWORKS["ncsnpp"](**args)
    state = network.state_dict()
    assert len(state) == tensors and sum(p.numel() for p in network.parameters()) == size
    assert list(state) == [name for name, _ in network.named_parameters()], "moving averages are saved in this order"
    assert crc in (None, zlib.crc32("\n".join(f"{k} {list(v.shape)}" for k, v in state.items()).encode()))


def test_filters_are_1_3_3_1_with_zeros_outside():
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps).expand(3, 1, 4, 4)
    for height, width in ((8, 6), (2, 2), (1, 1)):
        picture = torch.randn(2, 3, height, width)
        doubled = torch.nn.functional.conv_transpose2d(picture, kernel / 16, stride=2, padding=1, groups=3)
        torch.testing.assert_close(upsample(picture), doubled)
        halved = torch.nn.functional.conv2d(doubled, kernel / 64, stride=2, padding=1, groups=3)
        torch.testing.assert_close(Downsample(3)(doubled), halved)


def test_a_new_network_is_silent_and_learns_at_once():
    network = NCSNpp(**TINY)
    torch.nn.init.zeros_(network.output_layer.bias)
    output = network(spectrum(4, seed=1), spectrum(4, seed=2), torch.tensor([0.5]))
    assert not output.any()
    (output - 1).square().sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in network.all_modules.parameters())


@pytest.mark.parametrize("args", [TINY, TINY | NO_PYRAMIDS | {"divide": "after"}, TINY | {"discriminative": True}])
def test_gradients_reach_every_trained_weight(args):
    network = random_network(**args).train()
    x, y = spectrum(4, seed=1), spectrum(4, seed=2)
    network(x, y, torch.tensor([0.5])).square().sum().backward()
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    reached = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().max() > 1e-6}
    same_for_all_keys = {name for name in trained if name.endswith("NIN_1.b")}  # which a softmax does not notice
    assert reached | same_for_all_keys == trained
    assert "all_modules.0.W" not in trained and "all_modules.0.W" in network.state_dict()
    assert network.discriminative or any("Dense_0" in name for name in trained)


@pytest.mark.parametrize("inference", [True, False])
def test_items_of_a_batch_do_not_see_each_other_and_everything_matters(tiny, inference):
    x, y, t = spectrum(6, batch=3, seed=1), spectrum(6, batch=3, seed=2), torch.tensor([0.03, 0.6, 1.0])
    kept = x.clone(), y.clone()
    with torch.inference_mode(inference):
        together = tiny(x, y, t)
        for i in range(3):
            alone = tiny(x[i : i + 1], y[i : i + 1], t[i : i + 1])
            torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)
        for changed in (tiny(-x, y, t), tiny(x, -y, t), tiny(x, y, t.flip(0))):
            assert (changed - together)[0].abs().max() > 1e-3
    assert torch.equal(x, kept[0]) and torch.equal(y, kept[1]), "inputs are left alone"


def test_bf16_stays_close_to_fp32():
    network = random_network(**MEDIUM | {"nf": 32})
    x, y, t = spectrum(16, 256, seed=1), spectrum(16, 256, seed=2), torch.tensor([0.03])
    with torch.inference_mode():
        exact = network(x, y, t)
        with torch.autocast("cpu", torch.bfloat16):
            quick = network(x, y, t)
    assert quick.dtype == torch.float32 and rel_l2(quick, exact) < 0.05


def test_frames_and_times_at_the_edge(tiny):
    assert NCSNpp.receptive_field is None and tiny.frames_multiple == 2
    with torch.device("meta"):
        assert NCSNpp().frames_multiple == 64
    with torch.inference_mode():
        for frames in (2, 4, 10):
            y = spectrum(frames)
            output = tiny(y, y, torch.tensor([0.0]))
            assert output.shape == y.shape and torch.isfinite(output).all()


def test_compiles_as_one_graph(tiny):
    compiled = torch.compile(tiny, backend="eager", fullgraph=True)
    x, y, t = spectrum(4, seed=1), spectrum(4, seed=2), torch.tensor([0.3])
    with torch.inference_mode():
        torch.testing.assert_close(compiled(x, y, t), tiny(x, y, t))


@pytest.mark.parametrize(
    "wrong", [{"progressive": "residual"}, {"divide": "sigma"}, {"divide": "before", "discriminative": True}]
)
def test_unknown_variants_are_refused(wrong):
    with pytest.raises(ValueError):
        NCSNpp(**wrong)
