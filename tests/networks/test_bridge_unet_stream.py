"""The bridge network as a stream: the frames of the whole recording, however it is cut, each computed once."""

import numpy as np
import pytest
import torch

from enhance_cli.networks import NETWORKS
from enhance_cli.networks.bridge_unet_stream import BridgeUNetStream
from tests.conftest import TINY


@pytest.fixture(params=[True, False], ids=["with a mask of the state", "without"])
def network(request):
    torch.manual_seed(0)
    two_levels = TINY | {"channels": [4, 6, 8], "blocks": 2, "dilations": [1, 2]}
    network = NETWORKS["bridge_unet"](**two_levels, state_mask=request.param).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def streamed(network, x: torch.Tensor, y: torch.Tensor, t: torch.Tensor, sizes: list[int]) -> list[torch.Tensor]:
    """Return the results of consecutive calls with so many frames each, the last with all that is left."""
    stream, found, position = BridgeUNetStream(network), [], 0
    state, zeros = stream.initial_state(), torch.zeros(stream.last)
    for n, size in enumerate(sizes):
        last = n == len(sizes) - 1
        part = slice(position, None if last else position + size)
        made, *state = stream(x[:, :, part], y[:, :, part], t, zeros if last else zeros[:0], *state)
        found.append(made)
        position += size
    return found


@pytest.mark.parametrize("seed", range(3))
def test_any_cut_gives_the_frames_of_the_whole(network, seed):
    reach, rng = network.receptive_field, np.random.default_rng(seed)
    sizes = [reach + int(rng.integers(1, 20)), *rng.integers(1, 40, size=6).tolist(), 1]
    x, y = torch.randn(2, 1, 2, sum(sizes), 257, generator=torch.Generator().manual_seed(seed)).unbind(0)
    t = torch.full((1,), 0.4)
    with torch.inference_mode():
        whole, parts = network(x, y, t), streamed(network, x, y, t, sizes)
    assert (torch.cat(parts, dim=2) - whole).abs().max() < 1e-5 * whole.abs().max()
    assert [part.shape[2] for part in parts] == [
        sizes[0] - reach,
        *sizes[1:-1],
        1 + reach,
    ]  # as soon as they are complete


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_a_recording_shorter_than_the_context_takes_one_call(network, frames):
    x, y = torch.randn(2, 1, 2, frames, 257, generator=torch.Generator().manual_seed(0)).unbind(0)
    t = torch.full((1,), 0.4)
    with torch.inference_mode():
        assert torch.allclose(streamed(network, x, y, t, [frames])[0], network(x, y, t), rtol=1e-5, atol=1e-5)


def test_a_network_with_a_guide_is_refused():
    with pytest.raises(ValueError, match="guide"):
        BridgeUNetStream(NETWORKS["bridge_unet"](**TINY, guide="bottleneck"))
