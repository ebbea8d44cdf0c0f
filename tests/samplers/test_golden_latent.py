"""DDIM, guidance, masked sampling and SDEdit against the numbers of AudioSR's and AudioLDM's code (tests/golden)."""

from functools import partial
from itertools import count

import pytest
import torch

from enhance_cli.models.convert.flashsr import PROCESS
from enhance_cli.models.guidance import guided
from enhance_cli.models.load import times_like
from enhance_cli.models.masked import masked
from enhance_cli.models.prediction import Prediction
from enhance_cli.models.sampling import Sampling, prepare
from enhance_cli.models.spec import Spec
from enhance_cli.processes import PROCESSES
from enhance_cli.samplers import SAMPLERS
from enhance_cli.samplers.ddim import step
from tests.golden_numbers import load, rel_l2, rnormal

SHAPE = (2, 4, 8, 6)
NULL = -11.4981 * 0.3342
V, NOISE = Prediction(kind="v"), Prediction(kind="score", sign=-1.0, output_scaling="1/sigma")
COSINE = PROCESSES["ddpm"](beta_schedule="cosine", beta_max=1.0)
LINEAR = PROCESSES["ddpm"](beta_min=0.0015, beta_max=0.0195)
published = partial(SAMPLERS["ddim"], spacing="uniform", eta=1.0)


def draws(names=None):
    """Published draw i is rnormal("noise" + i)."""
    names = count() if names is None else names
    return lambda: torch.from_numpy(rnormal(f"noise{next(names)}", SHAPE))


def toy(prediction, process, null, weight, times=None):
    """The published toy network under its condition, guided."""
    condition = torch.from_numpy(rnormal("latent_ddim_c", SHAPE))

    def network(x, c, t):
        return 0.4 * x * (t.reshape(-1, 1, 1, 1) / 300).cos() - 0.6 * c + 0.2 * (2 * x).sin()

    def under(c):
        return lambda x, t: prediction.estimate(network, process, x, c, times_like(t, x))

    estimate = guided(under(condition), under(torch.full(SHAPE, null)), weight)
    times = [] if times is None else times
    return lambda x, t: times.append(t) or estimate(x, t)


@pytest.mark.parametrize("item, eta", [("S10_eta0", 0.0), ("S10_eta1", 1.0), ("S30_eta1_w1", 1.0), ("S50_eta1", 1.0)])
def test_ddim_with_guidance_on_v_predictions(item, eta):
    golden, about = load(f"sampler_latent_ddim_{item}")
    times = []
    estimate = toy(V, COSINE, NULL, about["guidance"], times)
    out = published(estimate, COSINE, torch.zeros(SHAPE), about["S"], draws(), eta=eta)
    assert rel_l2(out, golden["out"]) < about["tolerance"]["rel_l2"]
    assert times == golden["call_t"].tolist()


def test_the_single_step_of_flashsr():
    """Its program takes it by a solver of higher order, which is the same for one step."""
    golden, about = load("flashsr_onestep")
    times: list[float] = []
    process = PROCESSES["ddpm"](**PROCESS)
    estimate = toy(V, process, NULL, 1.0, times)
    out = SAMPLERS["ddim"](estimate, process, torch.zeros(SHAPE), 1, draws(), spacing="trailing")
    assert rel_l2(out, golden["out_1"]) < about["tolerance"]["rel_l2"]
    assert times == golden["calls_1"].tolist()


@pytest.mark.parametrize("name", ["time", "freq", "both"])
def test_masked_sampling(name):
    """Published code also steps the known part. Ours keeps it, so its step is made here from what the network saw."""
    golden, about = load("sampler_latent_masked")
    known = torch.from_numpy(rnormal("latent_mask_x0", SHAPE))
    mask = torch.from_numpy(golden[f"{name}_mask"]) == 1
    model, seen = toy(NOISE, LINEAR, 0.0, about["guidance"]), []

    def recorded(x, t):
        seen.append((x, model(x, t)))
        return seen[-1][1]

    start, noise = torch.zeros(SHAPE), draws()
    estimate = masked(recorded, LINEAR, start, known=known, mask=mask, noise=noise)
    out = published(estimate, LINEAR, start, about["S"], noise)
    last = step(LINEAR, *seen[-1], start, 1.0, 0.0, eta=1.0, noise=draws(iter([about["noise_calls"] - 1])))
    assert rel_l2(last, golden[f"{name}_out"]) < about["tolerance"]["rel_l2"]
    made = ~mask.expand(SHAPE)
    assert rel_l2(out[made], golden[f"{name}_out"][made]) < about["tolerance"]["rel_l2"]
    clean_end = SAMPLERS["ddim"](estimate, LINEAR, start, about["S"], noise, spacing="trailing", eta=1.0)
    assert torch.equal(clean_end[~made], known[~made])


@pytest.mark.parametrize("strength", ["0.3", "0.5", "0.9"])
def test_sdedit(strength):
    golden, about = load("sampler_latent_sdedit")
    given, times = torch.from_numpy(rnormal("latent_mask_x0", SHAPE)), []
    estimate = toy(NOISE, LINEAR, 0.0, about["guidance"], times)
    settings = {"ddim": {"spacing": "uniform", "eta": 1.0}}
    spec = Spec("edit", "latent_unet", "ddpm", samplers=("ddim",), sampler_args=settings, max_steps=10)
    steps, sample = prepare(spec, LINEAR, Sampling(about["S"], settings={"strength": float(strength)}))
    out = sample(estimate, LINEAR, given, steps, draws())
    assert rel_l2(out, golden[f"matched_{strength}"]) < about["tolerance"]["rel_l2"]
    assert sorted(times) == sorted(golden[f"calls_{strength}"].tolist())
