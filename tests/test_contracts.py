"""What every process and sampler in the catalogues must keep, on a Gaussian toy problem whose answer is known."""

import math
from inspect import signature

import pytest
import torch

from enhance_cli.errors import UsageError
from enhance_cli.processes import PROCESSES
from enhance_cli.processes.process import Bridge
from enhance_cli.samplers import PAIRINGS, SAMPLERS, calls

SHAPE = (2, 2, 5, 7)
PAIRS = [(sampler, process) for sampler in PAIRINGS for process in sorted(PAIRINGS[sampler])]
RUNS = [(*pair, {}) for pair in PAIRS] + [
    ("predictor_corrector", "ouve", {"corrector": "langevin", "corrector_steps": 2, "snr": 0.16}),
    ("predictor_corrector", "bbed", {"corrector": "none", "start": 0.5}),
    ("probability_flow", "ouve", {"start": 0.7}),
    ("bridge_sde", "schroedinger_bridge_ve", {"eps": 1e-8}),
    ("bridge_ode", "schroedinger_bridge_ve", {"call_at": "later"}),
    ("bridge_sde", "brownian_bridge", {"start": 0.6}),
    ("ddim", "ddpm", {"start": 50.0}),
    ("ddim", "ddpm", {"eta": 1.0, "spacing": "trailing"}),
    ("consistency", "edm", {"start": 0.5}),
    ("heun", "edm", {"start": 0.5}),
    ("edm_stochastic", "edm", {"start": 0.5, "rounds": 2}),
]
BRIDGES = [name for name in PROCESSES if issubclass(PROCESSES[name], Bridge)]


@pytest.fixture
def clean():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def noisy(clean):
    return clean + torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))


def draws(process, like, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return lambda: process.noise_scale * torch.randn(like.shape, generator=generator, dtype=like.dtype)


@pytest.mark.parametrize("name", list(PROCESSES))
def test_process_ends_where_it_says(name, clean, noisy):
    process = PROCESSES[name]()
    ends = torch.tensor([process.t_clean, process.t_max])
    assert torch.allclose(process.mean(clean, noisy, ends)[0], clean[0])
    assert process.std(ends)[0] == pytest.approx(0, abs=1e-6)
    assert process.std(torch.tensor(0.5)) > 0
    z = draws(process, noisy)()
    if isinstance(process, Bridge):
        assert torch.allclose(process.mean(clean, noisy, ends)[1], noisy[1], atol=1e-6)
        assert process.std(ends)[1] == pytest.approx(0, abs=1e-6)
        assert torch.equal(process.start(noisy, z), noisy)
    else:
        assert torch.allclose(process.start(noisy, z), process.sample(noisy, noisy, process.t_max, z))
    levels = process.levels(4)
    assert levels == sorted(levels, reverse=True) and len(set(levels)) == 5
    assert levels[0] == (750 if name == "ddpm" else process.t_max) and levels[-1] in (process.t_clean, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PROCESSES))
def test_process_sample_has_the_stated_mean_and_spread(name, clean, noisy):
    process = PROCESSES[name]()
    t = torch.full((2,), 0.3)
    noise = draws(process, clean, seed=3)
    states = torch.stack([process.sample(clean, noisy, t, noise()) for _ in range(4000)])
    spread = float(process.std(torch.tensor(0.3))) * process.noise_scale
    assert torch.allclose(states.mean(0), process.mean(clean, noisy, t), atol=5 * spread / 4000**0.5)
    assert torch.allclose(states.std(0), torch.full(SHAPE, spread), rtol=0.1)


@pytest.mark.parametrize("name", list(PROCESSES))
def test_process_score_gives_the_noise_back(name, clean, noisy):
    process = PROCESSES[name]()
    t, z = torch.tensor([0.2, 0.8]), draws(process, clean)()
    score = process.score(process.sample(clean, noisy, t, z), clean, noisy, t)
    assert torch.allclose(score * process.std(t).reshape(-1, 1, 1, 1), -z, atol=1e-4)


def test_every_sampler_says_what_it_runs_with():
    assert set(PAIRINGS) == set(SAMPLERS)
    assert set().union(*PAIRINGS.values()) == set(PROCESSES)
    for name in SAMPLERS:
        assert "start" in signature(SAMPLERS[name]).parameters  # so that models.sampling can start any of them late


@pytest.mark.parametrize("sampler, name, settings", RUNS)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_sampler_makes_exactly_the_calls_it_says_at_falling_times(sampler, name, settings, steps, clean, noisy):
    process, times = PROCESSES[name](), []

    def estimate(x, t):
        assert x.shape == SHAPE
        times.append(float(t))
        return clean

    result = SAMPLERS[sampler](estimate, process, noisy, steps, draws(process, noisy), **settings)
    assert result.shape == SHAPE and torch.isfinite(result).all()
    assert len(times) == calls(sampler, steps, **settings)
    assert times == sorted(times, reverse=True)
    grid = process.consistency_times if sampler == "consistency" else process.levels
    levels = grid(steps, settings.get("start"), **{k: settings[k] for k in ("spacing",) if k in settings})
    levels = levels[1:] if settings.get("call_at") == "later" else levels[:-1]
    assert sorted(set(times), reverse=True) == pytest.approx(levels)
    if name in ("brownian_bridge", "flow_matching", "ddpm"):
        assert torch.equal(result, clean)
    elif isinstance(process, Bridge):
        assert torch.allclose(result, clean, atol=5e-3)  # these bridges end at t = 1e-4


