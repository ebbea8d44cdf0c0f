"""Load the object that does a task, for `enhance` and its worker processes. torch is imported when one is loaded.

Each function returns the object and the fields that it adds to records. Raises ModelError for a model that is missing or
damaged, UsageError for a device, a precision or options that are not possible.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from enhance_cli.tasks.options import DenoiseOptions, ExtendOptions, InpaintOptions, PipelineOptions, StemOptions

if TYPE_CHECKING:
    from enhance_cli.models.demucs_model import DemucsModel
    from enhance_cli.models.graphs.denoiser import GraphDenoiserModel
    from enhance_cli.models.graphs.extender import GraphExtenderModel
    from enhance_cli.models.graphs.speakers import GraphRepairModel
    from enhance_cli.models.graphs.stems import GraphStemModel
    from enhance_cli.models.load import Model
    from enhance_cli.models.registry import Entry
    from enhance_cli.models.stems import StemModel
    from enhance_cli.tasks.denoise import Denoiser
    from enhance_cli.tasks.embedding_pipeline import EmbeddingPipeline
    from enhance_cli.tasks.extend_bandwidth import BandwidthExtender
    from enhance_cli.tasks.extract_stem import StemExtractor
    from enhance_cli.tasks.inpaint import Inpainter


def load_denoiser(
    entry: Entry,
    options: DenoiseOptions,
    *,
    device: str,
    precision: str,
    threads: int | None,
    runtime: str = "auto",
) -> tuple[Denoiser, dict[str, Any]]:
    """Return the Denoiser of the model `entry`."""
    from enhance_cli.models import registry
    from enhance_cli.tasks.denoise import Denoiser

    model = load_denoiser_model(
        entry, options.sampler, options.guide, device=device, precision=precision, threads=threads, runtime=runtime
    )
    denoiser = Denoiser(model, replace(options, threads=threads))
    facts = {"revision": entry.sha256, **facts_of(model)}
    if model.spec.first_stage and entry.path.suffix != ".onnx":  # which holds both
        first = registry.find(model.spec.first_stage, model.spec.task)
        facts["first_stage"] = f"{model.spec.first_stage}@{first.sha256}"
    return denoiser, facts


def load_denoiser_model(
    entry: Entry,
    sampler: str | None,
    guide: str | None,
    *,
    device: str,
    precision: str,
    threads: int | None,
    runtime: str,
) -> Model | GraphDenoiserModel:
    """Return the model `entry` in the runtime that `runtime` ("auto", "onnx" or "torch") and the settings allow."""
    from enhance_cli.models.graphs.packaged import denoiser_obstacle, load_denoiser_graphs, sampling_obstacle
    from enhance_cli.models.runtime import runtime_of
    from enhance_cli.models.spec import read_spec

    spec = read_spec(entry.path)
    find_obstacle = sampling_obstacle if entry.path.suffix == ".onnx" else denoiser_obstacle
    obstacle = find_obstacle(spec, sampler, guide)
    if runtime_of(entry.path, runtime, device=device, precision=precision, obstacle=obstacle) == "onnx":
        return load_denoiser_graphs(entry, threads)
    from enhance_cli.models.device import pick_device, pick_precision

    chosen = pick_device(device)  # says so if torch is missing
    from enhance_cli.models.load import load_file
    from enhance_cli.models.streams import STREAMING_NETWORKS

    precision = pick_precision(precision, chosen)
    if spec.network in STREAMING_NETWORKS:  # a few frames at a time, where a GPU would mostly wait
        chosen, precision = pick_device("cpu"), "fp32"
    return load_file(entry.path, chosen, precision, entry.sha256)


def facts_of(model: Any) -> dict[str, Any]:
    """Return the fields of records about the runtime."""
    return {"runtime": model.runtime, "device": str(model.device), "precision": model.precision}


def load_bandwidth_extender(
    entry: Entry, options: ExtendOptions, *, device: str, precision: str, threads: int | None, runtime: str = "auto"
) -> tuple[BandwidthExtender, dict[str, Any]]:
    """Return the BandwidthExtender of the model `entry`."""
    from enhance_cli.tasks.extend_bandwidth import BandwidthExtender

    model = load_extender_model(entry, device=device, precision=precision, threads=threads, runtime=runtime)
    extender = BandwidthExtender(model, replace(options, threads=threads))
    facts = {"revision": entry.sha256, **facts_of(model)}
    if model.spec.samplers:
        facts |= {"sampler": model.spec.samplers[0], "sampler_args": extender.windowed.settings}
    return extender, facts


def load_extender_model(
    entry: Entry, *, device: str, precision: str, threads: int | None, runtime: str
) -> Model | GraphExtenderModel:
    """Return the model for bandwidth `entry` in the runtime that `runtime` ("auto", "onnx" or "torch") allows."""
    from enhance_cli.models.graphs.packaged import extender_obstacle, load_extender_graph
    from enhance_cli.models.runtime import runtime_of

    obstacle = extender_obstacle(entry)
    if runtime_of(entry.path, runtime, device=device, precision=precision, obstacle=obstacle) == "onnx":
        return load_extender_graph(entry, threads)
    from enhance_cli.models.device import pick_device, pick_precision

    chosen = pick_device(device)
    from enhance_cli.models.load import load_file

    return load_file(entry.path, chosen, pick_precision(precision, chosen), entry.sha256)


def load_inpainter(
    entry: Entry | None,
    options: InpaintOptions,
    *,
    device: str,
    precision: str,
    threads: int | None,
    runtime: str = "auto",
) -> tuple[Inpainter, dict[str, Any]]:
    """Return the Inpainter, with the model `entry` for long gaps. Without one it needs nothing but a CPU."""
    from enhance_cli.tasks.inpaint import Inpainter

    options = replace(options, threads=threads)
    if entry is None:
        return Inpainter(options), {"runtime": "numpy", "device": "cpu", "precision": "fp64"}
    from enhance_cli.tasks.gap_model import GapModel

    model = load_gap_model(
        entry, options.sampler, options.strength, device=device, precision=precision, threads=threads, runtime=runtime
    )
    return Inpainter(options, GapModel.of(model, options)), {"revision": entry.sha256, **facts_of(model)}


def load_gap_model(
    entry: Entry,
    sampler: str | None,
    strength: float,
    *,
    device: str,
    precision: str,
    threads: int | None,
    runtime: str,
) -> Model | GraphDenoiserModel:
    """Return the model for gaps `entry` in the runtime that `runtime` ("auto", "onnx" or "torch") and the settings allow."""
    from enhance_cli.models.graphs.packaged import inpainter_obstacle, load_denoiser_graphs
    from enhance_cli.models.runtime import runtime_of
    from enhance_cli.models.spec import read_spec

    obstacle = inpainter_obstacle(read_spec(entry.path), entry.path, sampler, strength)
    if runtime_of(entry.path, runtime, device=device, precision=precision, obstacle=obstacle) == "onnx":
        return load_denoiser_graphs(entry, threads)
    from enhance_cli.models.device import pick_device, pick_precision, set_threads

    chosen = pick_device(device)
    set_threads(threads)
    from enhance_cli.models.load import load_file

    return load_file(entry.path, chosen, pick_precision(precision, chosen), entry.sha256)


def load_stem_extractor(
    entry: Entry, options: StemOptions, *, device: str, precision: str, threads: int | None, runtime: str = "auto"
) -> tuple[StemExtractor, dict[str, Any]]:
    """Return the StemExtractor of the model `entry`."""
    from enhance_cli.tasks.extract_stem import StemExtractor

    model = load_stem_model(entry, options.steps, device=device, precision=precision, threads=threads, runtime=runtime)
    extractor = StemExtractor(model, replace(options, threads=threads))
    facts = {"revision": entry.sha256, **facts_of(model)}
    windowed = extractor.windowed
    if windowed.steps:
        facts |= {"sampler": windowed.sampler, "sampler_args": {"sigma": windowed.sigma} if windowed.sigma else {}}
    return extractor, facts


def load_stem_model(
    entry: Entry, steps: int | None, *, device: str, precision: str, threads: int | None, runtime: str
) -> StemModel | DemucsModel | GraphStemModel:
    """Return the stem model `entry` in the runtime that `runtime` ("auto", "onnx" or "torch") and the steps allow."""
    from enhance_cli.models.demucs import spec_of
    from enhance_cli.models.graphs.packaged import load_stem_graph, stem_obstacle
    from enhance_cli.models.runtime import runtime_of

    spec = spec_of(entry)
    obstacle = None if entry.path.suffix == ".onnx" else stem_obstacle(spec, steps)
    if runtime_of(entry.path, runtime, device=device, precision=precision, obstacle=obstacle) == "onnx":
        return load_stem_graph(entry, threads)
    from enhance_cli.models.device import pick_device, pick_precision

    chosen = pick_device(device)
    from enhance_cli.models.stems import load_stems

    return load_stems(entry, chosen, pick_precision(precision, chosen))


def load_embedding_pipeline(
    entry: Entry, options: PipelineOptions, *, device: str, precision: str, threads: int | None, runtime: str = "auto"
) -> tuple[EmbeddingPipeline, dict[str, Any]]:
    """Return the EmbeddingPipeline of the repair model `entry`."""
    from enhance_cli.tasks.embedding_pipeline import EmbeddingPipeline

    model = load_repair_model(
        entry, options.repair.draws, device=device, precision=precision, threads=threads, runtime=runtime
    )
    pipeline = EmbeddingPipeline(model, options.repair, options.extractor, options.embed)
    if options.recordings:
        pipeline.load_extractor()
    facts = {"revision": entry.sha256, **facts_of(model)}
    facts |= {"extractor": pipeline.extractor_id, "steps": pipeline.repairer.steps}
    return pipeline, facts | {"sampler": model.spec.samplers[0]}


def load_repair_model(
    entry: Entry, draws: int, *, device: str, precision: str, threads: int | None, runtime: str
) -> Model | GraphRepairModel:
    """Return the repair model `entry` in the runtime that `runtime` ("auto", "onnx" or "torch") and the draws allow."""
    from enhance_cli.models.graphs.packaged import load_repair_graph, repair_obstacle
    from enhance_cli.models.runtime import runtime_of

    obstacle = repair_obstacle(entry, draws)
    if runtime_of(entry.path, runtime, device=device, precision=precision, obstacle=obstacle) == "onnx":
        return load_repair_graph(entry, threads)
    from enhance_cli.models.device import pick_device, pick_precision, set_threads

    chosen = pick_device(device)
    set_threads(threads)
    from enhance_cli.models.load import load_file

    return load_file(entry.path, chosen, pick_precision(precision, chosen), entry.sha256)
