"""Score matching, flow matching and the published form of CRP: zero for a perfect network, their formulas, and gradients."""

import random
from functools import partial

import pytest
import torch

from enhance_cli.losses import LOSSES, PAIRINGS
from enhance_cli.processes import PROCESSES
from enhance_cli.samplers import SAMPLERS

SHAPE = (3, 2, 6, 5)
CRP = partial(SAMPLERS["predictor_corrector"], corrector="none", start=0.5)
BRIDGES = ("brownian_bridge", "schroedinger_bridge_ve", "schroedinger_bridge_vp")
PUBLISHED = [("score_matching", "ouve"), ("score_matching", "bbed"), ("flow_matching", "flow_matching")]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    random.seed(0)


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(SHAPE, generator=generator) for _ in range(2))


def draw(process):
    return process.noise_scale * torch.randn(SHAPE)


@pytest.mark.parametrize("name, process", PUBLISHED)
def test_perfect_network_has_no_loss_and_any_other_has(name, process, pair):
    process, (x0, y) = PROCESSES[process](), pair

    def value(estimate):
        torch.manual_seed(0)  # the same times and draws every time
        return float(LOSSES[name](estimate, process, x0, y, lambda: draw(process)))

    assert value(lambda x, t: x0) == pytest.approx(0, abs=1e-8)
    assert value(lambda x, t: x0 + 0.01) > 1e-3
    assert value(lambda x, t: y) > value(lambda x, t: 0.9 * x0 + 0.1 * y)


@pytest.mark.parametrize("name, process", PUBLISHED)
def test_times_are_those_of_the_process(name, process, pair):
    process, (x0, y), times = PROCESSES[process](), pair, []

    def estimate(x, t):
        times.extend(t.tolist())
        return x0

    for _ in range(300):
        LOSSES[name](estimate, process, x0, y, lambda: draw(process))
    assert process.t_eps <= min(times) < 0.05 and 0.97 < max(times) <= process.t_max


@pytest.mark.parametrize("settings, shortest", [({}, 0.02), ({"t_eps": 0.3}, 0.3)])
def test_times_of_data_prediction_reach_from_its_own_t_eps_to_the_noisy_end(settings, shortest, pair):
    process, (x0, y), times = PROCESSES["schroedinger_bridge_ve"](), pair, []
    distance = lambda a, b: (a - b).abs().mean()

    def estimate(x, t):
        times.extend(t.tolist())
        return x0

    for _ in range(300):
        LOSSES["data_prediction"](estimate, process, x0, y, lambda: draw(process), distance, **settings)
    assert shortest <= min(times) < shortest + 0.02 and times.count(1.0) == pytest.approx(450, abs=75)


def test_score_matching_is_half_the_squared_error_of_the_scaled_score(pair):
    """A network that gives the score s has the loss 1/2 sum |std s + z|^2, averaged over the batch."""
    process, (x0, y) = PROCESSES["ouve"](t_eps=0.5, t_max=0.5), pair
    t, z = torch.full((3,), 0.5), draw(process)
    s = -3 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(4))

    def estimate(x, t):
        a, b = (c[:, None, None, None] for c in process.coefficients(t))
        return (x + process.std(t)[:, None, None, None] ** 2 * s - b * y) / a

    expected = 0.5 * (process.std(t)[0] * s + z).square().sum() / 3
    assert float(LOSSES["score_matching"](estimate, process, x0, y, lambda: z)) == pytest.approx(float(expected), 1e-5)


def test_flow_matching_is_half_the_squared_error_of_the_velocity(pair):
    process, (x0, y), z = PROCESSES["flow_matching"](t_eps=0.4, t_max=0.4), pair, torch.randn(SHAPE)
    v = torch.randn(SHAPE, generator=torch.Generator().manual_seed(4))
    expected = 0.5 * (v - (y - x0 + process.sigma_max * z)).square().sum() / 3
    loss = LOSSES["flow_matching"](lambda x, t: x - 0.4 * v, process, x0, y, lambda: z)
    assert float(loss) == pytest.approx(float(expected), 1e-5)


