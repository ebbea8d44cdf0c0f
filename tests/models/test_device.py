"""Devices and precisions: what is not there is refused with a sentence, on machines with and without a GPU."""

import pytest
import torch

from enhance_cli.errors import UsageError
from enhance_cli.models.device import pick_device, pick_precision

CPU = torch.device("cpu")


def without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_an_error(monkeypatch):
    without_cuda(monkeypatch)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto") == CPU
    for name in ("cuda", "cuda:0", "cuda:3"):
        with pytest.raises(UsageError, match=f"--device {name}: torch sees no CUDA device: use --device cpu"):
            pick_device(name)
    with pytest.raises(UsageError, match="no Apple GPU"):
        pick_device("mps")


def test_with_gpus_auto_takes_the_first_and_a_number_too_high_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto").type == "cuda" and pick_device("cuda:1").index == 1
    with pytest.raises(UsageError, match="cuda:2: there are 2 CUDA devices"):
        pick_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "xpu", "meta", "cpu:-1"])
def test_what_is_no_device_is_refused(name):
    with pytest.raises(UsageError, match="--device"):
        pick_device(name)


def test_precision():
    assert pick_precision("auto", CPU) == "fp32" and pick_precision("bf16", CPU) == "bf16"
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        pick_precision("fp16", CPU)
    with pytest.raises(UsageError, match="--precision int8: unknown"):
        pick_precision("int8", CPU)