@pytest.mark.parametrize("sampler, name, settings", RUNS)
def test_real_and_complex_states_and_other_batches_give_the_same(sampler, name, settings, clean, noisy):
    process = PROCESSES[name]()
    whole = lambda v: torch.complex(v[:, 0], v[:, 1])
    estimate = lambda x, y, t: 0.6 * x + 0.3 * y - 0.1 * t * x + 0.05
    as_complex = lambda x, y, t: estimate(x, y, t) + 0.05j

    def run(estimate, y, noise):
        return SAMPLERS[sampler](lambda x, t: estimate(x, y, t), process, y, 3, noise, **settings)

    real, source = run(estimate, noisy, draws(process, noisy)), draws(process, noisy)
    assert torch.allclose(whole(real), run(as_complex, whole(noisy), lambda: whole(source())), atol=1e-5)
    source = draws(process, noisy)
    assert torch.allclose(real[:1], run(estimate, noisy[:1], lambda: source()[:1]), atol=1e-5)


@pytest.mark.parametrize("sampler, name", [(s, p) for s, p in PAIRS if s in ("bridge_ode", "bridge_sde", "flow_euler")])
def test_intermediate_states_stay_on_the_path_of_a_perfect_estimate(sampler, name, clean, noisy):
    """With the true x0 as estimate every visited state has the process's own mean and spread around it."""
    process, states = PROCESSES[name](), []

    def estimate(x, t):
        states.append((float(t), x))
        return clean

    noise = draws(process, noisy, seed=5)
    runs = 1 if sampler == "bridge_ode" else 600
    for _ in range(runs):
        SAMPLERS[sampler](estimate, process, noisy, 4, noise)
    for time in process.levels(4)[1:-1]:
        visited = torch.stack([x for t, x in states if t == pytest.approx(time)])
        t = torch.full((2,), time)
        spread = float(process.std(torch.tensor(time))) * process.noise_scale
        assert torch.allclose(visited.mean(0), process.mean(clean, noisy, t), atol=6 * spread / runs**0.5)
        if runs > 1:
            assert float(visited.std(0).mean()) == pytest.approx(spread, rel=0.05)


# The Gaussian toy: every number of x0 is normal around MEAN with variance VARIANCE, and y, which says nothing about it,
# is NOISY everywhere. The estimate is the exact mean of x0 given the state.
MEAN, VARIANCE, NOISY = -0.2, 0.25, 0.3


def exact_mean(process, y):
    """The mean of x0 given the state x at time t."""

    def estimate(x, t):
        t = torch.tensor(t, dtype=torch.float64)
        a, b = process.coefficients(t)
        spread = (process.std(t) * process.noise_scale) ** 2
        total = (a**2 * VARIANCE + spread).clamp_min(1e-30)
        return MEAN + a * VARIANCE / total * (x - a * MEAN - b * y)

    return estimate


def toy(sampler, process, steps, **settings):
    """(mean, variance) of 20000 samples."""
    y = torch.full((2, 2, 50, 100), NOISY, dtype=torch.float64)
    result = SAMPLERS[sampler](exact_mean(process, y), process, y, steps, draws(process, y), **settings)
    return float(result.mean()), float(result.var())


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampler, name, process_args, settings",
    [
        ("predictor_corrector", "ouve", {"t_eps": 1e-3}, {}),
        ("predictor_corrector", "ouve", {"t_eps": 1e-3}, {"corrector": "langevin", "snr": 0.16}),
        ("predictor_corrector", "bbed", {"t_eps": 1e-3}, {}),
        ("predictor_corrector", "bbed", {"t_eps": 1e-3}, {"corrector": "none"}),
        ("flow_euler", "flow_matching", {}, {}),
        ("heun", "edm", {"sigma_max": 80.0}, {}),
        ("heun", "edm", {"sigma_max": 80.0}, {"churn": 40.0}),
        ("edm_stochastic", "edm", {"sigma_max": 80.0}, {"churn": 10.0}),
        ("ddim", "ddpm", {}, {"eta": 1.0, "spacing": "trailing"}),
        ("ddim", "ddpm", {"beta_schedule": "cosine", "beta_max": 1.0}, {"eta": 0.5, "spacing": "trailing"}),
        *(("bridge_sde", bridge, {}, {}) for bridge in BRIDGES),
    ],
)
def test_many_steps_sample_the_distribution_of_the_data(sampler, name, process_args, settings):
    mean, variance = toy(sampler, PROCESSES[name](**process_args), 400, **settings)
    assert mean == pytest.approx(MEAN, abs=0.02)
    assert variance == pytest.approx(VARIANCE, rel=0.06)


