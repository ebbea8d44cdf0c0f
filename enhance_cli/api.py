"""Offer the Python interface: objects that are loaded once and used often, and functions for a single call.

The commands with the same options give the same samples. Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from enhance_cli.models.graphs.denoiser import GraphDenoiserModel
    from enhance_cli.models.graphs.speakers import GraphRepairModel
    from enhance_cli.models.graphs.stems import GraphStemModel
    from enhance_cli.models.load import Model
    from enhance_cli.models.stems import StemModel


def load_model(name: str | None = None, task: str = "denoise", device: str = "auto", precision: str = "auto") -> Model:
    """Load the model called `name` (None: the default for the task) or the .safetensors file at that path.

    Raises ModelError if it is unknown, missing or damaged, UsageError for a device or precision that does not exist.
    """
    from enhance_cli.models import device as devices
    from enhance_cli.models import load, registry, stems

    entry = registry.find(name, task)
    chosen = devices.pick_device(device)
    precision = devices.pick_precision(precision, chosen)
    if task == stems.TASK:
        return stems.load_stems(entry, chosen, precision)
    return load.load_file(entry.path, chosen, precision, entry.sha256)


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
    settings = {"device": device, "precision": precision, "threads": threads, "runtime": runtime}
    return load_denoiser_model(entry, sampler, guide, **settings)


class Denoiser:
    """Denoise recordings with one model, loaded once. Several threads may call it at the same time.

    model: name, path or loaded model, None for the default. runtime: "auto", "onnx" or "torch", what computes the model.
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


@lru_cache(maxsize=2)
def _cached_stem_model(
    name: str | None, steps: int | None, device: str, precision: str, threads: int | None, runtime: str
) -> StemModel | GraphStemModel:
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
        model: StemModel | GraphStemModel | str | None = None,
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


@lru_cache(maxsize=2)
def _cached_repair_model(
    name: str | None, draws: int, device: str, precision: str, runtime: str
) -> Model | GraphRepairModel:
    from enhance_cli.models import registry
    from enhance_cli.tasks.loading import load_repair_model

    entry = registry.find(name, "enhance-embedding")
    return load_repair_model(entry, draws, device=device, precision=precision, threads=None, runtime=runtime)


class SpeakerRepairer:
    """Repair speaker embeddings with one model, loaded once with its extractor when a recording comes.

    time: diffusion time to start from, 0 to 999. steps: None for the model's own. draws: results with different noise that
    are averaged, 0 for one without noise. ensemble: 0..1, weight of the embedding as it was. normalize: "unit" or "keep".
    extractor: name, id or file of the network that made the embeddings (None: the one of the model). segment: seconds of
    speech that are embedded at once. vad: leave silence out. Raises UsageError or ModelError for values that the model does
    not allow, and for embeddings of another extractor.
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
        from enhance_cli.tasks.embedding_pipeline import EmbeddingPipeline
        from enhance_cli.tasks.options import EmbedOptions, RepairOptions

        options = RepairOptions(time, steps, draws, seed, ensemble, normalize)
        embedding = EmbedOptions(segment, vad, normalize == "unit")
        if model is None or isinstance(model, str):
            model = _cached_repair_model(model, draws, device, precision, runtime)
        self.model = model
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

        Raises AudioError if it cannot be embedded.
        """
        import numpy as np

        row = self._pipeline.load_extractor().embed(np.atleast_2d(audio), rate)
        return self._pipeline.repair_recorded(row[None])[0][0]


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


def extract_stem(
    audio: np.ndarray,
    rate: int,
    stem: str | Sequence[str] = "all",
    model: StemModel | GraphStemModel | str | None = None,
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


@lru_cache(maxsize=2)
def _cached_extender(name: str | None, device: str, precision: str) -> Model:
    return load_model(name, "extend-bandwidth", device, precision)


def extend_bandwidth(
    audio: np.ndarray,
    rate: int,
    model: Model | str | None = None,
    device: str = "auto",
    precision: str = "auto",
    *,
    cutoff: float | None = None,
    seed: int = 0,
    batch_size: int = 1,
    threads: int | None = None,
    window_seconds: float | None = None,
) -> tuple[np.ndarray, int]:
    """Return `audio` (C, N) or (N,), full scale 1, with the treble that it is missing at `rate` Hz, and the new rate.

    The rate is 48000, or `rate` if that is higher or nothing is missing. cutoff: frequency in Hz that the band of `audio`
    ends at, None to find it. The other arguments are those of Denoiser. Raises UsageError for a cutoff that is not possible,
    and for a band that the model cannot continue.
    """
    import numpy as np

    from enhance_cli.tasks.extend_bandwidth import run
    from enhance_cli.tasks.options import ExtendOptions

    if model is None or isinstance(model, str):
        model = _cached_extender(model, device, precision)
    options = ExtendOptions(
        cutoff=cutoff, seed=seed, batch_size=batch_size, threads=threads, window_seconds=window_seconds
    )
    audio = np.asarray(audio)
    wide, wide_rate = run(np.atleast_2d(audio), rate, model, options)
    return wide.reshape(*audio.shape[:-1], -1), wide_rate


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
