"""What every process and sampler in the catalogues must keep, on a Gaussian toy problem whose answer is known."""

import pytest
import torch

from enhance_cli.processes import PROCESSES
from enhance_cli.samplers import SAMPLERS

SHAPE = (2, 2, 5, 7)


@pytest.fixture
def clean():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def noisy(clean):
    return clean + torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))


def noise():
    return torch.randn(SHAPE)


@pytest.mark.parametrize("name", list(PROCESSES))
def test_process_ends_where_it_says(name, clean, noisy):
    process = PROCESSES[name]()
    ends = torch.tensor([0.0, 1.0])
    assert torch.allclose(process.mean(clean, noisy, ends)[0], clean[0])
    assert torch.allclose(process.mean(clean, noisy, ends)[1], noisy[1])
    assert torch.allclose(process.std(ends), torch.zeros(2), atol=1e-6)
    assert process.std(torch.tensor(0.5)) > 0
    assert process.levels(4)[0] == 1 and process.levels(4)[-1] == 0 and len(process.levels(4)) == 5


@pytest.mark.parametrize("name", list(PROCESSES))
def test_process_sample_has_the_stated_mean_and_spread(name, clean, noisy):
    process = PROCESSES[name]()
    t = torch.full((2,), 0.3)
    generator = torch.Generator().manual_seed(3)
    draws = torch.stack([process.sample(clean, noisy, t, torch.randn(SHAPE, generator=generator)) for _ in range(4000)])
    spread = float(process.std(torch.tensor(0.3)))
    assert torch.allclose(draws.mean(0), process.mean(clean, noisy, t), atol=5 * spread / 4000**0.5)
    assert torch.allclose(draws.std(0), torch.full(SHAPE, spread), rtol=0.1)


@pytest.mark.parametrize("sampler", list(SAMPLERS))
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_sampler_makes_exactly_the_calls_it_says_at_falling_times(sampler, steps, clean, noisy):
    times = []

    def estimate(x, y, t):
        assert x.shape == y.shape == SHAPE and t.shape == (2,)
        times.append(float(t[0]))
        return clean

    result = SAMPLERS[sampler](estimate, PROCESSES["brownian_bridge"](), noisy, steps, noise)
    assert torch.equal(result, clean)
    assert times == pytest.approx([1 - i / steps for i in range(steps)])


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_intermediate_states_stay_on_the_bridge_of_a_perfect_estimate(sampler, clean, noisy):
    """With the true x0 as estimate every visited state has the process's own mean and spread around it."""
    process = PROCESSES["brownian_bridge"](rho=0.5)
    states = []

    def estimate(x, y, t):
        states.append((float(t[0]), x))
        return clean

    generator = torch.Generator().manual_seed(5)
    runs = 600 if sampler == "bridge_sde" else 1
    for _ in range(runs):
        SAMPLERS[sampler](estimate, process, noisy, 4, lambda: torch.randn(SHAPE, generator=generator))
    for time in (0.75, 0.5, 0.25):
        visited = torch.stack([x for t, x in states if t == pytest.approx(time)])
        t = torch.full((2,), time)
        spread = float(process.std(torch.tensor(time)))
        assert torch.allclose(visited.mean(0), process.mean(clean, noisy, t), atol=6 * spread / runs**0.5)
        if runs > 1:
            assert float(visited.std(0).mean()) == pytest.approx(spread, rel=0.05)
