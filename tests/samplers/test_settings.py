"""The settings of samplers do what they say, and a step goes the way that it should."""

import pytest
import torch

from enhance_cli.errors import UsageError
from enhance_cli.processes import PROCESSES
from enhance_cli.processes.ddpm import schedule
from enhance_cli.samplers import SAMPLERS

Y = torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(0))


def zeros() -> torch.Tensor:
    return torch.zeros_like(Y)


def test_the_limit_of_consistency_bounds_the_result_on_both_sides_and_is_off_by_default():
    estimate = lambda x, t: 10 * Y
    run = lambda **settings: SAMPLERS["consistency"](estimate, PROCESSES["edm"](), Y, 2, zeros, **settings)
    assert torch.equal(run(limit=1.5), (10 * Y).clamp(-1.5, 1.5)) and torch.equal(run(), 10 * Y)


@pytest.mark.parametrize(
    "sampler, setting, message",
    [
        ("consistency", {"renoise": "never"}, "renoise 'never' is not known: choose from every, legacy"),
        ("bridge_ode", {"call_at": "end"}, "call_at 'end' is not known: choose from earlier, later"),
        ("bridge_sde", {"call_at": "end"}, "call_at 'end' is not known: choose from earlier, later"),
        ("predictor_corrector", {"corrector": "x"}, "corrector 'x' is not known: choose from ald, langevin, none"),
    ],
)
def test_an_unknown_setting_is_answered_with_the_known_ones(sampler, setting, message):
    with pytest.raises(UsageError) as refused:
        SAMPLERS[sampler](lambda x, t: x, PROCESSES["brownian_bridge"](), Y, 2, zeros, **setting)
    assert str(refused.value) == message


def test_the_probability_flow_takes_an_euler_step_last_and_heun_steps_before():
    process, x0 = PROCESSES["ouve"](), 0.2 * Y

    def slope(x, t):
        a = torch.exp(torch.tensor(-1.5 * t))
        std, g = (float(f(torch.tensor(t))) for f in (process.std, process.diffusion))
        return 1.5 * (Y - x) - g**2 / 2 * (a * x0 + (1 - a) * Y - x) / std**2

    run = lambda steps: SAMPLERS["probability_flow"](lambda x, t: x0, process, Y, steps, zeros)
    assert torch.allclose(run(1), Y - slope(Y, 1.0), atol=1e-4)
    first = slope(Y, 1.0)
    x = Y - 0.97 / 2 * (first + slope(Y - 0.97 * first, 0.03))
    assert torch.allclose(run(2), x - 0.03 * slope(x, 0.03), atol=1e-3 * float(x.abs().max()))


def test_a_consistency_model_starts_where_it_is_told():
    times = []

    def estimate(x, t):
        times.append(t)
        return x

    SAMPLERS["consistency"](estimate, PROCESSES["ouve"](), Y, 2, zeros, start=0.6)
    assert times[0] == pytest.approx(0.6) and times[1] < 0.6


@pytest.mark.parametrize("name", ["brownian_bridge", "schroedinger_bridge_ve", "schroedinger_bridge_vp"])
def test_a_bridge_starts_at_the_noisy_signal_itself_and_before_its_end_with_noise_around_it(name):
    process, z = PROCESSES[name](), torch.randn(Y.shape, generator=torch.Generator().manual_seed(1))
    assert torch.equal(process.start(Y, z), Y) and torch.equal(process.start(Y, z, process.t_max), Y)
    spread = process.std(torch.tensor(0.5))
    assert spread > 0 and torch.allclose(process.start(Y, z, 0.5), Y + spread * z)


def test_the_schedule_of_ddpm_is_the_product_of_what_every_step_keeps():
    signal, noise, added = schedule(1e-4, 0.02, 1000)
    beta = torch.linspace(1e-4**0.5, 0.02**0.5, 1000, dtype=torch.float64) ** 2
    kept = torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).cumprod(0)])
    assert signal.dtype == torch.float64 and signal.shape == noise.shape == added.shape == (1001,)
    assert torch.allclose(signal**2, kept, rtol=1e-3) and torch.allclose(signal**2 + noise**2, torch.ones_like(kept))
    assert added[0] == 0 and torch.allclose(added[1:] ** 2, beta, rtol=5e-3)
