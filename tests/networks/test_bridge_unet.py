"""The bridge network: identity when new, no farther view than it admits, and no dependence on batch or time of day."""

import pytest
import torch

from enhance_cli.networks import NETWORKS
from enhance_cli.training.recipe import load
from enhance_cli.training.recipe_files import shipped


def spectrum(frames: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(batch, 2, frames, 257, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("recipe", [name for name in shipped() if name.startswith("denoise")])
def test_a_new_network_returns_its_input_and_is_as_small_as_it_should_be(recipe):
    part = load(recipe).model
    network = NETWORKS[part.network](**part.network_args).eval()
    y = spectrum(40)
    with torch.inference_mode():
        assert torch.equal(network(spectrum(40, seed=1), y, torch.full((1,), 0.5)), y)
    weights = sum(p.numel() for p in network.parameters())
    assert weights < (2.2e6 if recipe.startswith("denoise-s") else 6e6)


@pytest.mark.parametrize("frames", [1, 2, 3, 100])
def test_any_number_of_frames_keeps_all_257_bins(tiny_network, frames):
    y = spectrum(frames, batch=2)
    with torch.inference_mode():
        out = tiny_network(y, y, torch.tensor([1.0, 0.0]))
    assert out.shape == y.shape and out.dtype == torch.float32 and torch.isfinite(out).all()
    assert (out - y).abs().amax(dim=(0, 1, 2)).min() > 0, "every bin can be changed, the Nyquist bin too"


@pytest.mark.parametrize("which", ["x", "y"])
def test_a_frame_depends_on_its_context_and_on_nothing_beyond(tiny_network, which):
    frames, place, context = 80, 40, tiny_network.receptive_field
    x, y, t = spectrum(frames, seed=1), spectrum(frames, seed=2), torch.full((1,), 0.7)
    changed = {"x": x.clone(), "y": y.clone()}
    changed[which][:, :, place] += 1
    with torch.inference_mode():
        difference = (tiny_network(changed["x"], changed["y"], t) - tiny_network(x, y, t)).abs().amax(dim=(0, 1, 3))
    reached = difference.nonzero().flatten()
    assert reached.min() >= place - context and reached.max() <= place + context
    assert reached.max() - reached.min() > context, "the promised context is not much wider than the real one"


def test_context_of_the_shipped_networks_is_what_they_admit():
    """Measured with all weights random, on the gradient of one output frame."""
    for name in ("denoise-s",):
        part = load(name).model
        torch.manual_seed(0)
        network = NETWORKS[part.network](**part.network_args | {"channels": [4, 4, 4, 4], "temporal": 8}).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        y = spectrum(4 * network.receptive_field + 1).requires_grad_()
        middle = 2 * network.receptive_field
        network(y, y, torch.ones(1))[:, :, middle].sum().backward()
        reached = y.grad.abs().amax(dim=(0, 1, 3)).nonzero().flatten()
        assert (
            middle - network.receptive_field
            <= reached.min()
            < middle
            < reached.max()
            <= middle + network.receptive_field
        )


def test_items_of_a_batch_do_not_see_each_other_and_time_matters(tiny_network):
    x, y, t = spectrum(30, 3, seed=1), spectrum(30, 3, seed=2), torch.tensor([0.2, 0.6, 1.0])
    with torch.inference_mode():
        together = tiny_network(x, y, t)
        for i in range(3):
            alone = tiny_network(x[i : i + 1], y[i : i + 1], t[i : i + 1])
            torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)
        assert (tiny_network(x, y, t.flip(0)) - together)[0].abs().max() > 1e-4


def test_with_a_state_mask_the_estimate_can_follow_the_state_in_every_detail():
    arguments = {"channels": (8, 12), "blocks": 1, "temporal": 16, "temporal_dilations": (1,), "embedding": 8}
    network = NETWORKS["bridge_unet"](**arguments, state_mask=True).eval()
    x, y, t = spectrum(20, seed=1), spectrum(20, seed=2), torch.full((1,), 0.5)
    with torch.inference_mode():
        assert torch.equal(network(x, y, t), y), "a new one is the identity all the same"
        network.state_head[0].bias.view(4, 2)[:, 0] = 0.5  # every band's real mask of x
        torch.testing.assert_close(network(x, y, t), y + 0.5 * x)
