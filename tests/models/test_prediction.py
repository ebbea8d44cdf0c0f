"""The adapter between what a network predicts and the clean estimate: exact for a network that knows the answer."""

import pytest
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models.prediction import Prediction
from enhance_cli.processes import PROCESSES

SHAPE = (3, 2, 5, 7)
TIMES = torch.tensor([0.1, 0.5, 0.9])
GAUSSIAN = ["ouve", "bbed", "schroedinger_bridge_ve", "brownian_bridge", "flow_matching"]


@pytest.fixture
def signals():
    generator = torch.Generator().manual_seed(0)
    clean, noisy, noise = (torch.randn(SHAPE, generator=generator) for _ in range(3))
    return clean, noisy, noise


@pytest.mark.parametrize("name", GAUSSIAN)
@pytest.mark.parametrize("sign, scaling", [(1, "1"), (-1, "1"), (1, "1/sigma"), (1, "1/t")])
def test_a_true_score_gives_the_clean_signal(name, sign, scaling, signals):
    clean, noisy, noise = signals
    process = PROCESSES[name]()
    x = process.sample(clean, noisy, TIMES, noise)
    sigma = process.std(TIMES).reshape(-1, 1, 1, 1)
    times = TIMES.reshape(-1, 1, 1, 1)
    undo = {"1": 1.0, "1/sigma": sigma, "1/t": times}[scaling]
    network = lambda x, y, t: -sign * undo * noise / sigma
    estimate = Prediction("score", sign=sign, output_scaling=scaling).estimate(network, process, x, noisy, TIMES)
    assert torch.allclose(estimate, clean, atol=1e-4)


def test_a_true_denoiser_and_a_true_velocity_give_the_clean_signal(signals):
    clean, noisy, noise = signals
    process = PROCESSES["ouve"]()
    x = process.sample(clean, noisy, TIMES, noise)
    mean = lambda x, y, t: process.mean(clean, noisy, t)
    assert torch.allclose(Prediction("denoiser").estimate(mean, process, x, noisy, TIMES), clean, atol=1e-4)
    flow = PROCESSES["flow_matching"]()
    x = flow.sample(clean, noisy, TIMES, noise)
    velocity = lambda x, y, t: (x - clean) / t.reshape(-1, 1, 1, 1)
    assert torch.allclose(Prediction("velocity").estimate(velocity, flow, x, noisy, TIMES), clean, atol=1e-4)


def test_input_scaling_reaches_state_and_condition_alike(signals):
    clean, noisy, _ = signals
    seen = []
    process = PROCESSES["ouve"]()
    Prediction("data", input_scaling="edm_in").estimate(
        lambda x, y, t: seen.append((x, y)) or x, process, clean, noisy, TIMES
    )
    factor = (process.std(TIMES) ** 2 + 0.1**2).rsqrt().reshape(-1, 1, 1, 1)
    assert torch.allclose(seen[0][0], factor * clean) and torch.allclose(seen[0][1], factor * noisy)


def test_unknown_kinds_and_scalings_are_refused(signals):
    with pytest.raises(ModelError, match="epsilon"):
        Prediction("epsilon")
    with pytest.raises(ModelError, match="loud"):
        Prediction("score", output_scaling="loud").estimate(None, PROCESSES["ouve"](), *signals[:2], TIMES)
