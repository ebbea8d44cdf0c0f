"""One step of training, number by number: what is drawn, how far the weights may move, and how their average follows them."""

import random
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch

from enhance_cli.training.parallel import Ranks
from enhance_cli.training.stage import Stage, TrainPart
from enhance_cli.training.state import MovingAverage
from enhance_cli.training.step import NotFiniteError, TrainStep

CPU = torch.device("cpu")
STAGE = Stage("data_prediction", steps=10, lr=0.01, ema=0.9)


class Slope:
    """Two weights whose gradient is the batch itself; the loss writes down what it was given to draw from."""

    seconds = None

    def __init__(self, **settings):
        self.recipe, self.device = SimpleNamespace(train=TrainPart(**settings)), CPU
        self.trained = torch.nn.Linear(2, 1, bias=False)
        torch.nn.init.ones_(self.trained.weight)
        self.model = SimpleNamespace(network=self.trained, precision="fp32")
        averaged = torch.nn.Linear(2, 1, bias=False)
        averaged.load_state_dict(self.trained.state_dict())
        self.average = MovingAverage(averaged)
        self.drawn = []

    def loss(self, stage, batch):
        self.drawn.append((torch.rand(1).item(), random.random()))
        return self.trained(batch).mean()


def made(number: int = 0, **settings) -> tuple[Slope, TrainStep]:
    task, ranks = Slope(**settings), Ranks(CPU)
    ranks.number = number
    return task, TrainStep(task, ranks)


def draws(steps, number: int = 0, **settings) -> list[tuple[float, float]]:
    task, train_step = made(number, **settings)
    for step in steps:
        train_step.step(step, STAGE, 0.01, [[torch.ones(1, 2)]])
    return task.drawn


def gradient(*batches, **settings) -> torch.Tensor:
    task, train_step = made(**settings)
    train_step.step(0, STAGE, 0.01, [[torch.tensor([batch])] for batch in batches])
    return task.trained.weight.grad[0]


def test_every_step_draws_times_and_noises_of_its_own():
    for column in zip(*draws(range(20))):
        assert len(set(column)) == 20


def test_a_step_draws_the_same_whenever_it_is_taken_and_another_seed_draws_otherwise():
    assert draws([7]) == draws([3, 5, 7])[2:]
    for one, other in zip(draws([7])[0], draws([7], seed=1)[0], strict=True):
        assert one != other


def test_processes_draw_noises_of_their_own_but_agree_on_what_sets_the_cost():
    (noise, choice), (other_noise, other_choice) = draws([7], number=0)[0], draws([7], number=1)[0]
    assert noise != other_noise and choice == other_choice


def test_a_gradient_beyond_the_limit_is_clipped_to_it_and_one_below_is_left_alone():
    assert gradient([300.0, 400.0], clip_norm=5.0).tolist() == pytest.approx([3.0, 4.0], rel=1e-5)
    assert gradient([0.3, 0.4], clip_norm=5.0).tolist() == pytest.approx([0.3, 0.4])


def test_several_batches_of_a_step_count_as_their_mean():
    assert gradient([1.0, 0.0], [0.0, 3.0]).tolist() == pytest.approx([0.5, 1.5])
    task, train_step = made()
    assert train_step.step(0, STAGE, 0.01, [[torch.ones(1, 2)], [3 * torch.ones(1, 2)]]) == pytest.approx(4.0)


def test_weights_move_by_the_learning_rate_of_this_very_step_from_the_gradient_of_this_step_alone():
    task, train_step = made(weight_decay=0.0)
    train_step.step(0, STAGE, 0.25, [[torch.tensor([[1.0, -1.0]])]])
    assert task.trained.weight[0].tolist() == pytest.approx([0.75, 1.25])  # Adam's first step is the rate itself
    train_step.step(1, STAGE, 0.0, [[torch.tensor([[2.0, -2.0]])]])
    assert task.trained.weight[0].tolist() == pytest.approx([0.75, 1.25])
    assert task.trained.weight.grad[0].tolist() == pytest.approx([2.0, -2.0])


def test_weights_decay_at_the_rate_of_the_recipe():
    task, train_step = made(weight_decay=0.5)
    train_step.step(0, STAGE, 0.1, [[torch.tensor([[0.0, 0.0]])]])
    assert task.trained.weight[0].tolist() == pytest.approx([0.95, 0.95])


def test_a_loss_that_is_not_finite_does_not_reach_the_weights():
    task, train_step = made()
    with pytest.raises(NotFiniteError, match="not finite at batch 3"):
        train_step.step(3, STAGE, 0.01, [[torch.tensor([[float("nan"), 1.0]])]])
    assert task.trained.weight[0].tolist() == [1.0, 1.0]


def test_a_step_of_several_batches_is_named_with_them():
    _, train_step = made(accumulate=3)
    assert train_step.name(4) == "step 4 (batches 12 to 14)" and made()[1].name(4) == "batch 4"


def test_batch_normalization_learns_its_statistics_unless_the_stage_fixes_them():
    task, train_step = made()
    train_step.step(0, STAGE, 0.01, [[torch.ones(1, 2)]])
    assert task.trained.training
    train_step.step(0, Stage("data_prediction", 10, 0.01, fixed_statistics=True), 0.01, [[torch.ones(1, 2)]])
    assert not task.trained.training


def test_the_average_follows_every_step():
    task, train_step = made()
    train_step.step(0, STAGE, 0.25, [[torch.tensor([[1.0, -1.0]])]])
    assert task.average.values["weight"].tolist() != [[1.0, 1.0]]


class Counted(torch.nn.Module):
    """A weight, and a count of calls as batch normalization keeps one."""

    def __init__(self, value: float, count: int):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([value]))
        self.register_buffer("count", torch.tensor(count))


def test_the_average_forgets_the_weights_of_the_beginning_within_a_few_steps():
    """Without a warm-up a tenth of the random first weights would still be in it after 2000 steps of decay 0.999."""
    average = MovingAverage(Counted(1.0, 0))
    average.update(Counted(0.0, 5), 0.999)
    assert float(average.values["weight"]) == pytest.approx(2 / 11)
    average.update(Counted(0.0, 6), 0.999)
    assert float(average.values["weight"]) == pytest.approx(2 / 11 * 3 / 12)
    for _ in range(50):
        average.update(Counted(0.0, 6), 0.999)
    assert float(average.values["weight"]) < 1e-6
    assert int(average.values["count"]) == 6


def test_the_average_keeps_the_decay_of_its_stage_once_it_has_warmed_up():
    average = MovingAverage(Counted(1.0, 0))
    average.updates = 100_000
    average.update(Counted(0.0, 0), 0.9)
    assert float(average.values["weight"]) == pytest.approx(0.9)


def test_an_average_with_a_share_of_the_start_lies_between_the_two():
    network = torch.nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(1.0)
    average = MovingAverage(deepcopy(network), start_share=0.25)
    network.weight.data.fill_(5.0)
    for _ in range(200):
        average.update(network, 0.5)
    assert average.values["weight"].item() == pytest.approx(4.0)
