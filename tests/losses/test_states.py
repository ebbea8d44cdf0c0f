"""What each loss shows to the network, and what it compares the answer with: states, times, targets and default settings."""

import random
from collections.abc import Callable

import pytest
import torch

from enhance_cli.losses import LOSSES
from enhance_cli.losses.hybrid_spectral import negative_si_snr
from enhance_cli.losses.scale_invariant import distance as scale_invariant
from enhance_cli.processes import PROCESSES
from enhance_cli.samplers.bridge_ode import sample

SHAPE = (64, 2, 3, 4)
DRAWN = [("data_prediction", "brownian_bridge"), ("score_matching", "ouve"), ("flow_matching", "flow_matching")]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    random.seed(0)


@pytest.fixture
def pair():
    return torch.randn(SHAPE), torch.randn(SHAPE)


class Network:
    """Answers every call with the state plus `offset`, and remembers states, times and whether gradients were on."""

    def __init__(self, offset: float = 0.0):
        self.offset, self.states, self.times, self.gradients = offset, [], [], []

    def __call__(self, x, t):
        self.states.append(x.detach().clone())
        self.times.append(torch.as_tensor(t).detach().clone())
        self.gradients.append(torch.is_grad_enabled())
        return x + self.offset


class Compared:
    """In place of a distance: remembers what it was asked to compare."""

    def __call__(self, estimate, target):
        self.estimate, self.target = estimate, target
        return (estimate - target).mean()


def nothing() -> torch.Tensor:
    return torch.zeros(SHAPE)


@pytest.mark.parametrize("name, process", DRAWN)
def test_the_state_leads_from_clean_to_noisy_and_each_item_of_a_batch_has_a_time_of_its_own(name, process, pair):
    process, network = PROCESSES[process](), Network()
    LOSSES[name](network, process, *pair, nothing, Compared())
    (state,), (times,) = network.states, network.times
    assert torch.allclose(state, process.mean(*pair, times), atol=1e-5)
    assert len(set(times.tolist())) > 20 and 0 < float((times < 0.5).float().mean()) < 1


def test_data_prediction_has_some_items_of_every_batch_at_the_noisy_end_and_others_down_to_2_percent():
    network, compared = Network(), Compared()
    x0, y = torch.randn(2, 20_000, 1, 1, 1)
    LOSSES["data_prediction"](network, PROCESSES["brownian_bridge"](), x0, y, lambda: torch.zeros_like(y), compared)
    times = network.times[0]
    assert 0.45 < float((times == 1).float().mean()) < 0.55
    assert 0.02 <= float(times.min()) < 0.021
    assert torch.equal(compared.estimate, network.states[0]) and torch.equal(compared.target, x0)


def consistency(pair, noise: Callable = nothing, **settings) -> tuple[Network, Network, Network, Compared]:
    student, teacher, average = Network(0.25), Network(1.0), Network(-1.0)
    compared = Compared()
    process = PROCESSES["flow_matching"]()
    LOSSES["consistency"](student, process, *pair, noise, compared, teacher, average, **settings)
    return student, teacher, average, compared


def test_consistency_moves_the_states_of_training_by_what_the_teacher_says_and_asks_the_average_there(pair):
    process, times = PROCESSES["flow_matching"](), torch.tensor(PROCESSES["flow_matching"]().levels(5))
    z = torch.randn(SHAPE)
    student, teacher, average, _ = consistency(pair, lambda: z, grid=5)
    (x,), (t,) = student.states, student.times
    assert torch.allclose(x, process.sample(*pair, t, z), atol=1e-5)
    assert torch.equal(teacher.states[0], x) and torch.equal(teacher.times[0], t)
    (after,) = average.times
    for item in range(SHAPE[0]):
        place = int((times - t[item]).abs().argmin())
        assert float(after[item]) == pytest.approx(float(times[min(place + 1, 4)]), abs=1e-6)
    inner = t > times[4] + 1e-6  # at the last step of the grid the average's answer is not used
    expected = process.deterministic_step(x, x + 1.0, pair[1], t, after)
    assert inner.any() and torch.allclose(average.states[0][inner], expected[inner], atol=1e-5)


