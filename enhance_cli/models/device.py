"""Choose the device and precision of a model. `auto` prefers a CUDA GPU, then Apple's, then the CPU.

torch is imported by the functions that need it, so that models which run without it start without it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from enhance_cli.errors import ModelError, UsageError, one_line

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
MAX_PARAMETERS_FOR_PARALLEL_WINDOWS = 12_000_000


def pick_device(name: str = "auto") -> torch.device:
    """Return the device for auto, cpu, cuda, cuda:N or mps.

    Raises UsageError for one that does not exist, ModelError if torch cannot be imported.
    """
    try:
        import torch
    except (ImportError, OSError) as error:
        reason = one_line(error)
        raise ModelError(f"torch cannot be imported ({reason})", "reinstall it; see `enhance info`") from error
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name}: no such kind of device", "use auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        there = f"there are {count} CUDA devices" if count else "torch sees no CUDA device"
        raise UsageError(f"--device {name}: {there}", "use --device cpu, or see `enhance info`")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: torch sees no Apple GPU", "use --device cpu")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {name}: not supported", "use auto, cpu, cuda, cuda:N or mps")
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """Return the precision. "auto" is bf16 on a CUDA GPU that computes in it, else fp32.

    With fp32 on a CUDA GPU, convolutions of this process stop rounding to TF32, which has a mantissa of 10 bits. Raises
    UsageError for a precision that the device does not have.
    """
    import torch

    check_precision(name)
    if name == "auto":
        own = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        name = "bf16" if own else "fp32"
    if name == "fp16" and device.type == "cpu":
        raise UsageError("--precision fp16 needs a GPU", "use fp32 or bf16 on the CPU")
    if name == "fp32" and device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    return name


def check_precision(name: str) -> None:
    """Raise UsageError for a precision that does not exist."""
    if name not in PRECISIONS:
        raise UsageError(f"--precision {name}: unknown", f"use {', '.join(PRECISIONS)}")


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return a context in which networks compute in "fp32", "bf16" or "fp16"."""
    import torch

    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a CPU tensor to `device`. A CUDA GPU reads it from page-locked memory without blocking."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a GPU ran out of memory."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.cuda.OutOfMemoryError)


def release_memory() -> None:
    """Free the memory that torch keeps on the GPU for later use."""
    import torch

    torch.cuda.empty_cache()


def cpu_threads(count: int | None = None) -> int:
    """Return `count` CPU threads, at most one per core, or for None $OMP_NUM_THREADS or all cores of this process."""
    if count is not None:
        return min(count, os.cpu_count() or 1)
    stated = os.environ.get("OMP_NUM_THREADS", "")
    if stated.isdecimal() and int(stated):
        return int(stated)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return len(allowed)


def threads_to_use(count: int | None) -> int:
    """Return `count` CPU threads, at most one per core, or for None as many as torch would take."""
    import torch

    return torch.get_num_threads() if count is None else min(count, os.cpu_count() or 1)


def threads_for(device: torch.device) -> int:
    """Return how many threads with one CPU thread each keep `device` busy."""
    import torch

    return torch.get_num_threads() if device.type == "cpu" else 1


def pool_settings(model: Any) -> tuple[int, dict[str, Any]]:
    """Return how many threads keep a model busy, and the settings of their pool. Each computes with one CPU thread."""
    if model.runtime == "onnx":
        return cpu_threads(model.threads), {}
    return threads_for(model.device), {"initializer": set_threads, "initargs": (1,)}


def set_threads(count: int | None) -> None:
    """Let torch use `count` CPU threads, at most one per core, since more are slower. None changes nothing."""
    import torch

    if count is not None:
        torch.set_num_threads(min(count, os.cpu_count() or 1))
