"""The samplers on noise levels against the numbers of the published code of DiCoSe, with its draws (tests/golden)."""

import pytest
import torch

from enhance_cli.models.load import times_like
from enhance_cli.models.prediction import Prediction
from enhance_cli.processes import PROCESSES
from enhance_cli.samplers import SAMPLERS, heun
from tests.golden_numbers import load, rel_l2, rnormal

SHAPE = (2, 1, 64)
EDM = {"input_scaling": "edm_in", "time": "ln/4", "sigma_data": 0.2}
DENOISER = Prediction(**EDM, skip="edm_skip", out="edm_out")
CONSISTENCY = Prediction(**EDM, skip="consistency_skip", out="consistency_out", sigma_min=1e-4)


def draws(numbers):
    """Published draw i is rnormal("noise" + i); `numbers` leaves out those that the published code throws away."""
    numbers = iter(numbers)
    return lambda: torch.from_numpy(rnormal(f"noise{next(numbers)}", SHAPE))


def network(u, _, t):
    t = t.reshape(-1, 1, 1)
    return 0.3 * u * t.cos() + 0.5 * (3 * t).sin() * u.tanh() + 0.1


def estimate(prediction, process):
    return lambda x, t: prediction.estimate(network, process, x, x, times_like(t, x))


def det():
    return torch.from_numpy(rnormal("edm_det", SHAPE, 0.2))


def check(out, golden, about):
    assert rel_l2(out, golden) < about["tolerance"]["rel_l2"]


def test_preconditioning_and_consistency_function():
    golden, about = load("consistency_function")
    process, x = PROCESSES["edm"](), torch.from_numpy(rnormal("cm_x", SHAPE, 0.2))
    for i, sigma in enumerate(about["sigmas"]):
        t = torch.full((2,), sigma)
        check(estimate(CONSISTENCY, process)(x, t), golden["f_cm"][i], about)
        check(estimate(DENOISER, process)(x, t), golden["D_edm"][i], about)
    at_the_end = estimate(CONSISTENCY, process)(x, torch.full((2,), 1e-4))
    assert torch.allclose(at_the_end, x, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "item, sigma_max, rounds, churn",
    [
        ("sampler_edm_msdm_N3_R2", 1.0, 2, 20.0),
        ("sampler_edm_msdm_N3_R2_smax0.01", 0.01, 2, 20.0),
        ("sampler_edm_msdm_N4_R1_churn1", 0.5, 1, 1.0),
    ],
)
def test_stochastic_sampler_with_rounds(item, sigma_max, rounds, churn):
    golden, about = load(item)
    process, mean = PROCESSES["edm"](), torch.from_numpy(golden["mu"])
    steps, per_step = about["N"], 2 * rounds  # one draw thrown away, then churn and going back up between rounds
    kept = [0] + [1 + per_step * step + draw for step in range(steps) for draw in range(1, per_step)]

    def gaussian(x, t):
        t = torch.tensor(t)
        return (0.04 * x + t**2 * mean) / (0.04 + t**2)

    settings = {"start": sigma_max, "churn": churn, "rounds": rounds, "limit": 1.0}
    y = torch.from_numpy(golden["x_det"])
    out = SAMPLERS["edm_stochastic"](gaussian, process, y, steps, draws(kept), **settings)
    assert process.levels(steps, sigma_max) == pytest.approx(golden["sigmas"].tolist(), rel=1e-5)
    check(out.clamp(-1, 1), golden["out"], about)


@pytest.mark.parametrize("item, churn", [("sampler_heun_N6", 0.0), ("sampler_heun_churn_N6", 2.0)])
def test_heun(item, churn):
    golden, about = load(item)
    process = PROCESSES["edm"]()
    out = SAMPLERS["heun"](estimate(DENOISER, process), process, det(), 6, draws(range(7)), start=1.0, churn=churn)
    check(out, golden["out"], about)


def test_heun_from_any_place_of_the_teachers_grid_to_any_other():
    golden, about = load("teacher_heun_jump")
    process = PROCESSES["edm"]()
    grid = process.levels(18)[:-1]
    assert grid == pytest.approx(golden["grid"].tolist(), rel=1e-5)
    teacher = estimate(DENOISER, process)
    for i, (first, jumps) in enumerate([(3, 1), (5, 4), (0, 17)]):
        x = torch.from_numpy(golden[f"x_start_{i}"])
        for t, r in zip(grid[first : first + jumps], grid[first + 1 :]):
            x = heun.step(teacher, x, t, r)
        check(x, golden[f"x_end_{i}"], about)


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("renoise", ["every", "legacy"])
def test_consistency(steps, renoise):
    golden, about = load(f"sampler_consistency_n{steps}")
    process = PROCESSES["edm"]()
    run = lambda n: SAMPLERS["consistency"](
        estimate(CONSISTENCY, process), process, det(), n, draws(range(9)), start=about["sigma0"], renoise=renoise
    )
    check(run(steps), golden["out_corrected" if renoise == "every" else "out_legacy"], about)
    check(run(1), golden["out_onestep"], about)
    assert process.consistency_times(steps, about["sigma0"]) == pytest.approx(
        golden["sigmas"][: steps + 1].tolist(), rel=1e-5
    )
