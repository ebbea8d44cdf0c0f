"""Choose the runtime of a model: ONNX Runtime on CPUs where it can, else torch, which takes seconds to import.

torch is not imported here unless a GPU may be present.
"""

import os
import sys
from pathlib import Path

from enhance_cli.errors import ModelError, UsageError
from enhance_cli.models.device import check_precision, pick_device

RUNTIMES = ("auto", "onnx", "torch")
GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd", "/proc/driver/nvidia/version")  # NVIDIA, WSL, AMD


def pick_runtime(wanted: str, *, device: str, precision: str, obstacle: str | None) -> str:
    """Return "onnx" or "torch".

    Args:
        wanted: "auto", "onnx" or "torch".
        device, precision: as the user gave them. ONNX Runtime computes on CPUs in fp32.
        obstacle: why the model and its settings need torch, or None if they do not.

    Raises UsageError for "onnx" where it is not possible.
    """
    if wanted not in RUNTIMES:
        raise UsageError(f"--runtime {wanted}: unknown", f"use {', '.join(RUNTIMES)}")
    check_precision(precision)
    if device not in ("auto", "cpu"):
        obstacle = f"--device {device} is not the CPU"
    elif precision not in ("auto", "fp32"):
        obstacle = f"--precision {precision} is not fp32"
    if wanted == "onnx" and obstacle:
        raise UsageError(f"--runtime onnx: {obstacle}", "leave it out, or use --runtime torch")
    if wanted != "auto":
        return wanted
    return "torch" if obstacle or (device == "auto" and takes_gpu()) else "onnx"


def runtime_of(path: Path, wanted: str, *, device: str, precision: str, obstacle: str | None) -> str:
    """Return the runtime of the model file `path`. Other arguments as in `pick_runtime`.

    Raises UsageError where that does, and for an .onnx file that is to run on torch.
    """
    if path.suffix != ".onnx":
        return pick_runtime(wanted, device=device, precision=precision, obstacle=obstacle)
    if wanted == "torch":
        raise UsageError(f"--runtime torch: {path} is a graph for ONNX Runtime", "name the model it was exported from")
    if wanted == "auto":
        wanted = "onnx"
    try:
        return pick_runtime(wanted, device=device, precision=precision, obstacle=obstacle)
    except UsageError as error:
        reason = error.message.removeprefix("--runtime onnx: ")
        raise UsageError(
            f"{path} runs by ONNX Runtime on a CPU: {reason}", "name the model it was exported from"
        ) from error


def takes_gpu() -> bool:
    """Return whether `--device auto` is a GPU. torch is only imported if there are signs of one."""
    if not may_have_gpu():
        return False
    try:
        return pick_device("auto").type != "cpu"
    except ModelError:  # a broken torch has no GPU
        return False


def may_have_gpu() -> bool:
    """Return whether there are signs of a GPU that the installed torch could use."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") and sys.platform != "darwin":
        return False
    return _has_driver() and _torch_takes_gpus()


def _has_driver() -> bool:
    if sys.platform == "darwin":
        import platform

        return platform.machine() == "arm64"
    if sys.platform == "win32":
        import ctypes.util

        return ctypes.util.find_library("nvcuda") is not None
    return any(Path(path).exists() for path in GPU_DRIVERS)


def _torch_takes_gpus() -> bool:
    """Return whether torch is installed in a build for GPUs. importlib.metadata is slow, so this is asked last."""
    from importlib import metadata

    try:
        return not metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return False
