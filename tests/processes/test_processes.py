"""Processes: mean and spread follow from the SDE they state, and special functions are the textbook's."""

from math import log

import pytest
import torch
from scipy.special import expi

from enhance_cli.errors import UsageError
from enhance_cli.processes import PROCESSES
from enhance_cli.processes.bbed import BBED
from enhance_cli.processes.process import Bridge

TIMES = torch.tensor([0.05, 0.2, 0.5, 0.7, 0.95], dtype=torch.float64)


@pytest.mark.parametrize("name", [name for name in PROCESSES if name != "ddpm"])  # whose time goes in whole steps
def test_mean_and_spread_obey_the_moment_equations_of_the_sde(name):
    """dm/dt = f(m) and dv/dt = 2 f' v + g^2; a bridge's f has the pull towards its end added (Doob's h-transform)."""
    process = PROCESSES[name]()
    x0, y = torch.tensor(0.7, dtype=torch.float64), torch.tensor(-0.4, dtype=torch.float64)

    def drift(x, t):
        f = process.drift(x, y, t)
        if not isinstance(process, Bridge):
            return f
        alpha, rest = process.alpha(t), process.scale**2 * (1 - process.variance(t))
        return f + process.diffusion(t) ** 2 * (y / process.alpha(1.0) - x / alpha) / (alpha * rest)

    def rate(function, t, h=1e-6):
        return (function(t + h) - function(t - h)) / (2 * h)

    mean = lambda t: process.mean(x0.expand_as(t), y, t)
    m, v = mean(TIMES), process.std(TIMES) ** 2
    slope = drift(m + 1, TIMES) - drift(m, TIMES)
    assert torch.allclose(rate(mean, TIMES), drift(m, TIMES), rtol=1e-6, atol=1e-8)
    change = 2 * slope * v + process.diffusion(TIMES) ** 2
    assert torch.allclose(rate(lambda t: process.std(t) ** 2, TIMES), change, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("k, c", [(2.6, 0.51), (1.2, 0.3), (10.0, 0.1)])
def test_bbed_spread_has_the_exponential_integral(k, c):
    t = torch.linspace(0.001, 0.999, 50, dtype=torch.float64)
    ei = torch.from_numpy(expi((2 * (t - 1) * log(k)).numpy())) - expi(-2 * log(k))
    squared = (1 - t) * c * (k ** (2 * t) - 1 + t + 2 * k**2 * log(k) * (1 - t) * ei)
    assert torch.allclose(BBED(k=k, c=c).std(t) ** 2, squared, rtol=1e-10, atol=1e-14)


def test_bbed_ends():
    assert BBED().std(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0, 0], abs=1e-3)


def test_published_values():
    def spreads(name, *times):
        return PROCESSES[name]().std(torch.tensor(times)).tolist()

    assert spreads("ouve", 0.03, 0.5, 1.0) == pytest.approx([0.0188, 0.1217, 0.3890], abs=5e-5)
    assert spreads("bbed", 0.03, 0.25, 0.5, 0.75) == pytest.approx([0.1236, 0.3541, 0.4869, 0.5324], abs=5e-5)
    assert spreads("schroedinger_bridge_ve", 0.1, 0.5) == pytest.approx([0.206, 0.492], abs=5e-4)
    assert spreads("flow_matching", 1.0) == pytest.approx([0.487])
    bridge = PROCESSES["schroedinger_bridge_ve"]()
    assert bridge.scale == pytest.approx(1.0980, abs=5e-5)
    assert [bridge.variance(t) for t in (0.25, 0.5, 0.75, 0.9)] == pytest.approx([0.106, 0.278, 0.554, 0.796], abs=1e-3)


def test_noise_is_that_of_complex_numbers_where_the_published_program_draws_them():
    """Of unit variance in all, half in each part. Ours, and those of vectors and waveforms, have it in every number."""
    ours = {"brownian_bridge": 1.0, "ddpm": 1.0, "edm": 1.0}
    assert {name: PROCESSES[name]().noise_scale for name in PROCESSES} == dict.fromkeys(PROCESSES, 2**-0.5) | ours


def test_levels_of_a_sampler():
    assert PROCESSES["ouve"]().levels(1) == [1.0, 0.0]
    assert PROCESSES["ouve"]().levels(3) == pytest.approx([1.0, 0.515, 0.03, 0.0])
    assert PROCESSES["bbed"]().levels(3, start=0.5) == pytest.approx([0.5, 0.265, 0.03, 0.0])
    assert PROCESSES["schroedinger_bridge_ve"]().levels(2) == pytest.approx([1.0, 0.50005, 1e-4])
    for start in (0.0, 1.0, 7.0):
        with pytest.raises(UsageError, match="from above 0.03 to 0.999"):
            PROCESSES["bbed"]().levels(3, start=start)
    with pytest.raises(ValueError):
        PROCESSES["bbed"]().levels(0)
