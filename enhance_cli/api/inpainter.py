"""Fill gaps in recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enhance_cli.api.models import ready_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from enhance_cli.models.graphs.denoiser import GraphDenoiserModel
    from enhance_cli.models.load import Model


class Inpainter:
    """Fill gaps in recordings. Several threads may call it at the same time.

    Args:
        model: name, path or loaded model that fills gaps of 100 to 500 ms. With None such gaps fade out and in.
        device, precision, runtime, steps, sampler, seed: of the model, as in Denoiser.
        strength: 0 to 1, share of the sampling path, which limits how much the model may change of a first filling.
        rounds: network calls per step.

    Raises UsageError or ModelError for a model that cannot fill gaps, and for values that it does not allow.
    """

    def __init__(
        self,
        model: Model | GraphDenoiserModel | str | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        steps: int | None = None,
        sampler: str | None = None,
        seed: int = 0,
        strength: float = 1.0,
        rounds: int = 1,
        runtime: str = "auto",
    ):
        from enhance_cli.resources import Resources
        from enhance_cli.tasks.inpaint import Inpainter
        from enhance_cli.tasks.options import InpaintOptions

        options = InpaintOptions(steps=steps, sampler=sampler, seed=seed, strength=strength, rounds=rounds)
        self._inpainter = Inpainter(options)
        if model is not None:
            from enhance_cli.tasks.gap_model import GapModel
            from enhance_cli.tasks.loading import load_gap_model

            resources = Resources(device, precision, runtime=runtime)
            loaded: Model | GraphDenoiserModel = ready_model(
                load_gap_model, model, "inpaint", sampler, strength, resources
            )
            self._inpainter = Inpainter(options, GapModel.of(loaded, options))

    def __call__(self, audio: np.ndarray, rate: int, gaps: Sequence[tuple[float, float]] | None = None) -> np.ndarray:
        """Return `audio` (C, N) or (N,), full scale 1, at `rate` Hz, with its gaps filled. All other samples are the same.

        gaps: beginnings and ends in seconds, None to find dropouts and clicks, an empty list for none. Raises UsageError for
        gaps that end before they begin, that overlap, that lie outside, and for one that is all of the recording.
        """
        import numpy as np

        from enhance_cli.tasks.stream import whole_rate

        audio = np.asarray(audio)
        return self._inpainter.run(np.atleast_2d(audio), whole_rate(rate), gaps).reshape(audio.shape)


def inpaint(
    audio: np.ndarray,
    rate: int,
    gaps: Sequence[tuple[float, float]] | None = None,
    model: Model | GraphDenoiserModel | str | None = None,
    device: str = "auto",
    precision: str = "auto",
    *,
    steps: int | None = None,
    sampler: str | None = None,
    seed: int = 0,
    strength: float = 1.0,
    rounds: int = 1,
    runtime: str = "auto",
) -> np.ndarray:
    """Return `audio` (C, N) or (N,), full scale 1, at `rate` Hz, with its gaps filled. Arguments as in Inpainter."""
    return Inpainter(
        model,
        device=device,
        precision=precision,
        steps=steps,
        sampler=sampler,
        seed=seed,
        strength=strength,
        rounds=rounds,
        runtime=runtime,
    )(audio, rate, gaps)
