"""Extend the bandwidth of recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enhance_cli.api.models import ready_model

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.models.graphs.extender import GraphExtenderModel
    from enhance_cli.models.load import Model


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

    The new rate is 48000, or `rate` if that is higher or nothing is missing.

    Args:
        cutoff: frequency in Hz at which the band of `audio` ends, None to find it.
        steps: number of sampler steps, for models that sample. None for the model's own, as below.
        guidance: weight of the condition, for models that sample.
        spacing: "trailing" or "uniform" spacing of the steps, for models that sample.

    The other arguments are those of Denoiser. Raises UsageError for a cutoff and settings that are not possible, and for a
    band that the model cannot continue.
    """
    import numpy as np

    from enhance_cli.resources import Resources
    from enhance_cli.tasks.extend_bandwidth import BandwidthExtender
    from enhance_cli.tasks.loading import load_extender_model
    from enhance_cli.tasks.options import ExtendOptions
    from enhance_cli.tasks.stream import whole_rate

    resources = Resources(device, precision, threads, runtime)
    loaded: Model | GraphExtenderModel = ready_model(load_extender_model, model, "extend-bandwidth", resources)
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
    wide, wide_rate = BandwidthExtender(loaded, options).run(np.atleast_2d(audio), whole_rate(rate))
    return wide.reshape(*audio.shape[:-1], -1), wide_rate
