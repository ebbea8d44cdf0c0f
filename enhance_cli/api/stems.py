"""Extract stems from music: an object that is loaded once, and a function for a single call."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from enhance_cli.models.demucs_model import DemucsModel
    from enhance_cli.models.graphs.stems import GraphStemModel
    from enhance_cli.models.stems import StemModel


@lru_cache(maxsize=2)
def _cached_stem_model(
    name: str | None, steps: int | None, device: str, precision: str, threads: int | None, runtime: str
) -> StemModel | DemucsModel | GraphStemModel:
    from enhance_cli.models import registry
    from enhance_cli.tasks.loading import load_stem_model

    entry = registry.find(name, "extract-stem")
    return load_stem_model(entry, steps, device=device, precision=precision, threads=threads, runtime=runtime)


class StemExtractor:
    """Extract stems from music with one model, loaded once. Several threads may call it at the same time.

    stem: a name, several names, or "all". residual: add the mix less these stems, called "residual". sigma: noise level at
    which the refinement starts. The other arguments are those of Denoiser. Raises UsageError or ModelError for values that
    the model does not allow.
    """

    def __init__(
        self,
        model: StemModel | DemucsModel | GraphStemModel | str | None = None,
        *,
        stem: str | Sequence[str] = "all",
        residual: bool = False,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        steps: int | None = None,
        sampler: str | None = None,
        sigma: float | None = None,
        seed: int = 0,
        full_band: bool = True,
        batch_size: int = 1,
        threads: int | None = None,
        window_seconds: float | None = None,
    ):
        from enhance_cli.tasks.extract_stem import StemExtractor
        from enhance_cli.tasks.options import StemOptions

        options = StemOptions(
            stems=(stem,) if isinstance(stem, str) else tuple(stem),
            steps=steps,
            sampler=sampler,
            sigma=sigma,
            seed=seed,
            residual=residual,
            full_band=full_band,
            batch_size=batch_size,
            threads=threads,
            window_seconds=window_seconds,
        )
        if model is None or isinstance(model, str):
            model = _cached_stem_model(model, steps, device, precision, threads, runtime)
        self.model = model
        self._extractor = StemExtractor(self.model, options)
        self.names: tuple[str, ...] = self._extractor.parts

    def __call__(self, audio: np.ndarray, rate: int) -> dict[str, np.ndarray]:
        """Return the stems of `audio` (C, N) or (N,), full scale 1, at `rate` Hz by name, each of the same shape."""
        import numpy as np

        from enhance_cli.tasks.stream import measured

        audio = np.asarray(audio)
        whole = np.atleast_2d(audio)
        blocks = self._extractor.process(iter([whole]), rate, whole.shape[0], measured(whole, rate))
        rows = np.concatenate(list(blocks), axis=1).astype(np.result_type(audio.dtype, np.float32), copy=False)
        return dict(zip(self.names, rows.reshape(len(self.names), *audio.shape), strict=True))


def extract_stem(
    audio: np.ndarray,
    rate: int,
    stem: str | Sequence[str] = "all",
    model: StemModel | DemucsModel | GraphStemModel | str | None = None,
    device: str = "auto",
    precision: str = "auto",
    *,
    runtime: str = "auto",
    residual: bool = False,
    steps: int | None = None,
    sampler: str | None = None,
    sigma: float | None = None,
    seed: int = 0,
    full_band: bool = True,
    batch_size: int = 1,
    threads: int | None = None,
    window_seconds: float | None = None,
) -> np.ndarray | dict[str, np.ndarray]:
    """Return stems of `audio` (C, N) or (N,), full scale 1, at `rate` Hz. Arguments as in StemExtractor.

    One `stem` by name gives an array of the same shape. "all", several names, or `residual` give a dictionary of such arrays
    by name.
    """
    found = StemExtractor(
        model,
        stem=stem,
        residual=residual,
        device=device,
        precision=precision,
        runtime=runtime,
        steps=steps,
        sampler=sampler,
        sigma=sigma,
        seed=seed,
        full_band=full_band,
        batch_size=batch_size,
        threads=threads,
        window_seconds=window_seconds,
    )(audio, rate)
    return found[stem] if isinstance(stem, str) and set(found) == {stem} else found
