"""Attention to a guide: silent when new, bounded in what it sees, and absent from networks that have none."""

import pytest
import torch

from enhance_cli.models import registry
from enhance_cli.models.weights import begin_from, load_network
from enhance_cli.networks import NETWORKS
from enhance_cli.networks.guide_attention import GuideAttention
from enhance_cli.training.recipe import load

NCSNPP = {"nf": 8, "ch_mult": [1, 2, 2], "num_res_blocks": 1, "attn_resolutions": [], "image_size": 32}
BRIDGE = {"channels": [4, 6], "blocks": 1, "dilations": [1], "temporal": 8, "temporal_dilations": [1], "embedding": 8}
NETS = [("bridge_unet", BRIDGE, 257), ("ncsnpp", NCSNPP, 32)]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shaken(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """All weights random, also those that begin as zeros."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module.eval()


def track(frames: int, seed: int = 3) -> torch.Tensor:
    return torch.rand(1, 1, frames, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("stride, pool", [(1, 1), (4, 2), (8, 8)])
@torch.inference_mode()
def test_a_column_sees_its_own_frames_and_as_many_around_as_it_says(stride, pool):
    attention = shaken(GuideAttention(6, 16, stride, pool))
    h, guide, place = normal(1, 6, 40, 3), track(40 * stride), 20 * stride
    reached = []
    for frame in range(40 * stride):
        changed = guide.clone()
        changed[..., frame] = torch.nan
        if (attention(h, changed) - attention(h, guide))[:, :, 20].abs().max() > 0:
            reached.append(frame)
    assert reached == list(range(place - 16, place + stride + 16))


@torch.inference_mode()
def test_nothing_known_is_the_same_however_it_is_said():
    attention, h = shaken(GuideAttention(6, 8)), normal(2, 6, 30, 4)
    without = attention(h, None)
    assert torch.equal(attention(h, torch.full((2, 1, 30), torch.nan)), without)
    half = torch.cat([track(30), torch.full((1, 1, 30), torch.nan)])
    assert torch.equal(attention(h, half)[1], without[1])
    assert (attention(h, half)[0] - without[0]).abs().max() > 1e-3


@pytest.mark.parametrize(
    "name, args, bins, place",
    [(*net, place) for net in NETS for place in ("bottleneck", "every")] + [(*NETS[0], "branch")],
)
@torch.inference_mode()
def test_in_a_trained_network_it_changes_nothing_until_it_is_trained_itself(name, args, bins, place):
    plain, guided = shaken(NETWORKS[name](**args)), NETWORKS[name](**args, guide=place).eval()
    missing, unknown = guided.load_state_dict(plain.state_dict(), strict=False)
    assert missing and not unknown and all(key.startswith("guides.") for key in missing)
    x, y, t = normal(1, 2, 32, bins, seed=1), normal(1, 2, 32, bins, seed=2), torch.tensor([0.6])
    guide = track(32)
    assert torch.equal(guided(x, y, t, guide=guide), plain(x, y, t))
    shaken(guided.guides)
    assert (guided(x, y, t, guide=guide) - guided(x, y, t)).abs().max() > 1e-4


@pytest.mark.parametrize("name, args, bins", NETS)
def test_without_a_guide_a_network_has_nothing_of_it(name, args, bins):
    torch.manual_seed(0)
    plain = NETWORKS[name](**args)
    assert not any("guide" in key for key in plain.state_dict())
    torch.manual_seed(0)
    guided = NETWORKS[name](**args, guide="bottleneck")
    assert all(torch.equal(guided.state_dict()[key], value) for key, value in plain.state_dict().items())
    with pytest.raises(ValueError, match="guide 'middle' is none of bottleneck, every"):  # and the branch, of one
        NETWORKS[name](**args, guide="middle")


@pytest.mark.parametrize("place", ["bottleneck", "every", "branch"])
@torch.inference_mode()
def test_a_frame_depends_on_its_context_of_signal_and_guide_and_on_nothing_beyond(place):
    network = shaken(NETWORKS["bridge_unet"](**BRIDGE, guide=place))
    context = network.receptive_field
    frames, y, t = 2 * context + 9, normal(1, 2, 2 * context + 9, 257), torch.ones(1)
    middle, guide = frames // 2, track(frames)
    changed_y, changed_guide = y.clone(), guide.clone()
    changed_y[:, :, middle] += 1
    changed_guide[..., middle] = torch.nan
    for other in (network(changed_y, changed_y, t, guide), network(y, y, t, changed_guide)):
        reached = (other - network(y, y, t, guide)).abs().amax(dim=(0, 1, 3)).nonzero().flatten()
        assert middle - context <= reached.min() < middle < reached.max() <= middle + context


def test_a_new_branch_begins_as_a_copy_of_the_trained_encoder_and_learns_to_hear_the_guide():
    plain, guided = shaken(NETWORKS["bridge_unet"](**BRIDGE)), NETWORKS["bridge_unet"](**BRIDGE, guide="branch")
    begin_from(guided, plain, "plain", ("guides.",))
    branch, y, target = guided.guides["branch"], normal(1, 2, 20, 257), normal(1, 2, 20, 257, seed=4)
    assert torch.equal(branch.stages[1].blocks[0].conv1.weight, plain.encoder[1][0].conv1.weight)
    assert torch.equal(branch.stages[1].down[0].weight, plain.down[0][0].weight)
    optimizer = torch.optim.SGD(branch.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (guided.eval()(y, y, torch.ones(1), track(20)) - target).square().mean().backward()
        optimizer.step()
    assert branch.entry.weight.abs().max() > 0 and branch.exits[0].weight.abs().max() > 0
    assert not torch.equal(guided(y, y, torch.ones(1), track(20)), guided(y, y, torch.ones(1), 1 - track(20)))


@pytest.mark.parametrize("place", ["bottleneck", "branch"])
@torch.inference_mode()
def test_the_guided_recipe_starts_as_the_shipped_model(place):
    part = load("denoise-s-guided", [f"model.network_args.guide={place}"]).model
    entry = registry.find("denoise-s", "denoise")
    network = NETWORKS[part.network](**part.network_args).eval()
    _, shipped = load_network(entry.path, fold=False)
    begin_from(network, shipped, entry.name, ("guides.",))
    y, t = normal(1, 2, 50, 257), torch.ones(1)
    assert torch.equal(network(y, y, t, track(50)), shipped(y, y, t))
    more = sum(p.numel() for p in network.guides.parameters()) / sum(p.numel() for p in shipped.parameters())
    assert more < (0.022 if place == "bottleneck" else 0.45)
