"""Load the object that does a task, for `enhance` and its worker processes. torch is imported when one is loaded.

Each function returns the object and the fields that it adds to records. Raises ModelError for a model that is missing or
damaged, UsageError for a device, a precision or options that are not possible.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from enhance_cli.tasks.options import DenoiseOptions, PipelineOptions, StemOptions

if TYPE_CHECKING:
    from enhance_cli.models.registry import Entry
    from enhance_cli.tasks.denoise import Denoiser
    from enhance_cli.tasks.embedding_pipeline import EmbeddingPipeline
    from enhance_cli.tasks.extract_stem import StemExtractor


def load_denoiser(
    entry: Entry, options: DenoiseOptions, *, device: str, precision: str, threads: int | None
) -> tuple[Denoiser, dict[str, Any]]:
    """Return the Denoiser of the model `entry`."""
    from enhance_cli.models.device import pick_device, pick_precision
    from enhance_cli.models.load import load_file
    from enhance_cli.tasks.denoise import Denoiser

    chosen = pick_device(device)
    precision = pick_precision(precision, chosen)
    model = load_file(entry.path, chosen, precision, entry.sha256)
    denoiser = Denoiser(model, replace(options, threads=threads))
    return denoiser, {"revision": entry.sha256, "device": str(chosen), "precision": precision}


def load_stem_extractor(
    entry: Entry, options: StemOptions, *, device: str, precision: str, threads: int | None
) -> tuple[StemExtractor, dict[str, Any]]:
    """Return the StemExtractor of the model `entry`."""
    from enhance_cli.models.device import pick_device, pick_precision
    from enhance_cli.models.stems import load_stems
    from enhance_cli.tasks.extract_stem import StemExtractor

    chosen = pick_device(device)
    model = load_stems(entry, chosen, pick_precision(precision, chosen))
    extractor = StemExtractor(model, replace(options, threads=threads))
    facts = {"revision": entry.sha256, "device": str(chosen), "precision": model.precision}
    windowed = extractor.windowed
    if windowed.steps:
        facts |= {"sampler": windowed.sampler, "sampler_args": {"sigma": windowed.sigma} if windowed.sigma else {}}
    return extractor, facts


def load_embedding_pipeline(
    entry: Entry, options: PipelineOptions, *, device: str, precision: str, threads: int | None
) -> tuple[EmbeddingPipeline, dict[str, Any]]:
    """Return the EmbeddingPipeline of the repair model `entry`."""
    from enhance_cli.models.device import pick_device, pick_precision, set_threads
    from enhance_cli.models.load import load_file
    from enhance_cli.tasks.embedding_pipeline import EmbeddingPipeline

    set_threads(threads)
    chosen = pick_device(device)
    precision = pick_precision(precision, chosen)
    model = load_file(entry.path, chosen, precision, entry.sha256)
    pipeline = EmbeddingPipeline(model, options.repair, options.extractor, options.embed)
    if options.recordings:
        pipeline.load_extractor()
    facts = {"revision": entry.sha256, "device": str(chosen), "precision": precision}
    facts |= {"extractor": pipeline.extractor_id, "steps": pipeline.repairer.steps}
    return pipeline, facts | {"sampler": model.spec.samplers[0]}
