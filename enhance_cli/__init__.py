"""enhance: few-step diffusion models that clean recordings, as a command and as a Python package.

import enhance_cli
clean = enhance_cli.denoise(audio, rate)             # (C, N) float array in, same shape and rate out
stems = enhance_cli.extract_stem(audio, rate)        # a dictionary of such arrays; one array with stem="drums"
vectors = enhance_cli.enhance_embedding(vectors)     # speaker embeddings (K, D), or a recording and its rate
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from enhance_cli.models.load import Model
    from enhance_cli.models.stems import StemModel

__version__ = "0.1.0"


def load_model(name: str | None = None, task: str = "denoise", device: str = "auto", precision: str = "auto") -> Model:
    """The model called `name` (None: the default for the task) or the .safetensors file at that path, ready to run.

    Raises ModelError if it is unknown, missing or damaged, UsageError for a device or precision that is not there.
    """
    from enhance_cli.models import device as devices
    from enhance_cli.models import load, registry, stems

    entry = registry.find(name, task)
    place = devices.pick_device(device)
    kind = devices.pick_precision(precision, place)
    if task == stems.TASK:
        return stems.load_stems(entry, place, kind)
    return load.load_file(entry.path, place, kind, entry.sha256)


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
    batch_size, sampler_args, guide. The command `enhance denoise` with the same options gives the same samples.
    """
    import numpy as np

    from enhance_cli.tasks.denoise import DenoiseOptions, run

    ready = _kept_model(model, "denoise", device, precision) if model is None or isinstance(model, str) else model
    return run(np.atleast_2d(audio), rate, ready, DenoiseOptions(**options)).reshape(audio.shape)


def extract_stem(
    audio: np.ndarray,
    rate: int,
    stem: str | Sequence[str] = "all",
    model: StemModel | str | None = None,
    device: str = "auto",
    precision: str = "auto",
    **options,
) -> np.ndarray | dict[str, np.ndarray]:
    """Take stems out of the music `audio` (C, N) or (N,), full scale 1, at `rate` Hz.

    One `stem` by name gives an array of the same shape; "all", several names, or `residual=True` a dictionary of such arrays
    by name. `options` are those of tasks.extract_stem.StemOptions: steps, sampler, sigma, seed, residual, full_band,
    batch_size. The command `enhance extract-stem` with the same options gives the same samples.
    """
    import numpy as np

    from enhance_cli.tasks.extract_stem import StemOptions, run

    one = isinstance(stem, str)
    ready = _kept_model(model, "extract-stem", device, precision) if model is None or isinstance(model, str) else model
    found = run(np.atleast_2d(audio), rate, ready, StemOptions(stems=(stem,) if one else tuple(stem), **options))
    found = {name: part.reshape(audio.shape) for name, part in found.items()}
    return found[stem] if one and set(found) == {stem} else found


def enhance_embedding(
    data: np.ndarray,
    rate: int | None = None,
    model: Model | str | None = None,
    extractor: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    segment: float | None = None,
    vad: bool = False,
    **options,
) -> np.ndarray:
    """Repair speaker embeddings (K, D) or (D,); or, with a `rate` in Hz, embed and repair the recording (C, N) or (N,).

    `options` are those of tasks.repair.RepairOptions: time, steps, draws, seed, ensemble, normalise. Returns float32 (K, D)
    or (D,), the same as the command `enhance enhance-embedding`. Rows that are zero or not finite cannot be repaired: they
    come back as they were, so that NaN goes out where NaN came in, and a UserWarning names their numbers. Raises ModelError
    for another D than the model's, or another extractor, AudioError for what cannot be embedded.
    """
    import warnings

    import numpy as np

    from enhance_cli.tasks.embed import EmbedOptions
    from enhance_cli.tasks.repair import RepairOptions
    from enhance_cli.tasks.speakers import Speakers

    named = model is None or isinstance(model, str)
    ready = _kept_model(model, "enhance-embedding", device, precision) if named else model
    embedding = EmbedOptions(segment, vad, normalise=options.get("normalise", "unit") == "unit")
    speakers = Speakers(ready, RepairOptions(**options), extractor, embedding)
    if rate is None:
        rows = np.asarray(data)
        repaired, unusable = speakers.repairer.run(np.atleast_2d(rows))
        if unusable.any():
            numbers = ", ".join(map(str, np.flatnonzero(unusable)))
            warnings.warn(f"rows that are zero or not finite come back as they were: {numbers}", stacklevel=2)
        return repaired.reshape(rows.shape)
    row = speakers.load_extractor().embed(np.atleast_2d(data), rate)
    return speakers.repair_recorded(row[None])[0][0]