def test_consistency_gives_no_gradient_to_teacher_and_average_and_trains_the_noisy_end_of_the_grid_too(pair):
    student, teacher, average, compared = consistency(pair)
    assert (student.gradients, teacher.gradients, average.gradients) == ([True], [False], [False])
    assert torch.equal(compared.estimate, student.states[0] + 0.25)
    levels = PROCESSES["flow_matching"]().levels(18)  # the default
    found = set()
    for _ in range(20):
        found |= {round(t, 4) for t in consistency(pair)[0].times[0].tolist()}
    assert found == {round(t, 4) for t in levels[:-1]}


@pytest.mark.parametrize("calls", [1, 3])
def test_reverse_process_refuses_a_sampler_whose_last_call_it_would_not_train(calls, pair):
    """With fewer calls than steps none would have a gradient, with more not the last one."""

    def other(estimate, process, y, steps, noise):
        for _ in range(calls):
            y = estimate(y, 1.0)
        return y

    with pytest.raises(ValueError, match=f"made {calls} calls in 2 steps"):
        LOSSES["reverse_process"](Network(), None, *pair, nothing, Compared(), other, steps=2, fewest=2)


def test_reverse_process_compares_the_result_with_the_clean_signal_after_one_to_three_steps(pair):
    process, seen = PROCESSES["brownian_bridge"](), set()
    for _ in range(40):
        network, compared = Network(), Compared()
        LOSSES["reverse_process"](network, process, *pair, nothing, compared, sample)
        seen.add(len(network.times))
        assert torch.equal(compared.target, pair[0]) and torch.equal(compared.estimate, network.states[-1])
    assert seen == {1, 2, 3}


def test_a_single_call_hears_the_noisy_signal_and_is_compared_with_the_clean_one(pair):
    network, compared = Network(0.5), Compared()
    LOSSES["single_call"](network, None, *pair, None, compared)
    assert torch.equal(network.states[0], pair[1]) and float(network.times[0]) == 0
    assert torch.equal(compared.estimate, pair[1] + 0.5) and torch.equal(compared.target, pair[0])


def test_cross_reconstruction_takes_the_angle_of_each_vector_to_its_own_and_a_tenth_of_it_by_default():
    x0 = torch.randn(6, 32)
    turned = torch.stack([-x0[0], *x0[1:]])  # one of six vectors points the other way
    run = lambda **settings: float(
        LOSSES["cross_reconstruction"](
            lambda x, t: turned, PROCESSES["ddpm"](), x0, x0, lambda: torch.zeros_like(x0), **settings
        )
    )
    plain = run(cosine=0.0)
    assert run(cosine=1.0) - plain == pytest.approx(2 / 6, abs=1e-5)
    assert run() - plain == pytest.approx(0.2 / 6, abs=1e-5)


def test_cross_reconstruction_asks_for_no_time_that_a_short_process_lacks():
    network = Network()
    y = torch.zeros(2000, 2)
    LOSSES["cross_reconstruction"](network, PROCESSES["ddpm"](count=100), y, y, lambda: torch.zeros_like(y), near=1.0)
    assert float(network.times[0].max()) == 99


@pytest.mark.parametrize("level, counts", [(1e-3, True), (3e-5, False)])
def test_si_snr_counts_quiet_items_and_leaves_out_silent_ones(level, counts):
    """An item at -60 dB is quiet speech, one at -90 dB is silence."""
    loud, quiet = torch.randn(2, 1, 4096)
    target, off = torch.cat([loud, level * quiet]), torch.tensor([[0.1], [1.0]])
    found = float(negative_si_snr(target + off * target.roll(7, 1), target))
    assert found == pytest.approx(-1.0 if counts else -2.0, abs=0.15)


@pytest.mark.parametrize("level, counts", [(0.012, True), (0.008, False)])
def test_scale_invariant_leaves_out_stems_40_db_below_the_mix(level, counts):
    time = torch.arange(4000) * 2 * torch.pi / 40
    target = torch.stack([time.sin(), level * 2**0.5 * time.sin()])
    estimate = torch.stack([time.sin(), time.cos()])
    assert float(scale_invariant(estimate, target)) == pytest.approx(0.0 if counts else -3.0, abs=0.01)
