"""Which stage a step belongs to and its learning rate, at the borders, and settings that are refused."""

import pytest

from enhance_cli.ranges import OutOfRange
from enhance_cli.training.stage import Stage, TrainPart, schedule

FIRST = Stage("data_prediction", steps=100, lr=1e-2, lr_end=1e-4, warmup=10)
SECOND = Stage("reverse_process", steps=50, lr=1e-3, lr_end=0.0, warmup=0)


def rate(step: int, *stages: Stage) -> float:
    return schedule(stages or [FIRST, SECOND], step)[1]


def test_a_stage_begins_where_the_one_before_has_ended():
    assert [schedule([FIRST, SECOND], step)[0] for step in (0, 99, 100, 149)] == [0, 0, 1, 1]


def test_steps_beyond_the_last_stage_stay_at_its_last_rate():
    assert schedule([FIRST, SECOND], 150) == (1, pytest.approx(0.0, abs=1e-12))
    assert schedule([FIRST], 100_000) == (0, pytest.approx(1e-4))


def test_the_rate_rises_evenly_to_that_of_the_stage_during_its_warm_up():
    assert rate(0) == pytest.approx(0.1 * 1e-2) and rate(9, FIRST) / rate(4, FIRST) == pytest.approx(2, rel=0.05)
    assert rate(0, Stage("x", 1000, 1.0, 0.0, warmup=1)) == pytest.approx(1.0)


def test_the_rate_falls_by_a_cosine_from_that_of_the_stage_to_its_end():
    assert rate(50) == pytest.approx((1e-2 + 1e-4) / 2)
    assert rate(25) == pytest.approx(1e-4 + (1e-2 - 1e-4) * (2 + 2**0.5) / 4)
    assert rate(99) == pytest.approx(1e-4, rel=0.03)
    assert rate(100) == pytest.approx(1e-3) and rate(125) == pytest.approx(5e-4)


def test_a_stage_of_no_steps_has_its_own_rate_and_is_left_at_once():
    assert schedule([Stage("x", 0, 1e-2, warmup=0), SECOND], 0) == (1, pytest.approx(1e-3))


@pytest.mark.parametrize(
    "wrong", [{"steps": -1}, {"lr": -0.1}, {"lr": 1.1}, {"lr_end": 2}, {"warmup": -1}, {"ema": 1.5}]
)
def test_a_stage_that_makes_no_sense_is_refused_by_the_name_of_its_setting(wrong):
    with pytest.raises(OutOfRange) as refused:
        Stage(**{"loss": "x", "steps": 1, "lr": 0.1} | wrong)
    assert next(iter(wrong)) in str(refused.value) + str(vars(refused.value))


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"accumulate": 0}, {"validate_every": 0}, {"precision": "fp8"}, {"weight_decay": -1},
     {"clip_norm": -1}, {"seed": -1}, {"workers": -1}],
)  # fmt: skip
def test_settings_of_training_that_make_no_sense_are_refused_by_name(wrong):
    with pytest.raises(OutOfRange) as refused:
        TrainPart(**wrong)
    assert next(iter(wrong)) in str(refused.value) + str(vars(refused.value))
