"""The processes against the numbers of the published code they follow (tests/golden)."""

import pytest
import torch

from enhance_cli.processes import PROCESSES
from tests.golden_numbers import cnormal, load, rel_l2

ITEMS = {
    "process_ouve": ("ouve", {}),
    "process_ouve_48k": ("ouve", {"theta": 2.0, "sigma_min": 0.1, "sigma_max": 1.0}),
    "process_bbed": ("bbed", {}),
    "process_sbve": ("schroedinger_bridge_ve", {}),
}
SHAPE = (5, 1, 4, 6)


@pytest.fixture(params=ITEMS)
def case(request):
    arrays, about = load(request.param)
    name, arguments = ITEMS[request.param]
    x, y = (torch.from_numpy(cnormal(f"proc_{letter}", SHAPE, 0.5)) for letter in "xy")
    return PROCESSES[name](**arguments), arrays, about["tolerance"]["rel_l2"], x, y


def test_mean_std_drift_and_diffusion(case):
    process, golden, tolerance, x, y = case
    t = torch.from_numpy(golden["t"])
    assert rel_l2(process.mean(x, y, t).numpy(), golden["mean"]) < tolerance
    assert rel_l2(process.std(t).numpy(), golden["std"]) < tolerance
    assert rel_l2(process.diffusion(t).numpy(), golden["diffusion"]) < tolerance
    drift = process.drift(x, y, t).numpy()
    assert not drift.any() and not golden["drift"].any() or rel_l2(drift, golden["drift"]) < tolerance


def test_start(case):
    process, golden, tolerance, _, y = case
    z = torch.from_numpy(cnormal("noise0", SHAPE))
    assert rel_l2(process.start(y, z).numpy(), golden["prior"]) < tolerance


def test_double_precision(case):
    """The published bridge adds 1e-8 to its variances and denominators, which we leave away."""
    process, golden, *_ = case
    t = torch.from_numpy(golden["t"]).double()
    tolerance = 3e-7 if hasattr(process, "variance") else 1e-14
    assert rel_l2(process.std(t).numpy(), golden["std_f64"]) < tolerance
    assert rel_l2(process.diffusion(t).numpy(), golden["diffusion_f64"]) < tolerance
