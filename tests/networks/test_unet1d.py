"""UNet1d: outputs, feature maps, names and sizes of the public implementation, alone and fed with another's maps."""

import numpy as np
import pytest
import torch

from enhance_cli.networks.stem_pair import StemPair
from enhance_cli.networks.unet1d import UNet1d
from tests.golden_numbers import load, rel_l2, rnormal, wave, weights

C32 = {"channels": 32, "attention_features": 32}
TINY = {
    "channels": 8,
    "multipliers": (1, 2, 2),
    "factors": (4, 2),
    "num_blocks": (1, 2),
    "attentions": (False, True),
    "attention_features": 8,
    "attention_heads": 2,
    "resnet_groups": 4,
    "patch_factor": 4,
}


def filled(salt: str = "", **args) -> UNet1d:
    network = UNet1d(**args)
    network.load_state_dict(weights(network.state_dict(), salt))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def mix():
    return torch.from_numpy(wave("mixture_c32", 65536, 22050))[None, None]


@pytest.fixture(scope="module")
def extracted(mix):
    return filled(**C32).extract(mix, torch.eye(4)[1:2])


def test_extractor_gives_the_published_output_and_maps(extracted):
    golden, about = load("dicose_det_c32")
    out, features = extracted
    assert rel_l2(out[0, 0, ::16], golden["out_sub"]) < about["tolerance"]["rel_l2"]
    assert rel_l2(out[0, 0, :512], golden["out_head"]) < about["tolerance"]["rel_l2"]
    for row, feature in zip(golden["features"], [*features[1:], out], strict=True):
        v = feature[0].double().numpy()
        assert v.shape == (row[0], row[1])
        found = [v.mean(), v.std(), np.abs(v).sum(), np.abs(v).max(), *v.ravel()[:4], *v.ravel()[-4:]]
        assert found == pytest.approx(row[2:].tolist(), rel=1e-5, abs=2e-5)


@pytest.mark.parametrize("level", [0, 1])
def test_refiner_gives_the_published_output_with_and_without_the_maps(mix, extracted, level):
    golden, about = load("dicose_diffusion_c32")
    refiner, label = filled("diff.", **C32, time=True), torch.eye(4)[1:2]
    sigma = about["sigmas"][level]
    x = 0.5 * mix + sigma * torch.from_numpy(rnormal("eps_c32", (1, 1, 65536)))
    x, t = x / (sigma**2 + about["sigma_data"] ** 2) ** 0.5, torch.tensor([sigma]).log() / 4
    for name, features in (("raw", extracted[1]), ("raw_nofeatures", None)):
        out = refiner(x, t, label, features)[0, 0, ::32]
        assert rel_l2(out, golden[f"{name}_{level}_sub"]) < about["tolerance"]["rel_l2"]


@pytest.mark.parametrize("time, tensors, count", [(False, 433, 405_231_900), (True, 436, 405_496_220)])
def test_the_defaults_are_the_published_network(time, tensors, count):
    with torch.device("meta"):
        state = UNet1d(time=time).state_dict()
    assert len(state) == tensors and sum(v.numel() for v in state.values()) == count
    assert list(state["to_in.module_list.0.block.block1.project.weight"].shape) == [16, 1, 3]
    assert state["downsamples.3.transformer.feed_forward.0.g"].shape == (1, 1024, 1)


def test_lengths_that_do_not_fit_are_refused(mix):
    with pytest.raises(ValueError, match="no multiple of 8192"):
        filled(**C32).extract(mix[..., :1000], torch.eye(4)[:1])


def test_a_pair_holds_both_by_prefix_and_hands_the_maps_over():
    pair = StemPair({"network": "unet1d", **TINY}, {"network": "unet1d", **TINY, "time": True}).eval()
    assert {name.split(".")[0] for name in pair.state_dict()} == {"extractor", "refiner"}
    golden, about = load("dicose_tiny_expect")
    pair.extractor.load_state_dict(weights(pair.extractor.state_dict()))
    pair.refiner.load_state_dict(weights(pair.refiner.state_dict(), "student."))
    mix, label = torch.from_numpy(wave("ckpt_mix", 1024, 22050))[None, None], torch.eye(4)[3:4]
    with torch.inference_mode():
        first, features = pair.extract(mix, label)
        refined = pair(2 * mix, torch.tensor([-1.1]), label, features)
    assert rel_l2(first[0, 0], golden["det"]) < about["tolerance"]["rel_l2"]
    assert rel_l2(refined[0, 0], golden["student"]) < about["tolerance"]["rel_l2"]
    assert pair.receptive_field(0) is None
