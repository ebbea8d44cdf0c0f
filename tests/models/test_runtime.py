"""What computes a model: ONNX Runtime where it can, and a refusal in one line where it was asked for and cannot."""

from dataclasses import replace

import pytest

from enhance_cli.errors import UsageError
from enhance_cli.models import registry, runtime
from enhance_cli.models.graphs import packaged
from enhance_cli.models.graphs.packaged import denoiser_obstacle
from enhance_cli.models.runtime import may_have_gpu, pick_runtime
from enhance_cli.models.spec import read_spec


@pytest.mark.parametrize(
    "wanted, device, precision, obstacle, found",
    [
        ("auto", "cpu", "auto", None, "onnx"),
        ("auto", "cpu", "fp32", None, "onnx"),
        ("auto", "cpu", "bf16", None, "torch"),
        ("auto", "cuda", "auto", None, "torch"),
        ("auto", "cpu", "auto", "it has no graph", "torch"),
        ("torch", "cpu", "auto", None, "torch"),
        ("onnx", "auto", "auto", None, "onnx"),
    ],
)
def test_the_cpu_goes_to_onnx_runtime_where_nothing_stands_in_the_way(wanted, device, precision, obstacle, found):
    assert pick_runtime(wanted, device=device, precision=precision, obstacle=obstacle) == found


@pytest.mark.parametrize(
    "device, precision, obstacle, reason",
    [
        ("cuda:1", "auto", None, "--device cuda:1 is not the CPU"),
        ("cpu", "fp16", None, "--precision fp16 is not fp32"),
        ("cpu", "auto", "mine has no graph", "mine has no graph"),
    ],
)
def test_onnx_is_refused_with_the_reason(device, precision, obstacle, reason):
    with pytest.raises(UsageError, match=reason):
        pick_runtime("onnx", device=device, precision=precision, obstacle=obstacle)


def test_unknown_runtimes_and_precisions_are_refused():
    for wanted, precision in (("tvm", "auto"), ("auto", "fp8")):
        with pytest.raises(UsageError, match="unknown"):
            pick_runtime(wanted, device="cpu", precision=precision, obstacle=None)


def test_torch_is_asked_for_a_gpu_only_where_there_are_signs_of_one(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(runtime, "GPU_DRIVERS", (str(tmp_path / "driver"),))
    monkeypatch.setattr("importlib.metadata.version", lambda package: "2.11.0+cu126")
    assert not may_have_gpu()
    (tmp_path / "driver").touch()
    assert may_have_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not may_have_gpu()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("importlib.metadata.version", lambda package: "2.11.0+cpu")
    assert not may_have_gpu()


@pytest.mark.parametrize("sampler, reason", [("bridge_sde", "draws noise"), ("bridge_ode", None), (None, None)])
def test_samplers_that_draw_noise_need_torch(sampler, reason):
    found = denoiser_obstacle(read_spec(registry.find("denoise-s", "denoise").path), sampler, None)
    assert found is None if reason is None else reason in found


def test_a_model_of_other_sizes_needs_torch(tiny_model):
    assert "has no graph" in denoiser_obstacle(read_spec(tiny_model), None, None)


def test_a_first_stage_without_a_graph_needs_torch():
    spec = replace(read_spec(registry.find("denoise-48k", "denoise").path), first_stage="denoise-s")
    assert denoiser_obstacle(spec, None, None) is None
    other = replace(read_spec(registry.find("denoise-s", "denoise").path), network_args={"blocks": 9})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packaged, "read_spec", lambda path: other)
        assert "the first stage of denoise-48k, has no graph" in denoiser_obstacle(spec, None, None)
