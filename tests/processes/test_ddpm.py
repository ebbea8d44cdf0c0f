"""DDPM and DDIM against the published schedule and sampler of SEED (tests/golden), and at their ends."""

import numpy as np
import pytest
import torch

from enhance_cli.errors import UsageError
from enhance_cli.networks import NETWORKS
from enhance_cli.processes.ddpm import DDPM, _schedule_on
from enhance_cli.samplers.ddim import sample
from tests import golden_numbers as golden
from tests.golden_numbers import load, rel_l2, rnormal


def test_the_schedule_is_the_published_one():
    expected, _ = load("seed_rdm_mlp_D192")
    t, process = torch.from_numpy(expected["acp_t"]).float(), DDPM()
    assert np.allclose(process.coefficients(t)[0].square().numpy(), expected["acp"], rtol=3e-7, atol=0)
    assert np.allclose(process.std(t).square().numpy(), 1 - expected["acp"].astype(np.float64), rtol=3e-7, atol=0)
    assert float(process.coefficients(torch.tensor(50.0))[0]) ** 2 == pytest.approx(0.990844, abs=5e-7)
    assert float(process.coefficients(torch.tensor(-1.0))[0]) == 1


def test_nothing_in_double_precision_goes_to_a_device():
    """Apple's GPUs have none."""
    assert _schedule_on(1e-4, 0.02, 1000, torch.device("meta")).dtype == torch.float32


def test_times_of_several_steps():
    process = DDPM()
    assert process.levels(20) == [*range(950, -1, -50), -1]
    assert process.levels(1, 50) == [50, -1]
    assert process.levels(5, 50) == [50, 40, 30, 20, 10, -1]
    for steps, start in ((1001, None), (12, 10), (1, 1000), (1, -2)):
        with pytest.raises(UsageError, match="time"):
            process.levels(steps, start)


def test_times_by_the_spacing():
    """Of AudioSR's published spacing 30 steps are 31, and 3 do not exist."""
    process = DDPM()
    assert process.levels(4, spacing="trailing") == [999, 749, 499, 249, -1]
    assert process.levels(2, 499, spacing="trailing") == [499, 249, -1]
    assert process.levels(4, spacing="uniform") == [751, 501, 251, 1, 0]
    assert process.levels(1, 1, spacing="uniform") == [1, 0] and process.levels(1, 500, spacing="uniform") == [500, 0]
    assert process.levels(2, 500, spacing="uniform") == [500, 1, 0]
    assert process.levels(3, spacing="trailing") == [999, 666, 332, -1]  # as Lin et al. round them
    assert process.levels(3, 50) == [50, 33, 17, -1]
    assert len(process.levels(10, 10, spacing="uniform")) == 11
    with pytest.raises(UsageError, match="11 steps: there are only 10 times to stop at"):
        process.levels(11, 10, spacing="uniform")
    assert len(process.levels(30, spacing="uniform")) == 32
    with pytest.raises(UsageError, match="3 steps: the published spacing has no such number"):
        process.levels(3, spacing="uniform")
    with pytest.raises(UsageError, match="choose from leading, trailing, uniform"):
        process.levels(3, spacing="even")


@pytest.mark.parametrize(
    "name, process",
    [
        ("audiosr_cosine", DDPM(beta_schedule="cosine", beta_max=1.0)),
        ("flashsr_cosine", DDPM(beta_schedule="cosine", beta_max=0.999)),
        ("audioldm_linear", DDPM(beta_min=0.0015, beta_max=0.0195)),
    ],
)
def test_schedules_of_latent_models_are_the_published_ones(name, process):
    expected, _ = load("latent_schedule")
    t, kept = torch.from_numpy(expected["t"]).double(), expected[f"f64_{name}_alphas_cumprod"]
    assert np.allclose(process.coefficients(t)[0].square().numpy(), kept, rtol=3e-5, atol=1e-9)
    assert np.allclose(process.std(t).square().numpy(), 1 - kept, rtol=3e-5, atol=0)
    assert np.allclose(process.diffusion(t).square().numpy(), expected[f"f64_{name}_beta"], rtol=5e-3, atol=0)


def test_times_between_steps_are_rounded_to_the_nearest_one():
    rounded = DDPM().std(torch.tensor([49.6, 50.4, -0.6, 999.4]))
    assert torch.equal(rounded, DDPM().std(torch.tensor([50.0, 50.0, -1.0, 999.0])))


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="beta_schedule 'sine' is none of scaled_linear, cosine"):
        DDPM(beta_schedule="sine")


@pytest.mark.parametrize("dimension", [192, 256, 512])
@torch.inference_mode()
def test_sampling_is_what_the_published_program_computes(dimension):
    expected, about = load(f"seed_rdm_mlp_D{dimension}")
    network = NETWORKS["rdm_mlp"](dimension=dimension).eval()
    network.load_state_dict(golden.weights(network.state_dict()))
    given = torch.from_numpy(rnormal(f"seed_e_{dimension}", (4, dimension), 3.0))
    y = given / given.norm(dim=1, keepdim=True) * dimension**0.5
    tolerance = about["tolerance"]["rel_l2"]
    assert rel_l2(y.numpy(), expected["norm"]) < tolerance
    noise, none = (lambda: torch.from_numpy(rnormal("noise0", (4, dimension)))), (lambda: torch.zeros(4, dimension))
    estimate = lambda x, t: network(x, y, torch.full((4,), float(t)))
    run = lambda steps, noise, **more: sample(estimate, DDPM(), y, steps, noise, **more).numpy()
    assert rel_l2(run(1, none, start=50), expected["onestep_eps0"]) < tolerance
    assert rel_l2(run(1, noise, start=50), expected["onestep_noise"]) < tolerance
    assert DDPM().levels(20)[:-1] == expected["ddim_timesteps"].tolist()
    assert rel_l2(run(20, noise, limit=3 * dimension**0.5), expected["ddim20"]) < tolerance


def test_mean_and_spread_follow_from_the_variance_added_per_step():
    process, x0 = DDPM(), torch.ones(3, 1, dtype=torch.float64)
    t = torch.tensor([0.0, 50.0, 999.0], dtype=torch.float64)
    beta = process.diffusion(t) ** 2
    mean, before = (process.mean(x0, x0, time)[:, 0] for time in (t, t - 1))
    assert torch.allclose(mean, (1 - beta).sqrt() * before, rtol=1e-6)
    assert torch.allclose(process.std(t) ** 2, (1 - beta) * process.std(t - 1) ** 2 + beta, rtol=1e-6)
    drift = process.drift(before[:, None], x0, t)[:, 0]  # of the SDE that has these steps as its limit
    assert torch.allclose(drift, mean - before, rtol=0.01)
