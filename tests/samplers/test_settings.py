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


def test_the_limit_of_ddim_bounds_every_estimate_on_both_sides():
    estimate = lambda x, t: 10 * Y
    found = SAMPLERS["ddim"](estimate, PROCESSES["ddpm"](), Y, 1, zeros, start=50, limit=1.5)
    assert torch.equal(found, (10 * Y).clamp(-1.5, 1.5))


def test_times_of_ddpm_are_whole_steps_from_the_first_to_the_last_that_there_is():
    process = PROCESSES["ddpm"]()
    assert process.levels(3) == [666, 333, 0, -1] and process.levels(1000)[0] == 999
    assert process.levels(1, 0) == [0, -1] and process.levels(1, 999) == [999, -1]
    assert len(process.levels(11, 10)) == 12
    for steps, start, message in (
        (1, -1, "time -1: the process has no such time: choose from 0 to 999"),
        (12, 10, "12 steps: there are only 11 times to stop at: choose at most 11"),
    ):
        with pytest.raises(UsageError) as refused:
            process.levels(steps, start)
        assert str(refused.value) == message


@pytest.mark.parametrize("name", ["ddpm", "edm", "ouve"])
def test_no_step_at_all_is_refused(name):
    with pytest.raises(ValueError, match="^a sampler needs at least one step$"):
        PROCESSES[name]().levels(0)


@pytest.mark.parametrize("start", [1e-4, 11.0])
def test_edm_starts_above_its_grid_and_not_beyond_it(start):
    with pytest.raises(UsageError) as refused:
        PROCESSES["edm"]().levels(2, start)
    assert str(refused.value) == f"sigma {start:g}: the process does not start there: choose from above 0.0001 to 10"


def test_a_deterministic_step_from_where_there_is_no_spread_goes_to_the_mean():
    """At the noisy end of a bridge: what little x differs from y there would be multiplied without bounds."""
    process, x0 = PROCESSES["brownian_bridge"](), 0.2 * Y
    for t, r in ((1.0, 0.5), (torch.ones(2), torch.full((2,), 0.5))):
        assert torch.allclose(process.deterministic_step(Y + 1e-3, x0, Y, t, r), 0.5 * x0 + 0.5 * Y, atol=1e-6)


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


@pytest.mark.parametrize("start", [0.95, 0.5])
def test_the_ode_of_a_bridge_starts_where_it_is_told_and_carries_its_state_from_there(start):
    process, x0, called = PROCESSES["brownian_bridge"](), 0.2 * Y, []

    def estimate(x, t):
        called.append((float(t), x))
        return x0

    SAMPLERS["bridge_ode"](estimate, process, Y, 2, zeros, start=start)
    (first, x), (second, moved) = called
    s_r, s_t = process.variance(first), process.variance(second)
    carry = (s_t * (1 - s_t) / (s_r * (1 - s_r))) ** 0.5
    assert first == pytest.approx(start) and torch.equal(x, Y)
    assert torch.allclose(moved, carry * Y + (1 - s_t - carry * (1 - s_r)) * x0 + (s_t - carry * s_r) * Y, atol=1e-5)
