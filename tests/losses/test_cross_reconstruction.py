"""Cross-reconstruction: what it compares, and that a network learns from it to undo what a recording did."""

import torch

from enhance_cli.losses.cross_reconstruction import loss
from enhance_cli.networks.rdm_mlp import RdmMlp
from enhance_cli.processes.ddpm import DDPM


def test_it_is_the_mean_absolute_difference_from_the_clean_vector_and_the_angle_to_it():
    x0, y = torch.randn(2, 64, 16)
    noise = lambda: torch.randn_like(y)
    assert float(loss(lambda x, t: x0, DDPM(), x0, y, noise)) < 1e-5
    assert torch.allclose(loss(lambda x, t: x0 + 0.5, DDPM(), x0, y, noise, cosine=0), torch.tensor(0.5))
    opposite = loss(lambda x, t: -x0, DDPM(), x0, y, noise, cosine=1)
    assert torch.allclose(opposite, 2 * x0.abs().mean() + 2, atol=1e-4)


def test_the_state_is_made_of_the_degraded_vector_at_whole_times_mostly_early_ones():
    x0, y = torch.zeros(4000, 4), torch.ones(4000, 4)
    seen = {}

    def estimate(x, t):
        seen.update(x=x, t=t)
        return x0

    loss(estimate, DDPM(), x0, y, lambda: torch.zeros_like(y))
    assert torch.equal(seen["t"], seen["t"].round()) and seen["t"].min() >= 0 and seen["t"].max() <= 999
    assert 0.55 < (seen["t"] <= 200).float().mean() < 0.65
    assert torch.allclose(seen["x"], DDPM().mean(y, y, seen["t"]))


def test_a_shift_that_a_recording_makes_is_learnt_away():
    torch.manual_seed(0)
    network, process, shift = RdmMlp(8, width=32), DDPM(), torch.randn(8)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    for _ in range(200):
        x0 = torch.randn(128, 8)
        y = x0 + shift
        optimizer.zero_grad()
        loss(lambda x, t: network(x, None, t), process, x0, y, lambda y=y: torch.randn_like(y)).backward()
        optimizer.step()
    x0 = torch.randn(500, 8)
    y, t = x0 + shift, torch.tensor([50.0])
    with torch.no_grad():
        repaired = network(process.mean(y, y, t), y, t)
    assert (repaired - x0).abs().mean() < 0.5 * (y - x0).abs().mean()
