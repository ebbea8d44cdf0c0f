"""What training computes in, on the processor at hand."""

import pytest
import torch

from enhance_cli.models import registry
from enhance_cli.models.weights import load_network
from enhance_cli.training.precision import set_precision


def gradients(network, kind: str, inputs: list) -> torch.Tensor:
    network.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "bf16"):
        result = network(*inputs)
    result.float().square().mean().backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


@pytest.mark.parametrize("name", ["auto", "bf16"])
def test_the_gradients_of_the_shipped_denoiser_are_those_of_fp32(name):
    _, network = load_network(registry.find("denoise-s", "denoise").path, fold=False)
    network.requires_grad_(True)
    noisy = 0.3 * torch.randn(2, 2, 63, 257, generator=torch.Generator().manual_seed(0))
    inputs = [noisy, noisy, torch.ones(2)]
    exact = gradients(network, "fp32", inputs)
    before = network.state_dict()
    kind = set_precision(network, name, torch.device("cpu"))
    unclean = [torch.full((1 << n,), torch.nan) for n in range(10, 24)]  # memory that the kernels may be given next
    del unclean
    assert (gradients(network, kind, inputs) - exact).norm() < 0.05 * exact.norm()
    assert network.state_dict().keys() == before.keys()
