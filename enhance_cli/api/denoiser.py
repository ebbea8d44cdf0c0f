"""Denoise recordings: an object that is loaded once, and a function for a single call."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.models.graphs.denoiser import GraphDenoiserModel
    from enhance_cli.models.load import Model


@lru_cache(maxsize=2)
def _cached_denoiser(
    name: str | None,
    sampler: str | None,
    guide: str | None,
    device: str,
    precision: str,
    threads: int | None,
    runtime: str,
) -> Model | GraphDenoiserModel:
    from enhance_cli.models import registry
    from enhance_cli.tasks.loading import load_denoiser_model

    entry = registry.find(name, "denoise")
    return load_denoiser_model(
        entry, sampler, guide, device=device, precision=precision, threads=threads, runtime=runtime
    )


class Denoiser:
    """Denoise recordings with one model, loaded once. Several threads may call it at the same time.

    model: name, path or loaded model, None for the default. runtime: "auto", "onnx" or "torch".
    steps, sampler, sampler_args, guide: as the model allows, None for its own defaults. seed: of the noise. strength: 0..1,
    mix of input and result. max_attenuation: dB that the input is lowered by at most. full_band: keep the band above the
    model's. batch_size: windows at once, on a GPU. threads: of the CPU. window_seconds: length of a window. Raises UsageError
    or ModelError for values that the model does not allow.
    """

    def __init__(
        self,
        model: Model | GraphDenoiserModel | str | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        steps: int | None = None,
        sampler: str | None = None,
        sampler_args: dict | None = None,
        seed: int = 0,
        strength: float = 1.0,
        max_attenuation: float | None = None,
        full_band: bool = True,
        guide: str | None = None,
        batch_size: int = 1,
        threads: int | None = None,
        window_seconds: float | None = None,
    ):
        from enhance_cli.tasks.denoise import Denoiser
        from enhance_cli.tasks.options import DenoiseOptions

        options = DenoiseOptions(
            steps=steps,
            sampler=sampler,
            sampler_args=sampler_args or {},
            seed=seed,
            strength=strength,
            max_attenuation=max_attenuation,
            full_band=full_band,
            guide=guide,
            batch_size=batch_size,
            threads=threads,
            window_seconds=window_seconds,
        )
        if model is None or isinstance(model, str):
            model = _cached_denoiser(model, sampler, guide, device, precision, threads, runtime)
        self.model = model
        self._denoiser = Denoiser(self.model, options)

    def __call__(self, audio: np.ndarray, rate: int) -> np.ndarray:
        """Return `audio` (C, N) or (N,), full scale 1, at `rate` Hz, cleaned. Shape, rate and timing are kept."""
        import numpy as np

        from enhance_cli.tasks.stream import measured

        audio = np.asarray(audio)
        whole = np.atleast_2d(audio)
        blocks = self._denoiser.process(iter([whole]), rate, whole.shape[0], measured(whole, rate))
        return np.concatenate(list(blocks), axis=1).reshape(audio.shape)


def denoise(
    audio: np.ndarray,
    rate: int,
    model: Model | GraphDenoiserModel | str | None = None,
    device: str = "auto",
    precision: str = "auto",
    *,
    runtime: str = "auto",
    steps: int | None = None,
    sampler: str | None = None,
    sampler_args: dict | None = None,
    seed: int = 0,
    strength: float = 1.0,
    max_attenuation: float | None = None,
    full_band: bool = True,
    guide: str | None = None,
    batch_size: int = 1,
    threads: int | None = None,
    window_seconds: float | None = None,
) -> np.ndarray:
    """Return `audio` (C, N) or (N,), full scale 1, at `rate` Hz, cleaned. Arguments as in Denoiser.

    For many recordings a Denoiser is quicker.
    """
    return Denoiser(
        model,
        device=device,
        precision=precision,
        runtime=runtime,
        steps=steps,
        sampler=sampler,
        sampler_args=sampler_args,
        seed=seed,
        strength=strength,
        max_attenuation=max_attenuation,
        full_band=full_band,
        guide=guide,
        batch_size=batch_size,
        threads=threads,
        window_seconds=window_seconds,
    )(audio, rate)