@pytest.mark.parametrize("steps", [1, 3])
def test_published_crp_trains_the_last_call_only(steps, pair):
    """The last call's gradient is that of x - (f - g^2 s) t with everything before it fixed."""
    process, (x0, y), tracked = PROCESSES["bbed"](), pair, []
    weight = torch.full((1,), 0.8, requires_grad=True)

    def estimate(x, t):
        tracked.append((float(t), x.detach().clone(), torch.is_grad_enabled(), x.requires_grad))
        return weight * y

    loss = LOSSES["reverse_process"](
        estimate, process, x0, y, lambda: draw(process), None, CRP, steps=steps, fewest=steps, squared=True
    )
    loss.backward()
    assert [t for t, *_ in tracked] == pytest.approx(process.levels(steps, 0.5)[:-1])
    assert [flags for _, _, *flags in tracked] == [[False, False]] * (steps - 1) + [[True, False]]
    last, x, *_ = tracked[-1]
    t = torch.full((3,), last)
    a, std, g = 1 - last, float(process.std(t)[0]), float(process.diffusion(t)[0])
    score = (a * 0.8 * y + last * y - x) / std**2
    result = x - ((y - x) / (1 - last) - g**2 * score) * last
    assert float(loss.detach()) == pytest.approx(0.5 * float((result - x0).square().sum()) / 3, 1e-4)
    slope = ((result - x0) * g**2 * last * a / std**2 * y).sum() / 3
    assert float(weight.grad) == pytest.approx(float(slope), 1e-4)


def test_reverse_process_draws_the_number_of_steps_and_takes_a_distance(pair):
    process, (x0, y), seen = PROCESSES["bbed"](), pair, set()

    def sample(estimate, process, y, steps, noise):
        seen.add(steps)
        return CRP(estimate, process, y, steps, noise)

    for _ in range(60):
        value = LOSSES["reverse_process"](
            lambda x, t: x0, process, x0, y, lambda: draw(process), lambda a, b: torch.tensor(7.0), sample,
            steps=4, fewest=2,
        )  # fmt: skip
        assert value == 7.0
    assert seen == {2, 3, 4}


def test_reverse_process_refuses_samplers_with_more_calls_than_steps(pair):
    process, sample = PROCESSES["bbed"](), partial(SAMPLERS["predictor_corrector"], corrector="ald")
    with pytest.raises(ValueError, match="4 calls in 2 steps"):
        LOSSES["reverse_process"](
            lambda x, t: x, process, *pair, lambda: draw(process), None, sample, steps=2, fewest=2
        )


def mean_ends_at_the_noisy(process, x0, y):
    return torch.allclose(process.mean(x0, y, process.t_max), y, atol=1e-6)


def paths_are_straight(process, x0, y):
    z, later, t = draw(process), 0.6, 0.4
    x, moved = (process.sample(x0, y, torch.full((3,), at), z) for at in (t, later))
    return torch.allclose((moved - x) / (later - t), (x - x0) / t, atol=1e-4)


def noise_is_at_every_time(process, x0, y):
    return bool((process.std(torch.linspace(process.t_eps, process.t_max, 50)) > 1e-3).all())


@pytest.mark.parametrize("process", ["ouve", "bbed", "flow_matching", *BRIDGES])
@pytest.mark.parametrize(
    "loss, holds",
    [
        ("data_prediction", mean_ends_at_the_noisy),
        ("flow_matching", paths_are_straight),
        ("score_matching", noise_is_at_every_time),
    ],
)
def test_losses_are_paired_with_the_processes_that_their_formulas_hold_for(loss, holds, process, pair):
    assert holds(PROCESSES[process](), *pair) == (process in PAIRINGS[loss])


def test_every_loss_is_paired_with_processes_that_there_are():
    assert PAIRINGS.keys() == set(LOSSES)
    known = {*PROCESSES, ""}  # "": networks that are called once have none
    assert all(processes and processes <= known for processes in PAIRINGS.values())
