"""Extend the bandwidth of recordings."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.models.graphs.extender import GraphExtenderModel
    from enhance_cli.models.load import Model


@lru_cache(maxsize=2)
def _cached_extender(
    name: str | None, device: str, precision: str, threads: int | None, runtime: str
) -> Model | GraphExtenderModel:
    from enhance_cli.models import registry
    from enhance_cli.tasks.loading import load_extender_model

    entry = registry.find(name, "extend-bandwidth")
    return load_extender_model(entry, device=device, precision=precision, threads=threads, runtime=runtime)


def extend_bandwidth(
    audio: np.ndarray,
    rate: int,
    model: Model | GraphExtenderModel | str | None = None,
    device: str = "auto",
    precision: str = "auto",
    *,
    runtime: str = "auto",
    cutoff: float | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    spacing: str | None = None,
    seed: int = 0,
    batch_size: int = 1,
    threads: int | None = None,
    window_seconds: float | None = None,
) -> tuple[np.ndarray, int]:
    """Return `audio` (C, N) or (N,), full scale 1, with the treble that it is missing at `rate` Hz, and the new rate.

    The rate is 48000, or `rate` if that is higher or nothing is missing. cutoff: frequency in Hz that the band of `audio`
    ends at, None to find it. steps, guidance (weight of the condition) and spacing ("trailing" or "uniform") are for models
    that sample, None for their own. The other arguments are those of Denoiser. Raises UsageError for a cutoff and settings
    that are not possible, and for a band that the model cannot continue.
    """
    import numpy as np

    from enhance_cli.tasks.extend_bandwidth import run
    from enhance_cli.tasks.options import ExtendOptions

    if model is None or isinstance(model, str):
        model = _cached_extender(model, device, precision, threads, runtime)
    options = ExtendOptions(
        cutoff=cutoff,
        steps=steps,
        guidance=guidance,
        spacing=spacing,
        seed=seed,
        batch_size=batch_size,
        threads=threads,
        window_seconds=window_seconds,
    )
    audio = np.asarray(audio)
    wide, wide_rate = run(np.atleast_2d(audio), rate, model, options)
    return wide.reshape(*audio.shape[:-1], -1), wide_rate
