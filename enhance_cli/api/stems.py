"""Extract stems from music: an object that is loaded once, and a function for a single call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enhance_cli.api.models import ready_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from enhance_cli.models.demucs_model import DemucsModel
    from enhance_cli.models.graphs.stems import GraphStemModel
    from enhance_cli.models.stems import StemModel


class StemExtractor:
    """Extract stems from music with one model, loaded once. Several threads may call it at the same time.

    Args:
        model: name, path or loaded model, None for the default.
        stem: a name, several names, or "all".
        residual: also return the mix minus these stems, called "residual".
        sigma: noise level at which the refinement starts, None for the model's own.

    The other arguments are those of Denoiser. Raises UsageError or ModelError for values that the model does not allow.
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
        from enhance_cli.resources import Resources
        from enhance_cli.tasks.extract_stem import StemExtractor
        from enhance_cli.tasks.loading import load_stem_model
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
        resources = Resources(device, precision, threads, runtime)
        self.model: StemModel | DemucsModel | GraphStemModel = ready_model(
            load_stem_model, model, "extract-stem", steps, resources
        )
        self._extractor = StemExtractor(self.model, options)
        self.names: tuple[str, ...] = self._extractor.parts

    def __call__(self, audio: np.ndarray, rate: int) -> dict[str, np.ndarray]:
        """Return the stems of `audio` (C, N) or (N,), full scale 1, at `rate` Hz by name, each of the same shape."""
        import numpy as np

        from enhance_cli.tasks.stream import whole_rate

        audio = np.asarray(audio)
        stems = self._extractor.run(np.atleast_2d(audio), whole_rate(rate))
        return {name: stem.reshape(audio.shape) for name, stem in stems.items()}


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
) -> Any:  # of a union, each use of the result would need a check first
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
