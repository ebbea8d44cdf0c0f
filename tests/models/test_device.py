"""Devices and precisions: what is not there is refused with a sentence, on machines with and without a GPU."""

from types import SimpleNamespace

import pytest
import torch

from enhance_cli.errors import UsageError
from enhance_cli.models.device import autocast, pick_device, pick_precision

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


def test_auto_is_bf16_on_cards_that_compute_in_it_and_not_on_those_that_emulate_it(monkeypatch):
    """is_bf16_supported of torch itself, asked on stand-ins of a T4 and an A100."""
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    for major, precision in (8, "bf16"), (7, "fp32"):
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, m=major: SimpleNamespace(major=m))
        assert pick_precision("auto", cuda) == precision


def test_fp32_on_a_gpu_is_no_tf32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    pick_precision("bf16", torch.device("cuda"))
    pick_precision("fp32", CPU)
    assert torch.backends.cudnn.allow_tf32
    pick_precision("fp32", torch.device("cuda"))
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("precision, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_networks_compute_in_the_precision_that_was_picked(precision, dtype):
    layer = torch.nn.Linear(3, 3)
    with autocast(CPU, precision):
        assert layer(torch.ones(1, 3)).dtype == dtype


def test_precision():
    assert pick_precision("auto", CPU) == "fp32" and pick_precision("bf16", CPU) == "bf16"
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        pick_precision("fp16", CPU)
    with pytest.raises(UsageError, match="--precision int8: unknown"):
        pick_precision("int8", CPU)
