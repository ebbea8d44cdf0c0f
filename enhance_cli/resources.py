"""Say where a model runs. Flags are made into it, workers carry it to other machines, and loaders read it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """Choose where a model runs.

    Args:
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16".
        threads: CPU threads, None for as many as the runtime takes itself.
        runtime: "auto", "onnx" or "torch".
    """

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    runtime: str = "auto"
