"""The samplers against the numbers of the published code they follow, with its arithmetic and draws (tests/golden)."""

from itertools import count

import pytest
import torch

from enhance_cli.processes import PROCESSES
from enhance_cli.samplers import SAMPLERS, calls
from tests.golden_numbers import cnormal, load, rel_l2

GAUSSIAN = {
    "sampler_pc_rd_ald": ("ouve", {"corrector": "ald"}),
    "sampler_pc_rd_ald2": ("ouve", {"corrector": "ald", "corrector_steps": 2}),
    "sampler_pc_rd_langevin": ("ouve", {"corrector": "langevin", "shared_step": True}),
    "sampler_pc_rd_none": ("ouve", {"corrector": "none"}),
    "sampler_bbed_pc_rd_ald": ("bbed", {"corrector": "ald"}),
    "sampler_bbed_rd_only_T0.5_N1": ("bbed", {"corrector": "none", "start": 0.5}),
    "sampler_bbed_rd_only_T0.5_N3": ("bbed", {"corrector": "none", "start": 0.5}),
}
BRIDGES = [f"sampler_sb_{kind}_{call}_N{n}" for kind in ("ode", "sde") for call in ("new", "previous") for n in (1, 4)]


class Draws:
    """Published order of the noise: draw i is cnormal("noise" + i)."""

    def __init__(self, shape):
        self.shape, self.number = shape, count()

    def __call__(self) -> torch.Tensor:
        return torch.from_numpy(cnormal(f"noise{next(self.number)}", self.shape))


@pytest.mark.parametrize("item", GAUSSIAN)
def test_predictor_corrector(item):
    golden, about = load(item)
    name, settings = GAUSSIAN[item]
    process, times = PROCESSES[name](), []
    y, x0 = torch.from_numpy(golden["y"]), torch.from_numpy(golden["mu0"])

    def estimate(x, t):
        """The item's score, that of Gaussian data with mean x0 and variance 0.04, as an estimate.

        In double precision, so that it becomes the same score again; states and draws are single, as published.
        """
        times.append(t)
        t = x.real.new_full(x.shape[:1], t)
        a, b, std = (c.double().reshape(-1, 1, 1, 1) for c in (*process.coefficients(t), process.std(t)))
        score = (a * x0 + b * y - x) / (a**2 * 0.04 + std**2)
        return (x + std**2 * score - b * y) / a

    noise = Draws(y.shape)
    out = SAMPLERS["predictor_corrector"](estimate, process, y, about["N"], noise, snr=about["snr"], **settings)
    assert out.dtype == torch.complex64
    assert rel_l2(out.numpy(), golden["out"]) < about["tolerance"]["rel_l2"]
    assert len(times) == about["nfe"] == calls("predictor_corrector", about["N"], **settings)
    assert next(noise.number) == about["noise_calls"] - 1  # published code draws on the last step too, for nothing
    if "call_t" in golden:
        assert times == pytest.approx(golden["call_t"].tolist(), rel=1e-6)


def bridge(item, y, **settings):
    times = []

    def estimate(x, t):
        times.append(t)
        t = torch.tensor(t)
        return (0.9 - 0.4 * t) * x + 0.2 * t * y + 0.05

    kind, call, steps = item.removeprefix("sampler_sb_").split("_")
    call_at = {"new": "later", "previous": "earlier"}[call]
    process = PROCESSES["schroedinger_bridge_ve"]()
    sampler = SAMPLERS[f"bridge_{kind}"]
    return sampler(estimate, process, y, int(steps[1:]), Draws(y.shape), call_at=call_at, **settings), times


@pytest.mark.parametrize("item", BRIDGES)
def test_schroedinger_bridge(item):
    golden, about = load(item)
    out, times = bridge(item, torch.from_numpy(golden["y"]), eps=1e-8)
    assert rel_l2(out.numpy(), golden["out"]) < about["tolerance"]["rel_l2"]
    assert times == pytest.approx(golden["call_t"].tolist(), rel=1e-6)


@pytest.mark.parametrize("item", [i for i in BRIDGES if "ode" in i])
def test_exact_first_step(item):
    golden, about = load(item)
    out, _ = bridge(item, torch.from_numpy(golden["y"]))
    assert rel_l2(out.numpy(), golden["out_analytic_first"]) < about["tolerance"]["rel_l2"]