@pytest.mark.parametrize("start", [None, 0.4])
def test_probability_flow_carries_what_the_start_gets_wrong(start):
    """The flow of Gaussians is affine: a start around y and not around the mean arrives off by the ratio of spreads."""
    process = PROCESSES["ouve"](t_eps=1e-3)
    t = torch.tensor(start or 1.0, dtype=torch.float64)
    a, spread = float(process.coefficients(t)[0]), float(process.std(t) * process.noise_scale) ** 2
    ratio = VARIANCE / (a**2 * VARIANCE + spread)
    mean, variance = toy("probability_flow", process, 200, start=start)
    assert mean == pytest.approx(MEAN + a * (NOISY - MEAN) * ratio**0.5, abs=0.02)
    assert variance == pytest.approx(spread * ratio, rel=0.04)


@pytest.mark.parametrize(
    "sampler, name, process_args, order",
    [
        ("flow_euler", "flow_matching", {"t_eps": 1e-5}, 1),
        ("heun", "edm", {"sigma_max": 5.0}, 2),
        ("probability_flow", "ouve", {"t_eps": 1e-5}, 2),
        ("edm_stochastic", "edm", {"sigma_max": 5.0}, 1),
    ],
)
def test_twice_the_steps_divide_the_error_by_two_to_the_order_of_the_method(sampler, name, process_args, order):
    """The flow of Gaussians is known: what is a spread of its time away from the mean ends a spread of the data away."""
    process = PROCESSES[name](**process_args)
    y = torch.full(SHAPE, NOISY, dtype=torch.float64)
    a, b = process.coefficients(torch.tensor(process.t_max, dtype=torch.float64))
    std = process.std(torch.tensor(process.t_max, dtype=torch.float64))
    z = draws(process, y)()
    spread = (a**2 * VARIANCE + (std * process.noise_scale) ** 2).sqrt()
    truth = MEAN + VARIANCE**0.5 * (y + std * z - a * MEAN - b * y) / spread
    errors = [
        float((SAMPLERS[sampler](exact_mean(process, y), process, y, steps, lambda: z) - truth).abs().max())
        for steps in (50, 100)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("name", BRIDGES)
@pytest.mark.parametrize("steps", [1, 5])
def test_bridge_ode_ends_on_the_mean_whatever_the_steps(name, steps):
    """It starts at y without noise, so all samples are one."""
    mean, variance = toy("bridge_ode", PROCESSES[name](), steps)
    assert mean == pytest.approx(MEAN, abs=1e-3) and variance == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("sampler, name", [("flow_euler", "flow_matching"), *(("bridge_sde", b) for b in BRIDGES)])
def test_few_steps_lack_variance(sampler, name):
    process = PROCESSES[name]()
    variances = [toy(sampler, process, steps)[1] for steps in (1, 2, 5, 30, 400)]
    assert variances[0] == pytest.approx(0, abs=1e-9)
    assert variances == sorted(variances) and variances[3] < 0.95 * VARIANCE


@pytest.mark.parametrize("name, start", [("ouve", 1.0), ("ouve", 0.3), ("bbed", 0.5)])
def test_one_predictor_step_is_off_by_the_known_amount(name, start):
    """One step is affine in the start: x - (f - g^2 s) t with s, the score of the toy, linear in x."""
    process, t = PROCESSES[name](), torch.tensor(start, dtype=torch.float64)
    (a, b), std, g = process.coefficients(t), float(process.std(t)), float(process.diffusion(t))
    pull = process.theta if name == "ouve" else 1 / (1 - start)
    stiffness = g**2 / float(a**2 * 2 * VARIANCE + std**2)  # variances of whole complex numbers
    gain = 1 + start * (pull - stiffness)
    expected = NOISY + start * stiffness * (float(a) * MEAN + float(b) * NOISY - NOISY)
    mean, variance = toy("predictor_corrector", process, 1, corrector="none", start=start)
    assert mean == pytest.approx(expected, abs=0.02 * max(1, abs(gain)))
    assert variance == pytest.approx((gain * std * process.noise_scale) ** 2, rel=0.04)


@pytest.mark.parametrize(
    "sampler, name, settings, word",
    [
        ("predictor_corrector", "ouve", {"corrector": "langevi"}, "choose from ald, langevin, none"),
        ("predictor_corrector", "bbed", {"start": 1.0}, "choose from above 0.03 to 0.999"),
        ("bridge_ode", "brownian_bridge", {"call_at": "now"}, "choose from earlier, later"),
        ("bridge_sde", "brownian_bridge", {"call_at": "now"}, "choose from earlier, later"),
    ],
)
def test_senseless_settings_are_refused_with_a_sentence(sampler, name, settings, word, noisy):
    process = PROCESSES[name]()
    with pytest.raises(UsageError, match=word):
        SAMPLERS[sampler](lambda x, t: x, process, noisy, 2, draws(process, noisy), **settings)
