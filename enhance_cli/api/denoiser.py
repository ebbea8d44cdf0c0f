"""Denoise recordings: an object that is loaded once, and a function for a single call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enhance_cli.api.models import ready_model

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.models.graphs.denoiser import GraphDenoiserModel
    from enhance_cli.models.load import Model


class Denoiser:
    """Denoise recordings with one model, loaded once. Several threads may call it at the same time.

    Args:
        model: name, path or loaded model, None for the default.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16".
        runtime: "auto", "onnx" or "torch".
        steps, sampler: number of sampler steps, and name of the sampler. None for the model's own.
        sampler_args: settings of the sampler by name.
        seed: of the noise.
        strength: 0 to 1, mix of input and result.
        max_attenuation: largest number of dB by which the input is lowered, None for no limit.
        full_band: keep the signal above the model's band.
        guide: name of a guide, or "none". None for the model's own.
        batch_size: number of windows that a GPU computes at a time.
        threads: CPU threads, None for all.
        window_seconds: length of a window, None for the model's own. On CPUs the shipped models have none.

    Raises UsageError or ModelError for values that the model does not allow.
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
        from enhance_cli.resources import Resources
        from enhance_cli.tasks.denoise import Denoiser
        from enhance_cli.tasks.loading import load_denoiser_model
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
        resources = Resources(device, precision, threads, runtime)
        self.model: Model | GraphDenoiserModel = ready_model(
            load_denoiser_model, model, "denoise", sampler, guide, resources
        )
        self._denoiser = Denoiser(self.model, options)

    def __call__(self, audio: np.ndarray, rate: int) -> np.ndarray:
        """Return `audio` (C, N) or (N,), full scale 1, at `rate` Hz, cleaned. Shape, rate and timing are kept."""
        import numpy as np

        from enhance_cli.tasks.stream import whole_rate

        audio = np.asarray(audio)
        return self._denoiser.run(np.atleast_2d(audio), whole_rate(rate)).reshape(audio.shape)


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
