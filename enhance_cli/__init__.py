"""enhance: few-step diffusion models that clean recordings, as a command and as a Python package.

import enhance_cli
clean = enhance_cli.denoise(audio, rate)             # (C, N) float array in, same shape and rate out
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.models.load import Model

__version__ = "0.1.0"


def load_model(name: str | None = None, task: str = "denoise", device: str = "auto", precision: str = "auto") -> Model:
    """The model called `name` (None: the default for the task) or the .safetensors file at that path, ready to run.

    Raises ModelError if it is unknown, missing or damaged, UsageError for a device or precision that is not there.
    """
    from enhance_cli.models import device as devices
    from enhance_cli.models import load, registry

    entry = registry.find(name, task)
    place = devices.pick_device(device)
    return load.load_file(entry.path, place, devices.pick_precision(precision, place), entry.sha256)


@lru_cache(maxsize=2)
def _kept_model(name: str | None, task: str, device: str, precision: str) -> Model:
    return load_model(name, task, device, precision)


def denoise(
    audio: np.ndarray,
    rate: int,
    model: Model | str | None = None,
    device: str = "auto",
    precision: str = "auto",
    **options,
) -> np.ndarray:
    """Clean `audio` (C, N) or (N,), full scale 1, at `rate` Hz; the result has its shape, rate and timing.

    `options` are those of tasks.denoise.DenoiseOptions: steps, sampler, seed, strength, max_attenuation, full_band,
    batch_size. The command `enhance denoise` with the same options gives the same samples.
    """
    import numpy as np

    from enhance_cli.tasks.denoise import DenoiseOptions, run

    ready = _kept_model(model, "denoise", device, precision) if model is None or isinstance(model, str) else model
    return run(np.atleast_2d(audio), rate, ready, DenoiseOptions(**options)).reshape(audio.shape)
