"""Repair speaker embeddings: an object that is loaded once, and a function for a single call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enhance_cli.api.models import ready_model

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.models.graphs.speakers import GraphRepairModel
    from enhance_cli.models.load import Model


class SpeakerRepairer:
    """Repair speaker embeddings with one model, loaded once. The extractor is loaded with the first recording.

    Args:
        model: name, path or loaded model, None for the default.
        device, precision, runtime: as in Denoiser.
        time: diffusion time to start from, 0 to 999. None for the model's own.
        steps: number of sampler steps, None for the model's own.
        draws: number of results with different noise that are averaged. With 0 there is one result without noise.
        seed: of the noise.
        ensemble: 0 to 1, weight of the embedding as it was. None for the model's own.
        normalize: "unit" for results of length one, "keep" for the length of the input.
        extractor: name, id or file of the network that made the embeddings, None for the one of the model.
        segment: seconds of speech that are embedded at a time, None for the extractor's own.
        vad: leave silence out.

    Raises UsageError or ModelError for values that the model does not allow, and for embeddings of another extractor.
    """

    def __init__(
        self,
        model: Model | GraphRepairModel | str | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        time: float | None = None,
        steps: int | None = None,
        draws: int = 0,
        seed: int = 0,
        ensemble: float | None = None,
        normalize: str = "unit",
        extractor: str | None = None,
        segment: float | None = None,
        vad: bool = False,
    ):
        from enhance_cli.resources import Resources
        from enhance_cli.tasks.embedding_pipeline import EmbeddingPipeline
        from enhance_cli.tasks.loading import load_repair_model
        from enhance_cli.tasks.options import EmbedOptions, RepairOptions

        options = RepairOptions(time, steps, draws, seed, ensemble, normalize)
        embedding = EmbedOptions(segment, vad, normalize == "unit")
        resources = Resources(device, precision, runtime=runtime)
        self.model: Model | GraphRepairModel = ready_model(
            load_repair_model, model, "enhance-embedding", draws, resources
        )
        self._pipeline = EmbeddingPipeline(self.model, options, extractor, embedding)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Return the repaired embeddings (K, D) or (D,), float32.

        Rows that are zero or not finite cannot be repaired. They are returned unchanged, and a UserWarning gives their
        numbers.
        """
        return self._repair(vectors, stacklevel=3)

    def _repair(self, vectors: np.ndarray, stacklevel: int) -> np.ndarray:
        import warnings

        import numpy as np

        rows = np.asarray(vectors)
        repaired, unusable = self._pipeline.repairer.run(np.atleast_2d(rows))
        if unusable.any():
            numbers = ", ".join(map(str, np.flatnonzero(unusable)))
            warnings.warn(f"rows that are zero or not finite come back as they were: {numbers}", stacklevel=stacklevel)
        return repaired.reshape(rows.shape)

    def embed(self, audio: np.ndarray, rate: int) -> np.ndarray:
        """Return the repaired embedding (D,) of the recording `audio` (C, N) or (N,) at `rate` Hz.

        Raises AudioError if it cannot be embedded, UsageError for audio of another shape or type.
        """
        import numpy as np

        from enhance_cli.tasks.stream import refuse_other_arrays, whole_rate

        audio = np.atleast_2d(audio)
        refuse_other_arrays(audio)
        row = self._pipeline.load_extractor().embed(audio, whole_rate(rate))
        return self._pipeline.repair_recorded(row[None])[0][0]


def enhance_embedding(
    data: np.ndarray,
    rate: int | None = None,
    model: Model | GraphRepairModel | str | None = None,
    extractor: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    segment: float | None = None,
    vad: bool = False,
    *,
    runtime: str = "auto",
    time: float | None = None,
    steps: int | None = None,
    draws: int = 0,
    seed: int = 0,
    ensemble: float | None = None,
    normalize: str = "unit",
    normalise: str | None = None,
) -> np.ndarray:
    """Return repaired speaker embeddings (K, D) or (D,), float32. Arguments as in SpeakerRepairer.

    With a `rate` in Hz, `data` is a recording (C, N) or (N,), which is embedded and repaired. `normalise` is the spelling of
    `normalize` in version 0.1.
    """
    repairer = SpeakerRepairer(
        model,
        device=device,
        precision=precision,
        runtime=runtime,
        time=time,
        steps=steps,
        draws=draws,
        seed=seed,
        ensemble=ensemble,
        normalize=normalise or normalize,
        extractor=extractor,
        segment=segment,
        vad=vad,
    )
    return repairer._repair(data, stacklevel=3) if rate is None else repairer.embed(data, rate)
